/**
 * What a request is expected to take by the way engines work, before anything is learned of the rest. It extrapolates where
 * trees cannot, and orders endpoints from the first request on.
 *
 * - TTFT₀ = wait + base + perToken × (uncached tokens ahead + own)
 * - TPOT₀ = base + perRequest × requests + perToken × context
 *
 * The coefficients are fitted for each endpoint from what it did, as far as that is known, else from what all did.
 */
import type { EndpointTable } from "../core/mod.ts";
import { type Beside, NonNegativeFit } from "./fit.ts";
import type { LatencyState } from "./state.ts";

/** What both formulas take in; a label is explained by the same numbers later. */
export interface PriorInput {
  /** Uncached tokens ahead of it and its own, loads included. */
  readonly workTokens: number;
  /** Until an engine that is full takes it in. */
  readonly waitMs: number;
  /** Requests there, this one included. */
  readonly requests: number;
  /** Context tokens of the requests there, this one included. */
  readonly contextTokens: number;
}

/**
 * Until a place at `slot` is free: its requests beyond what it runs, over the rate at which it ends them. 0 while it has room,
 * or its capacity was not learned: a request in an engine's queue may just have come between two steps. `held` of those there
 * is the request itself.
 */
export function waitMs(table: EndpointTable, state: LatencyState, slot: number, held = 0): number {
  const capacity = table.requestCapacity[slot];
  const requests = Math.max(
    table.requests[slot] - held + table.foreign[slot],
    table.waiting[slot] + table.running[slot],
  );
  const excess = requests + 1 - capacity;
  if (!(excess > 0)) return 0;
  const known = table.serviceMs[slot];
  const paceMs = state.tpotBaseMs[slot] + state.tpotRequestMs[slot] * capacity;
  const stayMs = known > 0 ? known : state.outputTokens * paceMs;
  return excess * stayMs / Math.max(1, capacity);
}

export function priorTtftMs(state: LatencyState, slot: number, { workTokens, waitMs }: PriorInput): number {
  return Math.max(minMs, waitMs + state.ttftBaseMs[slot] + state.ttftTokenMs[slot] * workTokens);
}

export function priorTpotMs(state: LatencyState, slot: number, { requests, contextTokens }: PriorInput): number {
  const ms = state.tpotBaseMs[slot] + state.tpotRequestMs[slot] * requests + state.tpotTokenMs[slot] * contextTokens;
  return Math.max(minMs, ms);
}

/** Nothing takes less: a logarithm is taken of it. */
const minMs = 0.01;

// An 8B model on one mid-range accelerator, as a guess until the first labels: 20 ms and 8,000 prompt tokens/s; 6 ms a step
// and 0.35 more for each request.
const guessTtft: readonly (readonly [readonly number[], number])[] = [[[1, 0], 20], [[1, 4000], 520]];
const guessTpot: readonly (readonly [readonly number[], number])[] = [[[1, 1, 0], 6.35], [[1, 64, 0], 28.4]];
/** Labels that the guess counts as: it is left with what labels do not tell. */
const guessLabels = 0.5;
/** Labels of the pool that stand in for an endpoint's own. */
const poolLabels = 8;
/**
 * Of a label that was mostly waiting, little is told of the rest: it is taken to be so much at least, and counts by the square
 * of its share, as an error of the whole is so much larger an error of the part.
 */
const leastShare = 0.2;

/** With more labels than these one changes little: coefficients follow at one in so many. */
const fewLabels = 32, laterLabels = 8;

/** One target's formula without its wait: a fit for each endpoint, one for all, and the coefficients as all isolates read them. */
class TargetFits {
  /** By coefficient and slot. */
  readonly #columns: readonly Float64Array[];
  readonly #slots: NonNegativeFit[];
  readonly #pool: NonNegativeFit;
  readonly #guess: Beside;
  /** What the pool does. */
  readonly #average: Float64Array;
  readonly #solved: Float64Array;
  /** Labels since the coefficients were worked out. */
  readonly #since: Uint8Array;
  #sincePool = 0;

  constructor(columns: readonly Float64Array[], guess: readonly (readonly [readonly number[], number])[]) {
    const width = columns.length;
    this.#columns = columns;
    this.#slots = Array.from(columns[0], () => new NonNegativeFit(width));
    this.#pool = new NonNegativeFit(width);
    const fit = new NonNegativeFit(width), coefficients = new Float64Array(width);
    for (const [x, ms] of guess) fit.add(x, ms);
    fit.solve(coefficients);
    this.#guess = { fit, labels: guessLabels, coefficients };
    this.#since = new Uint8Array(columns[0].length);
    this.#average = new Float64Array(width);
    this.#solved = new Float64Array(width);
    this.#poolChanged();
  }

