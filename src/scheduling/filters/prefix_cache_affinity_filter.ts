/**
 * `prefix-cache-affinity-filter`: keeps the endpoints that hold most of the prompt, unless waiting for them costs too much.
 *
 * Keep rule: sticky = matched/total ≥ `affinityThreshold`, matched blocks by the weight of their tier. No sticky endpoint →
 * all. With probability `explorationProbability` → all. When the best sticky TTFT exceeds the best other TTFT by more than
 * `maxTTFTPenaltyMs` → all; else only the sticky ones. TTFT is in-flight tokens / `peakPrefillThroughput` × 1000, or the
 * predicted median; an endpoint without a prediction is behind all others, and nobody has one → only the sticky ones.
 * Parameters: `affinityThreshold` (0.80), `explorationProbability` (0), `maxTTFTPenaltyMs` (18000; 0: always stick),
 * `ttftSource` prefillThroughput|latencyPredictor (prefillThroughput), `peakPrefillThroughput` (15928 tok/s, llm-d's figure
 * for a 32B model on two H100), `prefixMatchInfoProducerName`, `inFlightLoadProducerName`,
 * `latencyPredictionInfoProducerName`. Inputs: prefix match, our tokens in flight or predictions.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { inflightProducerName, inflightTokens, inflightTokensKind } from "../inflight.ts";
import { checkLatencyProducer, latencyProducerName } from "../latency.ts";
import { prefixProducerName, producerWeights, weightedBlocks } from "../prefix.ts";
import type { DecisionContext } from "../types.ts";

const ttftSources = ["prefillThroughput", "latencyPredictor"] as const;

export const prefixCacheAffinityFilter = definePlugin({
  type: "prefix-cache-affinity-filter",
  kinds: ["filter"],
  summary: "holds most of the prompt, unless its queue costs too much",
  params: z.strictObject({
    affinityThreshold: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0.8),
    explorationProbability: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0),
    maxTTFTPenaltyMs: z.number().nonnegative("must be at least 0").default(18_000),
    ttftSource: z.enum(ttftSources, `must be one of ${ttftSources.join(", ")}`).default("prefillThroughput"),
    peakPrefillThroughput: z.number().positive("must be greater than 0").default(15_928),
    prefixMatchInfoProducerName: prefixProducerName,
    inFlightLoadProducerName: inflightProducerName,
    latencyPredictionInfoProducerName: latencyProducerName,
  }),
  resolve(params, context) {
    checkLatencyProducer(params.latencyPredictionInfoProducerName, context);
    return {
      ...params,
      weights: producerWeights(params.prefixMatchInfoProducerName, context),
      tokens: inflightTokensKind(params.inFlightLoadProducerName, context),
    };
  },
  create(name, params, { table }) {
    const sticky = new Uint16Array(table.capacity);
    const predicted = params.ttftSource === "latencyPredictor";
    const ttftMs = ({ latency }: DecisionContext, slot: number) =>
      latency?.known[slot] ? latency.ttftMs[slot] : Infinity;
    const queueMs = (ctx: DecisionContext, slot: number) =>
      inflightTokens(ctx, slot, params.tokens) / params.peakPrefillThroughput * 1000;
    const timeMs = predicted ? ttftMs : queueMs;
    return {
      type: "prefix-cache-affinity-filter",
      name,
      ...(predicted && { needsLatency: true as const }),
      keep(ctx, slots, n) {
        let count = 0, bestSticky = Infinity, bestOther = Infinity;
        for (let i = 0; i < n; i++) {
          const slot = slots[i];
          const ms = timeMs(ctx, slot);
          const share = ctx.match.total > 0 ? weightedBlocks(ctx.match, slot, params.weights) / ctx.match.total : 0;
          if (share >= params.affinityThreshold) {
            sticky[count++] = slot;
            bestSticky = Math.min(bestSticky, ms);
          } else {
            bestOther = Math.min(bestOther, ms);
          }
        }
        if (count === 0 || count === n) return n;
        if (params.explorationProbability > 0 && ctx.rng.float() < params.explorationProbability) return n;
        // NaN where neither side has a prediction; it exceeds nothing.
        if (params.maxTTFTPenaltyMs > 0 && bestSticky - bestOther > params.maxTTFTPenaltyMs) return n;
        for (let i = 0; i < count; i++) slots[i] = sticky[i];
        return count;
      },
    };
  },
});
