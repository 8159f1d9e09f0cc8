/**
 * `prefix-cache-scorer`: more of the prompt in cache scores higher.
 *
 * Formula: with m matched blocks of `total`, block size bs in tokens, w = `matchLengthWeight`, s = `matchLengthScaleTokens`:
 * `w × min(1, m·bs/s)² + (1 − w) × m/total`; no blocks → 0. From an exact producer, m is the sum of the weights of the
 * tiers the leading blocks lie on, rounded down; blocks known from routing history weigh 1.
 * Parameters: `prefixMatchInfoProducerName`, `matchLengthWeight` (0), `matchLengthScaleTokens` (8192). Inputs: prefix match.
 */
import { z } from "zod";
import type { PrefixMatch } from "../../core/mod.ts";
import { definePlugin } from "../definition.ts";
import { prefixProducerName, producerWeights, type TierWeights, weightedBlocks } from "../prefix.ts";
import type { DecisionContext, Scorer } from "../types.ts";

export interface PrefixScoreParams {
  readonly matchLengthWeight: number;
  readonly matchLengthScaleTokens: number;
  readonly weights: TierWeights | undefined;
}

export class PrefixCacheScorer implements Scorer {
  readonly category = "affinity";

  constructor(readonly type: string, readonly name: string, readonly params: PrefixScoreParams) {}

  score({ match }: DecisionContext, slots: Uint16Array, n: number, out: Float64Array): void {
    for (let i = 0; i < n; i++) out[i] = match.total > 0 ? this.#rate(match, slots[i]) : 0;
  }

  #rate(match: PrefixMatch, slot: number): number {
    const { matchLengthWeight: weight, matchLengthScaleTokens: scale, weights } = this.params;
    const blocks = weightedBlocks(match, slot, weights);
    const length = Math.min(1, blocks * match.blockTokens / scale);
    return weight * length * length + (1 - weight) * blocks / match.total;
  }
}

export const prefixCacheScorer = definePlugin({
  type: "prefix-cache-scorer",
  kinds: ["scorer"],
  summary: "most of the prompt in cache",
  params: z.strictObject({
    prefixMatchInfoProducerName: prefixProducerName,
    matchLengthWeight: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0),
    matchLengthScaleTokens: z.number().positive("must be greater than 0").default(8192),
  }),
  resolve: ({ prefixMatchInfoProducerName, ...params }, context): PrefixScoreParams => ({
    ...params,
    weights: producerWeights(prefixMatchInfoProducerName, context),
  }),
  create: (name, params) => new PrefixCacheScorer("prefix-cache-scorer", name, params),
});
