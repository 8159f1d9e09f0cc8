/**
 * `latency-scorer`: by predicted headroom, the time between a target and what is predicted.
 *
 * Formula: the endpoints of the first of these ranks that has any are scored, all others get 0: misses no target (also what
 * has no prediction, with headroom 0); misses one and runs none of our requests; misses TPOT; TTFT; both. Among them, with
 * h = |headroom| and n = (h − min)/(max − min), 0.5 where max − min ≤ 1e-9: c = a × nTTFT + b × nTPOT, where a and b are
 * the weights over their sum, 0 and 1 where one dimension alone tells the endpoints apart. `least`, and whatever is set
 * where targets are missed: (trunc((1 − c) × 100) + 1)/100; `most`: (trunc(c × 100) + 1)/100. At most 1: llm-d's reach
 * 1.01. Without any prediction: (wk × (1 − KV usage) + wq × (maxQ − q)/maxQ + wp × matched/total)/Σw, rounded to
 * hundredths; maxQ = 0 → 1; Σw = 0 → KV usage alone.
 * Parameters: `ttftWeight` (0.8), `tpotWeight` (0.2; both 0: TTFT alone), `headroomSelectionStrategy` least|most (least),
 * `compositeKVWeight`, `compositeQueueWeight`, `compositePrefixWeight` (1), `latencyPredictionInfoProducerName`,
 * `prefixMatchInfoProducerName`. Inputs: predictions, our requests in flight, effective load, prefix match.
 * Unlike llm-d, which takes an absent target for one of 0 ms: only dimensions with a target can be missed, and where there
 * is one only they count. Without a target (or where its weight is 0) h is what is predicted, and less of it scores higher
 * under either strategy; an endpoint that runs none of our requests has no precedence then.
 */
import { z } from "zod";
import type { Slo } from "../../core/mod.ts";
import { definePlugin } from "../definition.ts";
import { anyKnown, checkLatencyProducer, latencyProducerName, missedAt } from "../latency.ts";
import { prefixProducerName, producerWeights, type TierWeights, weightedBlocks } from "../prefix.ts";
import type { DecisionContext, LatencyView, Scorer } from "../types.ts";

interface LatencyScoreParams {
  readonly ttftWeight: number;
  readonly tpotWeight: number;
  readonly headroomSelectionStrategy: "least" | "most";
  readonly compositeKVWeight: number;
  readonly compositeQueueWeight: number;
  readonly compositePrefixWeight: number;
  readonly weights: TierWeights | undefined;
}

const strategies = ["least", "most"] as const;

/** A range below it tells nothing apart. */
const rangeMin = 1e-9;

/** The least and the greatest headroom of one dimension, as absolute values. */
class Range {
  #min = Infinity;
  #max = -Infinity;

