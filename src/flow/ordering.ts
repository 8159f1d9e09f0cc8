/** Which of a tenant's requests comes first: one number a request, least first; ties by arrival. */
import type { OrderingName } from "../config/mod.ts";
import type { FlowAsk, Waiting } from "./types.ts";

/**
 * `fcfs`: arrival. `edf`: the end of its time to wait. `slo-deadline`: arrival + TTFT target. `least-laxity`: the same less
 * the time its first token takes: laxity is that minus now, and now is the same for all. Without a target: last.
 */
export function orderKey(ordering: OrderingName, ask: FlowAsk, enqueuedAtMs: number, ttlMs: number): number {
  switch (ordering) {
    case "fcfs":
      return ask.receivedAtMs;
    case "edf":
      return ttlMs > 0 ? enqueuedAtMs + ttlMs : Infinity;
    case "slo-deadline":
      return ask.receivedAtMs + (ask.ttftMs ?? Infinity);
    case "least-laxity":
      return ask.receivedAtMs + (ask.ttftMs ?? Infinity) - (ask.serviceMs ?? 0);
  }
}

export function comesFirst(a: Waiting, b: Waiting): boolean {
  if (a.order !== b.order) return a.order < b.order;
  const at = a.ask.receivedAtMs, other = b.ask.receivedAtMs;
  return at === other ? a.number < b.number : at < other;
}
