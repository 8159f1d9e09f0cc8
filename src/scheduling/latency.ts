import { z } from "zod";
import type { Refusal, RequestView } from "../core/mod.ts";
import type { LoadContext } from "./definition.ts";
import type { DecisionContext, LatencyView } from "./types.ts";

/** Name of the producer of predictions a plugin reads; omitted means the only one, which need not be listed. */
export const latencyProducerName = z.string().optional();

/** Throws ConfigError when the named producer does not exist. */
export function checkLatencyProducer(name: string | undefined, context: LoadContext): void {
  context.find(["predicted-latency-producer"], "latencyPredictionInfoProducerName", name);
}

export function hasTarget({ slo }: RequestView): boolean {
  return slo.ttftMs !== undefined || slo.tpotMs !== undefined;
}

/** Whether anything is predicted for one of `slots[0..n)`. */
export function anyKnown({ known }: LatencyView, slots: Uint16Array, n: number): boolean {
  for (let i = 0; i < n; i++) if (known[slots[i]] === 1) return true;
  return false;
}

/**
 * Whether the request is likely enough to meet its targets at `slot`, and no one there is likely to miss its own. So is one
 * that nothing is predicted for.
 */
export function isGood({ known, meets, likelyMisses }: LatencyView, slot: number, probability: number): boolean {
  return known[slot] === 0 || meets[slot] >= probability && likelyMisses[slot] < 1;
}

/** What a request is predicted to miss, the lesser evil first; their sum: both. */
export const missesTpot = 1;
export const missesTtft = 2;

/** Of the targets that the request has, those it is predicted to miss at `slot`; 0: none, or nothing is predicted. */
export function missedAt({ slo }: RequestView, latency: LatencyView, slot: number): number {
  if (latency.known[slot] === 0) return 0;
  const ttft = slo.ttftMs !== undefined && latency.ttftHeadroomMs[slot] < 0 ? missesTtft : 0;
  const tpot = slo.tpotMs !== undefined && latency.tpotHeadroomMs[slot] < 0 ? missesTpot : 0;
  return ttft + tpot;
}

/** A client told to come back later than this would rather be told that it cannot be served. */
const retryAfterSMax = 60;

/**
 * The refusal of a request that is predicted to miss its targets everywhere. What it would be late by where it is least late
 * is time in which as much of the work ahead is done: it may be asked again after that.
 */
export function sloUnmet({ view, latency }: DecisionContext, slots: Uint16Array, n: number): Refusal {
  let lateMs = Infinity;
  for (let i = 0; i < n; i++) {
    if (latency?.known[slots[i]] === 1) lateMs = Math.min(lateMs, -latency.ttftHeadroomMs[slots[i]]);
  }
  const message = "No endpoint is predicted to meet the latency targets of the request";
  if (view.slo.ttftMs === undefined || !(lateMs > 0 && lateMs < Infinity)) return { refused: "slo-unmet", message };
  return { refused: "slo-unmet", message, retryAfterS: Math.min(retryAfterSMax, Math.ceil(lateMs / 1000)) };
}
