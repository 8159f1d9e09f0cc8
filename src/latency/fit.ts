/** Labels that count at an endpoint: older ones fade. */
const decay = 1 - 1 / 96;
/** No endpoint is so many times as fast or as slow as another; else the smaller labels would not count at all. */
const timesMax = 100;

/** Another fit that counts beside one's own labels, as so many of them at most. */
export interface Beside {
  readonly fit: NonNegativeFit;
  readonly labels: number;
  /** What it gives by itself. */
  readonly coefficients: ArrayLike<number>;
}

/**
 * Least squares over a few regressors with coefficients that are never negative, of which the recent past counts more. Errors
 * count relative to the label: 10 ms at 20 weigh as much as a second at two.
 */
export class NonNegativeFit {
  readonly #gram: Float64Array;
  readonly #moment: Float64Array;
  #weight = 0;

  /** `width` regressors, at most 3, such as 1 for a constant. */
  constructor(readonly width: number) {
    this.#gram = new Float64Array(width * width);
    this.#moment = new Float64Array(width);
  }

  /** Sum of the weights of what was added, faded. */
  get weight(): number {
    return this.#weight;
  }

  /**
   * `label` is positive. Its error counts relative to it, or to `expected` where that is more: else one label of next to
   * nothing outweighed all others, and among noise the fit lay far below the middle of the labels.
   */
  add(regressors: ArrayLike<number>, label: number, { weight = 1, expected = 0 } = {}): void {
    const { width } = this;
    const scale = Math.max(label, expected);
    this.#weight = this.#weight * decay + weight;
    for (let i = 0; i < width; i++) {
      const x = regressors[i] / scale;
      this.#moment[i] = this.#moment[i] * decay + weight * x * (label / scale);
      for (let j = 0; j < width; j++) {
        this.#gram[i * width + j] = this.#gram[i * width + j] * decay + weight * x * (regressors[j] / scale);
      }
    }
  }

  /**
   * Writes the coefficients to `out`; what `others` know counts as that of labels as large as its own would be there. False
   * where nothing is known: `out` is left as it was.
   */
  solve(out: Float64Array, ...others: readonly Beside[]): boolean {
    const { width } = this;
    const { grams, moments, trial, chosen } = scratchOf(width);
    grams.set(this.#gram);
    moments.set(this.#moment);
    for (const { fit, labels, coefficients } of others) {
      if (fit.#weight === 0) continue;
      const share = Math.min(1, labels / fit.#weight) / this.#timesOf(coefficients) ** 2;
      for (let i = 0; i < width; i++) moments[i] += share * fit.#moment[i];
      for (let i = 0; i < width * width; i++) grams[i] += share * fit.#gram[i];
    }
    let best = Infinity;
    // Few enough that every choice of those that are not zero is tried.
    for (let subset = 1; subset < 1 << width; subset++) {
      if (!solveSubset(trial, subset, grams, moments)) continue;
      let error = 0;
      for (let i = 0; i < width; i++) {
        error -= 2 * trial[i] * moments[i];
        for (let j = 0; j < width; j++) error += trial[i] * trial[j] * grams[i * width + j];
      }
      if (error < best - 1e-12) {
        best = error;
        chosen.set(trial);
      }
    }
    if (best === Infinity) return false;
    out.set(chosen);
    return true;
  }

  /** State for a snapshot. */
  dump(): number[] {
    return [this.#weight, ...this.#moment, ...this.#gram];
  }

  /** Goes on from a dump; false, and it is as it was, for what is none. */
  restore(state: readonly number[]): boolean {
    const { width } = this;
    if (!isDump(state, width)) return false;
    this.#weight = state[0];
    this.#moment.set(state.slice(1, 1 + width));
    this.#gram.set(state.slice(1 + width));
    return true;
  }

  /** How many times what `coefficients` give its labels are, about; 1 where there are none. */
  #timesOf(coefficients: ArrayLike<number>): number {
    const { width } = this;
    let labels = 0, given = 0;
    for (let i = 0; i < width; i++) {
      labels += coefficients[i] * this.#moment[i];
      for (let j = 0; j < width; j++) given += coefficients[i] * coefficients[j] * this.#gram[i * width + j];
    }
    return given > 0 ? Math.min(timesMax, Math.max(1 / timesMax, labels / given)) : 1;
  }
}

/** Whether labels can have made it: nothing negative, and no product larger than the squares it is of. */
function isDump(state: readonly number[], width: number): boolean {
  if (!Array.isArray(state) || state.length !== 1 + width + width * width) return false;
  if (!state.every((value) => Number.isFinite(value) && value >= 0)) return false;
  const gram = (i: number, j: number) => state[1 + width + i * width + j];
  const within = (product: number, a: number, b: number) => product <= Math.sqrt(a) * Math.sqrt(b) * (1 + 1e-6);
  for (let i = 0; i < width; i++) {
    if (!within(state[1 + i], state[0], gram(i, i))) return false;
    for (let j = 0; j < i; j++) {
      if (gram(i, j) !== gram(j, i) || !within(gram(i, j), gram(i, i), gram(j, j))) return false;
    }
  }
  return true;
}

/** What a solution is worked out in: thousands are wanted a second. */
interface Scratch {
  readonly grams: Float64Array;
  readonly moments: Float64Array;
  readonly trial: Float64Array;
  readonly chosen: Float64Array;
}

const scratches = new Map<number, Scratch>();

function scratchOf(width: number): Scratch {
  let scratch = scratches.get(width);
  if (!scratch) {
    const each = () => new Float64Array(width);
    scratch = { grams: new Float64Array(width * width), moments: each(), trial: each(), chosen: each() };
    scratches.set(width, scratch);
  }
  return scratch;
}

const widthMax = 3;
/** The equations, a row of `widthMax + 1` each, and which regressors they are of. */
const equations = new Float64Array(widthMax * (widthMax + 1)), used = new Int32Array(widthMax);

/** Solves for the regressors in `subset`, the others 0; false where that has no solution without negative numbers. */
function solveSubset(out: Float64Array, subset: number, grams: Float64Array, moments: Float64Array): boolean {
  const width = moments.length, row = widthMax + 1, a = equations;
  let n = 0;
  for (let i = 0; i < width; i++) if (subset & (1 << i)) used[n++] = i;
  for (let k = 0; k < n; k++) {
    for (let j = 0; j < n; j++) a[k * row + j] = grams[used[k] * width + used[j]];
    a[k * row + n] = moments[used[k]];
  }
  for (let k = 0; k < n; k++) {
    // Two regressors that were always in step cannot be told apart: one of them is left out by another subset.
    const pivot = a[k * row + k];
    if (!(pivot > 1e-9 * grams[used[k] * width + used[k]]) || pivot <= 0) return false;
    for (let i = 0; i < n; i++) {
      if (i === k) continue;
      const factor = a[i * row + k] / pivot;
      for (let j = k; j <= n; j++) a[i * row + j] -= factor * a[k * row + j];
    }
  }
  out.fill(0);
  for (let k = 0; k < n; k++) {
    const value = a[k * row + n] / a[k * row + k];
    if (!(value >= 0) || !Number.isFinite(value)) return false;
    out[used[k]] = value;
  }
  return true;
}
