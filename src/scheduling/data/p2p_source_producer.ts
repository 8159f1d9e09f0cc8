/**
 * `p2p-source-producer`: tells the chosen endpoint which other endpoint to fetch a missing prefix from, by the request
 * header `x-kv-cache-source-host-port: host:port`. It acts on every request as soon as it is listed.
 *
 * Rule: an endpoint's blocks are those of the leading ones it has on GPU or CPU, or that routing history gives it; what
 * lies on disk or in shared storage a peer does not serve. The most of any other candidate must exceed what the chosen
 * endpoint has, on any tier, by `minCachedTokenDelta` tokens, else no header. Of the candidates within one block of that
 * most and above the chosen one, one is drawn with weight 1/(1 + requests waiting there); the draw is FNV-1a of the
 * request id over 2³², so that equal requests draw alike.
 * Parameters: `prefixMatchInfoProducerName`, `minCachedTokenDelta` (1), `prefillProfileName` ("prefill": has no effect while
 * requests run in one leg). Inputs: prefix match, requests waiting in the last sample.
 * Limits: engines must share block size and hash seed, or the peer does not find the blocks; llm-d counts a block's CPU copy
 * where it also is on the GPU, here the fastest tier alone is known, so that both count.
 */
import { z } from "zod";
import { kvTiers } from "../../core/mod.ts";
import { definePlugin } from "../definition.ts";
import { prefixProducerName, producerWeights } from "../prefix.ts";
import type { DecisionContext, Decorator, HeaderPair } from "../types.ts";

const header = "x-kv-cache-source-host-port";
const noHeaders: readonly HeaderPair[] = [];

class P2pSource implements Decorator {
  readonly type = "p2p-source-producer";

  constructor(readonly name: string, readonly minCachedTokenDelta: number) {}

  requestHeaders(
    ctx: DecisionContext,
    slot: number,
    candidates: Uint16Array,
    count: number,
  ): readonly HeaderPair[] {
    const { match, table } = ctx;
    const own = match.blocks[slot];
    let most = 0;
    for (let i = 0; i < count; i++) most = Math.max(most, servedBlocks(ctx, slot, candidates[i]));
    if (most <= own || (most - own) * match.blockTokens < this.minCachedTokenDelta) return noHeaders;
    const source = draw(ctx, slot, candidates, count, Math.max(own + 1, most - 1));
    const meta = table.meta(source);
    return [[header, `${meta.host}:${meta.port}`]];
  }
}

/** One of the candidates that serve `slot` at least `blocks`; there is one. */
function draw(ctx: DecisionContext, slot: number, candidates: Uint16Array, count: number, blocks: number): number {
  const { waiting } = ctx.table;
  const sources = [...candidates.subarray(0, count)].filter((from) => servedBlocks(ctx, slot, from) >= blocks);
  const sum = sources.reduce((sum, from) => sum + 1 / (1 + waiting[from]), 0);
  let left = fnv1a32(ctx.view.id) / 2 ** 32 * sum;
  for (const from of sources) {
    left -= 1 / (1 + waiting[from]);
    if (left < 0) return from;
  }
  return sources[sources.length - 1];
}

/** Leading blocks `slot` can fetch from the server of `from`; none from its own. */
function servedBlocks({ match, table }: DecisionContext, slot: number, from: number): number {
  const own = table.meta(slot), other = table.meta(from);
  if (own.host === other.host && own.port === other.port) return 0;
  const at = from * kvTiers.length;
  const { blocks, tiers } = match;
  return tiers === undefined ? blocks[from] : blocks[from] - tiers[at + 2] - tiers[at + 3];
}

function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

export const p2pSourceProducer = definePlugin({
  type: "p2p-source-producer",
  kinds: ["producer"],
  summary: "names an endpoint to fetch a missing prefix from",
  params: z.strictObject({
    prefixMatchInfoProducerName: prefixProducerName,
    minCachedTokenDelta: z.number().int().nonnegative("must be at least 0").default(1),
    prefillProfileName: z.string().default("prefill"),
  }),
  resolve(params, context) {
    producerWeights(params.prefixMatchInfoProducerName, context);
    return params;
  },
  create: (name, { minCachedTokenDelta }) => new P2pSource(name, minCachedTokenDelta),
});
