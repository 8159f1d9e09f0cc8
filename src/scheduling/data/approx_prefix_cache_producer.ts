/**
 * `approx-prefix-cache-producer`: how prompts are cut into blocks and how much each endpoint is believed to hold.
 *
 * Parameters: `autoTune` (true: capacity follows the engine's cache geometry where it reports one), `blockSizeTokens`
 * (16), `maxPrefixTokensToMatch` (131072), `maxPrefixBlocksToMatch` (2048, deprecated, used when the token cap is 0),
 * `lruCapacityPerServer` (31250 blocks, where the geometry is not known), `blockSize` (deprecated, no effect).
 * Blocks are at least 64 tokens, as in llm-d. Limits: one such producer.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";

const blockTokensMin = 64;

/** What the prefix room needs. */
export interface PrefixParams {
  readonly autoTune: boolean;
  /** Tokens a block stands for, at least 64. */
  readonly blockTokens: number;
  /** Leading blocks hashed of each prompt; undefined means no limit but the prompt. */
  readonly blocksMax?: number;
  /** Blocks an endpoint is believed to hold when its cache geometry is not known. */
  readonly capacityBlocks: number;
}

export const approxPrefixCacheProducer = definePlugin({
  type: "approx-prefix-cache-producer",
  kinds: ["producer"],
  summary: "prefix match estimated from past placements",
  params: z.strictObject({
    autoTune: z.boolean().default(true),
    blockSizeTokens: z.number().int().positive("must be greater than 0").default(16),
    maxPrefixTokensToMatch: z.number().int().nonnegative("must be at least 0").default(131_072),
    maxPrefixBlocksToMatch: z.number().int().nonnegative("must be at least 0").default(2048),
    lruCapacityPerServer: z.number().int().positive("must be greater than 0").default(31_250),
    blockSize: z.number().int().optional(),
  }),
  resolve(params, context): PrefixParams {
    if (params.blockSize !== undefined) context.warn("blockSize has no effect, blockSizeTokens sets the block size");
    const blockTokens = Math.max(blockTokensMin, params.blockSizeTokens);
    const blocksMax = params.maxPrefixTokensToMatch > 0
      ? Math.floor(params.maxPrefixTokensToMatch / blockTokens)
      : params.maxPrefixBlocksToMatch || undefined;
    return { autoTune: params.autoTune, blockTokens, blocksMax, capacityBlocks: params.lruCapacityPerServer };
  },
});
