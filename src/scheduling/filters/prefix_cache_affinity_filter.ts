/**
 * `prefix-cache-affinity-filter`: keeps the endpoints that hold most of the prompt, unless waiting for them costs too much.
 *
 * Keep rule: sticky = matched/total ≥ `affinityThreshold`, matched blocks by the weight of their tier. No sticky endpoint → all. With probability
 * `explorationProbability` → all. `ttftMs = in-flight tokens / peakPrefillThroughput × 1000`; when the best sticky TTFT
 * exceeds the best other TTFT by more than `maxTTFTPenaltyMs` → all; else only the sticky ones.
 * Parameters: `affinityThreshold` (0.80), `explorationProbability` (0), `maxTTFTPenaltyMs` (18000; 0: always stick),
 * `ttftSource` (prefillThroughput), `peakPrefillThroughput` (15928 tok/s, llm-d's figure for a 32B model on two H100),
 * `prefixMatchInfoProducerName`, `inFlightLoadProducerName`. Inputs: prefix match, our tokens in flight.
 * Limits: `ttftSource: latencyPredictor` is refused, there is no predictor yet.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { inflightProducerName, inflightTokens, inflightTokensKind } from "../inflight.ts";
import { prefixProducerName, producerWeights, weightedBlocks } from "../prefix.ts";

export const prefixCacheAffinityFilter = definePlugin({
  type: "prefix-cache-affinity-filter",
  kinds: ["filter"],
  summary: "holds most of the prompt, unless its queue costs too much",
  params: z.strictObject({
    affinityThreshold: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0.8),
    explorationProbability: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0),
    maxTTFTPenaltyMs: z.number().nonnegative("must be at least 0").default(18_000),
    ttftSource: z.enum(["prefillThroughput", "latencyPredictor"], "must be prefillThroughput").default(
      "prefillThroughput",
    ),
    peakPrefillThroughput: z.number().positive("must be greater than 0").default(15_928),
    prefixMatchInfoProducerName: prefixProducerName,
    inFlightLoadProducerName: inflightProducerName,
  }),
  resolve(params, context) {
    if (params.ttftSource === "latencyPredictor") {
      throw context.fail("ttftSource", "latencyPredictor is not supported yet, must be prefillThroughput");
    }
    return {
      ...params,
      weights: producerWeights(params.prefixMatchInfoProducerName, context),
      tokens: inflightTokensKind(params.inFlightLoadProducerName, context),
    };
  },
  create(name, params, { table }) {
    const sticky = new Uint16Array(table.capacity);
    return {
      type: "prefix-cache-affinity-filter",
      name,
      keep(ctx, slots, n) {
        let count = 0, bestSticky = Infinity, bestOther = Infinity;
        for (let i = 0; i < n; i++) {
          const slot = slots[i];
          const tokens = inflightTokens(ctx, slot, params.tokens);
          const share = ctx.match.total > 0 ? weightedBlocks(ctx.match, slot, params.weights) / ctx.match.total : 0;
          if (share >= params.affinityThreshold) {
            sticky[count++] = slot;
            bestSticky = Math.min(bestSticky, tokens);
          } else {
            bestOther = Math.min(bestOther, tokens);
          }
        }
        if (count === 0 || count === n) return n;
        if (params.explorationProbability > 0 && ctx.rng.float() < params.explorationProbability) return n;
        const penaltyMs = (bestSticky - bestOther) / params.peakPrefillThroughput * 1000;
        if (params.maxTTFTPenaltyMs > 0 && penaltyMs > params.maxTTFTPenaltyMs) return n;
        for (let i = 0; i < count; i++) slots[i] = sticky[i];
        return count;
      },
    };
  },
});
