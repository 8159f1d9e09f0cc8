import { z } from "zod";
import { type KvTierName, kvTiers, type PrefixMatch, type RequestView } from "../core/mod.ts";
import type { LoadContext } from "./definition.ts";

/** Types that publish a prefix match, the exact ones first: that is what a plugin without a producer name reads. */
export const prefixProducerTypes: readonly string[] = [
  "precise-prefix-cache-producer",
  "precise-prefix-cache-scorer",
  "approx-prefix-cache-producer",
];

/** Name of the prefix producer a plugin reads; omitted means the exact one, else the approximate one. */
export const prefixProducerName = z.string().optional();

/** What a cached block counts by the tier it lies on; one of a tier without a weight counts 1. */
export type TierWeights = Readonly<Partial<Record<KvTierName, number>>>;

/**
 * Weights of the producer a plugin reads; undefined from an approximate producer, which knows no tiers.
 * Throws ConfigError when the named producer does not exist.
 */
export function producerWeights(name: string | undefined, context: LoadContext): TierWeights | undefined {
  const spec = context.find(prefixProducerTypes, "prefixMatchInfoProducerName", name);
  return (spec?.params as { readonly tierWeights?: TierWeights } | undefined)?.tierWeights;
}

/**
 * Leading blocks `slot` holds, each counted by the weight of the fastest tier it lies on, those known from routing
 * history by 1; whole blocks, rounded down as llm-d publishes them. Without weights or tiers: the blocks.
 */
export function weightedBlocks(match: PrefixMatch, slot: number, weights: TierWeights | undefined): number {
  let blocks = match.blocks[slot];
  if (weights === undefined || match.tiers === undefined) return blocks;
  for (let tier = 0; tier < kvTiers.length; tier++) {
    blocks -= match.tiers[slot * kvTiers.length + tier] * (1 - (weights[kvTiers[tier]] ?? 1));
  }
  // Sums of fractions such as 0.2 end a little beside the whole number they mean.
  return Math.floor(blocks + 1e-9);
}

/** Prompt tokens that {@link weightedBlocks} leave to be computed at `slot`. */
export function weightedUncachedTokens(
  view: RequestView,
  match: PrefixMatch,
  slot: number,
  weights: TierWeights | undefined,
): number {
  const tokens = weightedBlocks(match, slot, weights) * match.blockTokens;
  return Math.max(0, view.promptTokens - Math.min(tokens, Math.max(0, view.promptTokens - 1)));
}