  reset(slot: number): void {
    this.#slots[slot] = new NonNegativeFit(this.#columns.length);
    this.#write(slot);
  }

  add(slot: number, x: readonly number[], ms: number, weight = 1): void {
    const expected = x.reduce((sum, value, i) => sum + value * this.#columns[i][slot], 0);
    this.#slots[slot].add(x, ms, { weight, expected });
    this.#pool.add(x, ms, { weight, expected: this.average(x) });
    if (this.#slots[slot].weight < fewLabels || ++this.#since[slot] >= laterLabels) this.#write(slot);
    if (this.#pool.weight < fewLabels || ++this.#sincePool >= laterLabels) this.#poolChanged();
  }

  /** What an average endpoint would take. */
  average(x: readonly number[]): number {
    return x.reduce((sum, value, i) => sum + value * this.#average[i], 0);
  }

  dump(slot: number): number[] {
    return this.#slots[slot].dump();
  }

  restore(slot: number, state: readonly number[]): void {
    if (this.#slots[slot].restore(state)) this.#write(slot);
  }

  dumpPool(): number[] {
    return this.#pool.dump();
  }

  restorePool(state: readonly number[]): void {
    if (this.#pool.restore(state)) this.#poolChanged();
  }

  /** Endpoints without labels of their own are taken to be as all are: one that is never tried would stay a guess. */
  #poolChanged(): void {
    this.#sincePool = 0;
    this.#pool.solve(this.#average, this.#guess);
    for (let slot = 0; slot < this.#slots.length; slot++) {
      if (this.#slots[slot].weight === 0) this.#put(slot, this.#average);
    }
  }

  #write(slot: number): void {
    this.#since[slot] = 0;
    const fit = this.#slots[slot], average = this.#average;
    if (fit.weight === 0) return this.#put(slot, average);
    fit.solve(this.#solved, { fit: this.#pool, labels: poolLabels, coefficients: average }, this.#guess);
    this.#put(slot, this.#solved);
  }

  #put(slot: number, coefficients: Float64Array): void {
    for (let i = 0; i < coefficients.length; i++) this.#columns[i][slot] = coefficients[i];
  }
}

/** Fits the coefficients; one isolate does it, all read what it writes. */
export class PriorFits {
  readonly #ttft: TargetFits;
  readonly #tpot: TargetFits;

  constructor({ ttftBaseMs, ttftTokenMs, tpotBaseMs, tpotRequestMs, tpotTokenMs }: LatencyState) {
    this.#ttft = new TargetFits([ttftBaseMs, ttftTokenMs], guessTtft);
    this.#tpot = new TargetFits([tpotBaseMs, tpotRequestMs, tpotTokenMs], guessTpot);
  }

  /** Another endpoint has the slot: what the pool does is all that is known. */
  reset(slot: number): void {
    this.#ttft.reset(slot);
    this.#tpot.reset(slot);
  }

  ttft(slot: number, { workTokens, waitMs }: PriorInput, ms: number): void {
    const computingMs = Math.max(ms - waitMs, leastShare * ms);
    this.#ttft.add(slot, [1, workTokens], computingMs, (computingMs / ms) ** 2);
  }

  tpot(slot: number, { requests, contextTokens }: PriorInput, ms: number): void {
    this.#tpot.add(slot, [1, requests, contextTokens], ms);
  }

  /** What an average endpoint would take, by target. */
  pool(target: number, { workTokens, waitMs, requests, contextTokens }: PriorInput): number {
    const ms = target === 0
      ? waitMs + this.#ttft.average([1, workTokens])
      : this.#tpot.average([1, requests, contextTokens]);
    return Math.max(minMs, ms);
  }

  dump(slot: number): { readonly ttft: number[]; readonly tpot: number[] } {
    return { ttft: this.#ttft.dump(slot), tpot: this.#tpot.dump(slot) };
  }

  /** Goes on from a dump; what is none is left. */
  restore(slot: number, { ttft, tpot }: { readonly ttft: readonly number[]; readonly tpot: readonly number[] }): void {
    this.#ttft.restore(slot, ttft);
    this.#tpot.restore(slot, tpot);
  }

  dumpPool(): { readonly ttft: number[]; readonly tpot: number[] } {
    return { ttft: this.#ttft.dumpPool(), tpot: this.#tpot.dumpPool() };
  }

  restorePool({ ttft, tpot }: { readonly ttft: readonly number[]; readonly tpot: readonly number[] }): void {
    this.#ttft.restorePool(ttft);
    this.#tpot.restorePool(tpot);
  }
}
