/**
 * `token-load-scorer`: fewer tokens in flight, with this request's own uncached ones, score higher.
 *
 * Formula: t = in-flight tokens + uncached tokens of this request; `1 − min(t, T)/T`; t ≤ 0 → 1. Cached blocks count by
 * the weight of their tier where the prefix producer has weights.
 * Parameters: `queueThresholdTokens` T (4194304), `inFlightLoadProducerName`, `prefixMatchInfoProducerName`.
 * Inputs: our tokens in flight (prompt tokens until the first byte, or prompt and expected output until the end when
 * the producer has `addEstimatedOutputTokens`), prefix match.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { inflightProducerName, inflightTokens, inflightTokensKind } from "../inflight.ts";
import { prefixProducerName, producerWeights, weightedUncachedTokens } from "../prefix.ts";

export const tokenLoadScorer = definePlugin({
  type: "token-load-scorer",
  kinds: ["scorer"],
  summary: "fewest tokens in flight, this request's uncached ones included",
  params: z.strictObject({
    queueThresholdTokens: z.number().positive("must be greater than 0").default(4_194_304),
    inFlightLoadProducerName: inflightProducerName,
    prefixMatchInfoProducerName: prefixProducerName,
  }),
  resolve(params, context) {
    return {
      ...params,
      weights: producerWeights(params.prefixMatchInfoProducerName, context),
      tokens: inflightTokensKind(params.inFlightLoadProducerName, context),
    };
  },
  create: (name, { queueThresholdTokens, tokens, weights }) => ({
    type: "token-load-scorer",
    name,
    category: "distribution",
    score(ctx, slots, n, out) {
      for (let i = 0; i < n; i++) {
        const own = weightedUncachedTokens(ctx.view, ctx.match, slots[i], weights);
        const load = inflightTokens(ctx, slots[i], tokens) + own;
        out[i] = 1 - Math.min(Math.max(0, load), queueThresholdTokens) / queueThresholdTokens;
      }
    },
  }),
});
