/** Where a block of KV cache lies, fastest first. */
export const kvTiers = ["gpu", "cpu", "disk", "shared"] as const;
export type KvTierName = (typeof kvTiers)[number];

/** Position in `kvTiers`: the number the tree stores. */
export const KvTier = { Gpu: 0, Cpu: 1, Disk: 2, Shared: 3 } as const;
export type KvTier = (typeof KvTier)[keyof typeof KvTier];

/** How much an endpoint's feed can be relied on. */
export const FeedState = {
  /** No feed is configured, or it has told nothing yet: routing history is all there is. */
  Blind: 0,
  /** What was missed is being fetched; what is known is kept. */
  Resync: 1,
  /** Something was missed and could not be fetched: what is known may be stale or incomplete. */
  Suspect: 2,
  /** Everything the endpoint said since its cache was last known in full has been applied. */
  Live: 3,
} as const;
export type FeedState = (typeof FeedState)[keyof typeof FeedState];

export const feedStateNames = ["BLIND", "RESYNC", "SUSPECT", "LIVE"] as const;
