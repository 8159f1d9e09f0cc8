import type { EndpointTable } from "./endpoint_table.ts";

/** Whether an endpoint's circuit lets requests through: all, none, or as many at once as it has permits. */
export const BreakerState = { Closed: 0, Open: 1, HalfOpen: 2 } as const;
export type BreakerState = (typeof BreakerState)[keyof typeof BreakerState];

export const breakerStateNames = ["closed", "open", "half-open"] as const;

// A cell of the permits column: the round above, the permits still free below. A permit names its round, so that one given
// back late, after the circuit opened and began to close anew, adds nothing to the new round.
const freeBits = 8;
const freeMask = (1 << freeBits) - 1;
const roundMax = (1 << 22) - 1;

/** Most requests that may try a half-open circuit at once. */
export const permitsMax = freeMask;

/** What a request holds that goes to a closed circuit. */
export const noPermit = 0;

/** Begins a round of `permits`; those of earlier rounds are void. The breaker's own step: one writer a slot. */
export function beginRound(table: EndpointTable, slot: number, permits: number): void {
  const round = currentRound(table, slot) % roundMax + 1;
  Atomics.store(table.permits, slot, (round << freeBits) | Math.min(permits, permitsMax));
}

/** The running round: what a permit of it is called. */
export function currentRound(table: EndpointTable, slot: number): number {
  return Atomics.load(table.permits, slot) >>> freeBits;
}

/** Permits of the running round that are free. */
export function freePermits(table: EndpointTable, slot: number): number {
  return Atomics.load(table.permits, slot) & freeMask;
}

/** Whether a request may be sent to the slot as far as its circuit says. */
export function mayPass(table: EndpointTable, slot: number): boolean {
  const state = Atomics.load(table.breaker, slot);
  return state === BreakerState.Closed || (state === BreakerState.HalfOpen && freePermits(table, slot) > 0);
}

/** Takes what a request to the slot has to hold; -1 where its circuit is open or has no permit left. */
export function takePermit(table: EndpointTable, slot: number): number {
  const state = Atomics.load(table.breaker, slot);
  if (state === BreakerState.Closed) return noPermit;
  while (state === BreakerState.HalfOpen) {
    const cell = Atomics.load(table.permits, slot);
    if ((cell & freeMask) === 0) break;
    if (Atomics.compareExchange(table.permits, slot, cell, cell - 1) === cell) return cell >>> freeBits;
  }
  return -1;
}

/** Gives a permit back; one of an earlier round is void. */
export function givePermit(table: EndpointTable, slot: number, permit: number): void {
  if (permit === noPermit) return;
  for (;;) {
    const cell = Atomics.load(table.permits, slot);
    if (cell >>> freeBits !== permit || (cell & freeMask) === freeMask) return;
    if (Atomics.compareExchange(table.permits, slot, cell, cell + 1) === cell) return;
  }
}
