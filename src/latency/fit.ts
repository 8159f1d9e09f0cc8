/** Labels that count at an endpoint: older ones fade. */
const decay = 1 - 1 / 96;
const outlier = 4;

/**
 * Least squares over a few regressors with coefficients that are never negative, of which the recent past counts more. Errors
 * count relative to what was expected: 10 ms at 20 weigh as much as a second at two. (Relative to the label, labels that
 * happen to be small would weigh more, and the fit would come out too low.)
 */
export class NonNegativeFit {
  readonly #gram: Float64Array;
  readonly #moment: Float64Array;
  #weight = 0;

  /** `width` regressors, at most 3. */
  constructor(readonly width: number) {
    this.#gram = new Float64Array(width * width);
    this.#moment = new Float64Array(width);
  }

  /** Sum of the weights of what was added, faded. */
  get weight(): number {
    return this.#weight;
  }

  /** `label` and what was `expected` are positive. A label far off counts as one that is off by a factor of four. */
  add(regressors: ArrayLike<number>, label: number, expected: number, weight = 1): void {
    const { width } = this;
    const ratio = Math.min(outlier, Math.max(1 / outlier, label / expected));
    this.#weight = this.#weight * decay + weight;
    for (let i = 0; i < width; i++) {
      const x = regressors[i] / expected;
      this.#moment[i] = this.#moment[i] * decay + weight * x * ratio;
      for (let j = 0; j < width; j++) {
        this.#gram[i * width + j] = this.#gram[i * width + j] * decay + weight * x * regressors[j] / expected;
      }
    }
  }

  /** Writes the coefficients to `out`, `prior` counting as `priorWeight` further labels. Leaves `out` where nothing is known. */
  solve(out: Float64Array, prior?: NonNegativeFit, priorWeight = 0): void {
    const { width } = this;
    const share = prior && prior.weight > 0 ? Math.min(priorWeight, prior.weight) / prior.weight : 0;
    const gram = (i: number) => this.#gram[i] + (prior ? share * prior.#gram[i] : 0);
    const moment = (i: number) => this.#moment[i] + (prior ? share * prior.#moment[i] : 0);
    let best = Infinity;
    const trial = new Float64Array(width), chosen = new Float64Array(width);
    // Few enough that every choice of those that are not zero is tried.
    for (let subset = 1; subset < 1 << width; subset++) {
      if (!solveSubset(trial, subset, width, gram, moment)) continue;
      let error = 0;
      for (let i = 0; i < width; i++) {
        error -= 2 * trial[i] * moment(i);
        for (let j = 0; j < width; j++) error += trial[i] * trial[j] * gram(i * width + j);
      }
      if (error < best - 1e-12) {
        best = error;
        chosen.set(trial);
      }
    }
    if (best < Infinity) out.set(chosen);
  }

  /** State for a snapshot. */
  dump(): number[] {
    return [this.#weight, ...this.#moment, ...this.#gram];
  }

  restore(state: readonly number[]): void {
    const { width } = this;
    if (state.length !== 1 + width + width * width || !state.every(Number.isFinite)) return;
    this.#weight = state[0];
    this.#moment.set(state.slice(1, 1 + width));
    this.#gram.set(state.slice(1 + width));
  }
}

/** Solves for the regressors in `subset`, the others 0; false where that has no solution without negative numbers. */
function solveSubset(
  out: Float64Array,
  subset: number,
  width: number,
  gram: (i: number) => number,
  moment: (i: number) => number,
): boolean {
  const used = Array.from({ length: width }, (_, i) => i).filter((i) => subset & (1 << i));
  const n = used.length;
  const a = used.map((i) => [...used.map((j) => gram(i * width + j)), moment(i)]);
  for (let k = 0; k < n; k++) {
    // Two regressors that were always in step cannot be told apart: one of them is left out by another subset.
    const pivot = a[k][k];
    if (!(pivot > 1e-9 * gram(used[k] * width + used[k])) || pivot <= 0) return false;
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const factor = a[i][k] / pivot;
      for (let j = k; j <= n; j++) a[i][j] -= factor * a[k][j];
    }
  }
  out.fill(0);
  for (let k = 0; k < n; k++) {
    const value = a[k][n] / a[k][k];
    if (!(value >= 0) || !Number.isFinite(value)) return false;
    out[used[k]] = value;
  }
  return true;
}
