import type { EndpointTable } from "./endpoint_table.ts";
import { cachedTokens, type PrefixMatch, type RequestView } from "./request.ts";
import { type KvTierName, kvTiers } from "./tier.ts";

/** Time to load a cached token from a tier, over the time to compute it; 1 and above: as good as not held. */
export type TierLoadShares = Readonly<Record<Exclude<KvTierName, "gpu">, number>>;

/**
 * Published times for a 120B mixture-of-experts model on one H200 that pulls KV over the network are 57 of 250 ms for 8k
 * tokens and 235 of 1,988 ms for 48k: 0.23 falling to 0.12, so storage is taken at the upper end; host memory is read some
 * five times as fast as a network.
 */
export const tierLoadSharesDefault: TierLoadShares = { cpu: 0.05, disk: 0.25, shared: 0.25 };

/** Prompt tokens of our requests at `slot` that are not computed yet, as far as is known. */
export function promptTokensAhead(table: EndpointTable, { pendingTokens }: PrefixMatch, slot: number): number {
  const unanswered = Math.max(0, table.toCompute(slot));
  const pending = pendingTokens?.[slot] ?? -1;
  return pending < 0 ? unanswered : Math.min(unanswered, pending);
}

/** Tokens whose time to compute is that of loading what `slot` holds of the prompt off the GPU. */
export function loadTokens({ tiers, blockTokens }: PrefixMatch, slot: number, shares: TierLoadShares): number {
  if (tiers === undefined) return 0;
  const at = slot * kvTiers.length;
  return blockTokens * (tiers[at + 1] * Math.min(1, shares.cpu) + tiers[at + 2] * Math.min(1, shares.disk) +
    tiers[at + 3] * Math.min(1, shares.shared));
}

/**
 * Work the prompt is to `slot`, in tokens to compute: what it does not hold in full, what it holds off the GPU by the
 * tier's load share. Blocks known from routing history count as on the GPU.
 */
export function workTokens(view: RequestView, match: PrefixMatch, slot: number, shares: TierLoadShares): number {
  const uncached = Math.max(0, view.promptTokens - cachedTokens(view, match, slot));
  return Math.min(uncached + loadTokens(match, slot, shares), view.promptTokens);
}
