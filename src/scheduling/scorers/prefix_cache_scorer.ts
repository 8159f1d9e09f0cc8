/**
 * `prefix-cache-scorer`: more of the prompt in cache scores higher.
 *
 * Formula: with m matched blocks of `total`, block size bs in tokens, w = `matchLengthWeight`, s = `matchLengthScaleTokens`:
 * `w × min(1, m·bs/s)² + (1 − w) × m/total`; no blocks → 0.
 * Parameters: `prefixMatchInfoProducerName`, `matchLengthWeight` (0), `matchLengthScaleTokens` (8192). Inputs: prefix match.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { checkPrefixProducer, prefixProducerName } from "../prefix.ts";

export const prefixCacheScorer = definePlugin({
  type: "prefix-cache-scorer",
  kinds: ["scorer"],
  summary: "most of the prompt in cache",
  params: z.strictObject({
    prefixMatchInfoProducerName: prefixProducerName,
    matchLengthWeight: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0),
    matchLengthScaleTokens: z.number().positive("must be greater than 0").default(8192),
  }),
  resolve(params, context) {
    checkPrefixProducer(params.prefixMatchInfoProducerName, context);
    return params;
  },
  create: (name, { matchLengthWeight: weight, matchLengthScaleTokens: scale }) => ({
    type: "prefix-cache-scorer",
    name,
    category: "affinity",
    score({ match }, slots, n, out) {
      for (let i = 0; i < n; i++) {
        const blocks = match.blocks[slots[i]];
        const length = Math.min(1, blocks * match.blockTokens / scale);
        out[i] = match.total > 0 ? weight * length * length + (1 - weight) * blocks / match.total : 0;
      }
    },
  }),
});
