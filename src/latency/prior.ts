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
import { NonNegativeFit } from "./fit.ts";
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
 * or its capacity was not learned: a request in an engine's queue may just have come between two steps.
 */
export function waitMs(table: EndpointTable, state: LatencyState, slot: number): number {
  const capacity = table.requestCapacity[slot];
  const requests = Math.max(table.requests[slot] + table.foreign[slot], table.waiting[slot] + table.running[slot]);
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
const guessWeight = 0.25;
/** Labels of the pool that stand in for an endpoint's own. */
const poolWeight = 8;
/** Of a label that was mostly waiting, little is told of the rest. */
const leastShare = 0.2;

/** Fits the coefficients; one isolate does it, all read what it writes. */
export class PriorFits {
  readonly #state: LatencyState;
  readonly #ttft: NonNegativeFit[];
  readonly #tpot: NonNegativeFit[];
  readonly #poolTtft = new NonNegativeFit(2);
  readonly #poolTpot = new NonNegativeFit(3);
  readonly #two = new Float64Array(2);
  readonly #three = new Float64Array(3);

  constructor(state: LatencyState) {
    this.#state = state;
    this.#ttft = Array.from({ length: state.slots }, () => new NonNegativeFit(2));
    this.#tpot = Array.from({ length: state.slots }, () => new NonNegativeFit(3));
    for (const [x, y] of guessTtft) this.#poolTtft.add(x, y, y, guessWeight);
    for (const [x, y] of guessTpot) this.#poolTpot.add(x, y, y, guessWeight);
    for (let slot = 0; slot < state.slots; slot++) this.reset(slot);
  }

  /** Another endpoint has the slot: what the pool does is all that is known. */
  reset(slot: number): void {
    this.#ttft[slot] = new NonNegativeFit(2);
    this.#tpot[slot] = new NonNegativeFit(3);
    this.#writeTtft(slot);
    this.#writeTpot(slot);
  }

  ttft(slot: number, input: PriorInput, ms: number): void {
    const { workTokens, waitMs } = input;
    const regressors = [1, workTokens];
    const computingMs = Math.max(ms - waitMs, leastShare * ms);
    const alone = { ...input, waitMs: 0 };
    this.#ttft[slot].add(regressors, computingMs, priorTtftMs(this.#state, slot, alone));
    this.#poolTtft.add(regressors, computingMs, this.pool(0, alone));
    this.#writeTtft(slot);
  }

  tpot(slot: number, input: PriorInput, ms: number): void {
    const regressors = [1, input.requests, input.contextTokens];
    this.#tpot[slot].add(regressors, ms, priorTpotMs(this.#state, slot, input));
    this.#poolTpot.add(regressors, ms, this.pool(1, input));
    this.#writeTpot(slot);
  }

  /** What an average endpoint would take, by target. */
  pool(target: number, { workTokens, waitMs, requests, contextTokens }: PriorInput): number {
    if (target === 0) {
      this.#poolTtft.solve(this.#two);
      return Math.max(minMs, waitMs + this.#two[0] + this.#two[1] * workTokens);
    }
    this.#poolTpot.solve(this.#three);
    return Math.max(minMs, this.#three[0] + this.#three[1] * requests + this.#three[2] * contextTokens);
  }

  dump(slot: number): { readonly ttft: number[]; readonly tpot: number[] } {
    return { ttft: this.#ttft[slot].dump(), tpot: this.#tpot[slot].dump() };
  }

  restore(slot: number, { ttft, tpot }: { readonly ttft: readonly number[]; readonly tpot: readonly number[] }): void {
    this.#ttft[slot].restore(ttft);
    this.#tpot[slot].restore(tpot);
    this.#writeTtft(slot);
    this.#writeTpot(slot);
  }

  dumpPool(): { readonly ttft: number[]; readonly tpot: number[] } {
    return { ttft: this.#poolTtft.dump(), tpot: this.#poolTpot.dump() };
  }

  restorePool({ ttft, tpot }: { readonly ttft: readonly number[]; readonly tpot: readonly number[] }): void {
    this.#poolTtft.restore(ttft);
    this.#poolTpot.restore(tpot);
    for (let slot = 0; slot < this.#state.slots; slot++) {
      this.#writeTtft(slot);
      this.#writeTpot(slot);
    }
  }

  #writeTtft(slot: number): void {
    this.#ttft[slot].solve(this.#two, this.#poolTtft, poolWeight);
    this.#state.ttftBaseMs[slot] = this.#two[0];
    this.#state.ttftTokenMs[slot] = this.#two[1];
  }

  #writeTpot(slot: number): void {
    this.#tpot[slot].solve(this.#three, this.#poolTpot, poolWeight);
    this.#state.tpotBaseMs[slot] = this.#three[0];
    this.#state.tpotRequestMs[slot] = this.#three[1];
    this.#state.tpotTokenMs[slot] = this.#three[2];
  }
}
