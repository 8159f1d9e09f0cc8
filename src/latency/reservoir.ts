import type { Prng } from "../core/mod.ts";
import { columnOf, columns } from "./features.ts";

/** Strata: powers of four of the tokens to compute, steps of the load. */
const tokenStrata = 6, loadStrata = 5;
const strata = tokenStrata * loadStrata;
/** Older than the newest by so much, a row counts half as much; but never for less than this share. */
const halfLifeMs = 15 * 60_000, leastShare = 2 ** -10;
/** How much a stratum's rows stand for more than themselves: 0 not at all, 1 in full. */
const importance = 0.5;

const effectiveTokens = columnOf.get("effective_input_tokens")!;
const running = columnOf.get("num_request_running")!;
const waiting = columnOf.get("num_request_waiting")!;

/** Rows to learn from: what was known, what came of it beyond the prior, how much it counts. */
export interface Rows {
  readonly rows: number;
  /** Every column of `columns`. */
  readonly columns: readonly Float32Array[];
  /** ln(actual) − ln(prior), corrected. */
  readonly labels: Float32Array;
  readonly weights: Float32Array;
}

/**
 * A bounded sample of all labels. Strata by tokens to compute and by load keep rare situations from being displaced by common
 * ones; in a full stratum's place the older of two rows goes, so that what is kept is mostly recent.
 */
export class Reservoir {
  readonly capacity: number;
  readonly #rng: Prng;
  readonly #columns: Float32Array[];
  readonly #labels: Float32Array;
  readonly #atMs: Float64Array;
  readonly #members: number[][] = Array.from({ length: strata }, () => []);
  /** Labels that came, by stratum, fading. */
  readonly #came = new Float64Array(strata);
  #fadedAtMs = 0;
  #size = 0;
  #added = 0;

  constructor(capacity: number, rng: Prng) {
    this.capacity = capacity;
    this.#rng = rng;
    this.#columns = columns.map(() => new Float32Array(capacity));
    this.#labels = new Float32Array(capacity);
    this.#atMs = new Float64Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** Rows ever added. */
  get added(): number {
    return this.#added;
  }

  add(row: ArrayLike<number>, label: number, nowMs: number): void {
    const stratum = stratumOf(row);
    this.#fade(nowMs);
    this.#came[stratum]++;
    this.#added++;
    const at = this.#size < this.capacity ? this.#size++ : this.#makeRoom();
    this.#members[stratum].push(at);
    for (let c = 0; c < columns.length; c++) this.#columns[c][at] = row[c];
    this.#labels[at] = label;
    this.#atMs[at] = nowMs;
  }

  /** All rows of `names`, copied; `ordered` by time, oldest first. */
  rows(names: readonly string[], ordered = false): Rows {
    const n = this.#size;
    const copies = names.map((name) => this.#columns[columnOf.get(name)!].slice(0, n));
    const weights = new Float32Array(n);
    let cameAll = 0, newestMs = -Infinity;
    for (const came of this.#came) cameAll += came;
    for (let at = 0; at < n; at++) newestMs = Math.max(newestMs, this.#atMs[at]);
    for (const [stratum, members] of this.#members.entries()) {
      if (members.length === 0) continue;
      const stands = (this.#came[stratum] / Math.max(cameAll, 1e-9)) / (members.length / n);
      const weight = Math.min(8, Math.max(0.125, stands)) ** importance;
      for (const at of members) {
        weights[at] = weight * Math.max(leastShare, 2 ** ((this.#atMs[at] - newestMs) / halfLifeMs));
      }
    }
    const labels = this.#labels.slice(0, n);
    if (!ordered) return { rows: n, columns: copies, labels, weights };
    const order = this.#order();
    const sorted = (values: Float32Array) => Float32Array.from(order, (at) => values[at]);
    return { rows: n, columns: copies.map(sorted), labels: sorted(labels), weights: sorted(weights) };
  }

  /** Calls `take` with every row, oldest first. */
  each(take: (row: number[], label: number, atMs: number) => void): void {
    for (const at of this.#order()) take(this.#columns.map((column) => column[at]), this.#labels[at], this.#atMs[at]);
  }

  #order(): Uint32Array {
    return Uint32Array.from({ length: this.#size }, (_, at) => at).sort((a, b) => this.#atMs[a] - this.#atMs[b]);
  }

  /** Frees a row of the largest stratum; returns where it was. */
  #makeRoom(): number {
    let largest = this.#members[0];
    for (const members of this.#members) if (members.length > largest.length) largest = members;
    const a = this.#rng.below(largest.length), b = this.#rng.below(largest.length);
    const gone = this.#atMs[largest[a]] <= this.#atMs[largest[b]] ? a : b;
    const at = largest[gone];
    largest[gone] = largest[largest.length - 1];
    largest.pop();
    return at;
  }

  #fade(nowMs: number): void {
    const passedMs = nowMs - this.#fadedAtMs;
    if (passedMs < halfLifeMs / 100) return;
    this.#fadedAtMs = nowMs;
    const left = 2 ** (-passedMs / halfLifeMs);
    for (let stratum = 0; stratum < strata; stratum++) this.#came[stratum] *= left;
  }
}

function stratumOf(row: ArrayLike<number>): number {
  const tokens = Math.min(tokenStrata - 1, step(row[effectiveTokens] / 64));
  const load = row[waiting] > 0 ? loadStrata - 1 : Math.min(loadStrata - 2, step(row[running]));
  return tokens * loadStrata + load;
}

/** Steps of a factor of four; 0 for what is no number. */
function step(value: number): number {
  return value > 0 ? Math.floor(Math.log2(1 + value) / 2) : 0;
}