  /** Of `slots[positions[0..count)]`; a dimension that does not count has none. */
  measure(
    headroomMs: Float64Array,
    known: Uint8Array,
    slots: Uint16Array,
    positions: Uint16Array,
    count: number,
    counts: boolean,
  ): void {
    this.#min = Infinity;
    this.#max = -Infinity;
    if (!counts) return;
    for (let i = 0; i < count; i++) {
      const slot = slots[positions[i]];
      const h = known[slot] === 1 ? Math.abs(headroomMs[slot]) : 0;
      if (h < this.#min) this.#min = h;
      if (h > this.#max) this.#max = h;
    }
  }

  get tells(): boolean {
    return this.#max - this.#min > rangeMin;
  }

  /** Where a headroom lies, 0 to 1. */
  of(headroomMs: number): number {
    return this.tells ? (Math.abs(headroomMs) - this.#min) / (this.#max - this.#min) : 0.5;
  }
}

class LatencyScorer implements Scorer {
  readonly type = "latency-scorer";
  readonly category = "balance";
  readonly needsLatency = true;
  readonly #ttft = new Range();
  readonly #tpot = new Range();
  readonly #ranks: Uint8Array;
  /** Positions in `slots` of the endpoints that are scored. */
  readonly #scored: Uint16Array;

  constructor(readonly name: string, readonly params: LatencyScoreParams, capacity: number) {
    this.#ranks = new Uint8Array(capacity);
    this.#scored = new Uint16Array(capacity);
  }

  score(ctx: DecisionContext, slots: Uint16Array, n: number, out: Float64Array): void {
    const { latency, view } = ctx;
    if (!latency || !anyKnown(latency, slots, n)) return this.#composite(ctx, slots, n, out);
    let first = Infinity;
    for (let i = 0; i < n; i++) {
      const missed = missedAt(view, latency, slots[i]);
      this.#ranks[i] = missed === 0 ? 0 : ctx.table.requests[slots[i]] === 0 ? 1 : 1 + missed;
      if (this.#ranks[i] < first) first = this.#ranks[i];
    }
    let count = 0;
    for (let i = 0; i < n; i++) {
      out[i] = 0;
      if (this.#ranks[i] === first) this.#scored[count++] = i;
    }
    this.#rate(latency, view.slo, slots, count, first > 0, out);
  }

  #rate(
    latency: LatencyView,
    { ttftMs, tpotMs }: Slo,
    slots: Uint16Array,
    count: number,
    missed: boolean,
    out: Float64Array,
  ): void {
    const { ttftWeight, tpotWeight, headroomSelectionStrategy } = this.params;
    const { known, ttftHeadroomMs, tpotHeadroomMs } = latency;
    const ttft = this.#ttft, tpot = this.#tpot, scored = this.#scored;
    const targeted = ttftMs !== undefined && ttftWeight > 0 || tpotMs !== undefined && tpotWeight > 0;
    ttft.measure(ttftHeadroomMs, known, slots, scored, count, !targeted || ttftMs !== undefined);
    tpot.measure(tpotHeadroomMs, known, slots, scored, count, !targeted || tpotMs !== undefined);
    const sum = ttftWeight + tpotWeight;
    const a = ttft.tells === tpot.tells ? ttftWeight / sum : ttft.tells ? 1 : 0;
    const b = ttft.tells === tpot.tells ? tpotWeight / sum : tpot.tells ? 1 : 0;
    const least = missed || !targeted || headroomSelectionStrategy === "least";
    for (let i = 0; i < count; i++) {
      const slot = slots[scored[i]];
      const isKnown = known[slot] === 1;
      const c = a * ttft.of(isKnown ? ttftHeadroomMs[slot] : 0) + b * tpot.of(isKnown ? tpotHeadroomMs[slot] : 0);
      out[scored[i]] = Math.min(1, (Math.trunc((least ? 1 - c : c) * 100) + 1) / 100);
    }
  }

  /** By load and prefix, while nothing is predicted. */
  #composite({ load, match }: DecisionContext, slots: Uint16Array, n: number, out: Float64Array): void {
    const { compositeQueueWeight: wq, compositePrefixWeight: wp, weights } = this.params;
    const others = wq + wp;
    const wk = this.params.compositeKVWeight + others > 0 ? this.params.compositeKVWeight : 1;
    let longest = 0;
    for (let i = 0; i < n; i++) longest = Math.max(longest, load.waiting[slots[i]]);
    for (let i = 0; i < n; i++) {
      const slot = slots[i];
      const queue = longest > 0 ? (longest - load.waiting[slot]) / longest : 1;
      const prefix = match.total > 0 ? weightedBlocks(match, slot, weights) / match.total : 0;
      out[i] = Math.round(100 * (wk * (1 - load.kvUsage[slot]) + wq * queue + wp * prefix) / (wk + others)) / 100;
    }
  }
}

const weight = z.number().nonnegative("must be at least 0");

export const latencyScorer = definePlugin({
  type: "latency-scorer",
  kinds: ["scorer"],
  summary: "by predicted time to spare before the request's targets",
  params: z.strictObject({
    ttftWeight: weight.default(0.8),
    tpotWeight: weight.default(0.2),
    headroomSelectionStrategy: z.enum(strategies, `must be one of ${strategies.join(", ")}`).default("least"),
    compositeKVWeight: weight.default(1),
    compositeQueueWeight: weight.default(1),
    compositePrefixWeight: weight.default(1),
    latencyPredictionInfoProducerName: latencyProducerName,
    prefixMatchInfoProducerName: prefixProducerName,
  }),
  resolve({ latencyPredictionInfoProducerName, prefixMatchInfoProducerName, ...params }, context): LatencyScoreParams {
    checkLatencyProducer(latencyPredictionInfoProducerName, context);
    return {
      ...params,
      ttftWeight: params.ttftWeight + params.tpotWeight > 0 ? params.ttftWeight : 1,
      weights: producerWeights(prefixMatchInfoProducerName, context),
    };
  },
  create: (name, params, { table }) => new LatencyScorer(name, params, table.capacity),
});
