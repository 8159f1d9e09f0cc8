/** Where a block lies, fastest first; as numbers 0 to 3. */
export const simTiers = ["gpu", "cpu", "disk", "shared"] as const;
export type SimTier = (typeof simTiers)[number];

/** A part of a prompt that is not text: `length` placeholder tokens from `offset` on stand for the content `hash`. */
export interface MediaSpan {
  readonly hash: string;
  readonly offset: number;
  readonly length: number;
}

/** A media part that overlaps a block: its content, and where it begins relative to the block's first token. */
export interface MediaMark {
  readonly hash: string;
  readonly at: number;
}

/** What tells two blocks with the same tokens and the same parent apart. */
export interface BlockExtras {
  readonly adapter?: string;
  /** Only on a chain's first block. */
  readonly salt?: string;
  readonly media?: readonly MediaMark[];
}

/** Blocks that entered a tier, in chain order. */
export interface SimStored {
  readonly kind: "stored";
  readonly tier: SimTier;
  /** One digest a block. */
  readonly hashes: readonly Uint8Array[];
  /** Digest of the block before the first; absent at the start of a chain, and where only the location is told. */
  readonly parent?: Uint8Array;
  /** `blockSize` a block; empty where only the location is told. */
  readonly tokens: Uint32Array;
  /** Tokens of a block; 0 where only the location is told. */
  readonly blockSize: number;
  /** One entry a block. */
  readonly extras: readonly BlockExtras[];
  readonly adapter?: string;
  /** The engine's number of the adapter. */
  readonly adapterId?: number;
}

/** Blocks that left a tier. */
export interface SimRemoved {
  readonly kind: "removed";
  readonly tier: SimTier;
  readonly hashes: readonly Uint8Array[];
}

/** The whole cache was dropped. */
export interface SimCleared {
  readonly kind: "cleared";
}

export type SimKvEvent = SimStored | SimRemoved | SimCleared;

/** What one step of an engine did to its cache. */
export interface SimKvBatch {
  /** When the step ended, on the clock of the engine. */
  readonly atMs: number;
  /** Data-parallel rank. */
  readonly rank: number;
  readonly events: readonly SimKvEvent[];
}

/** A block in the cache, or an ancestor of one. */
export interface TrueBlock {
  /** The block before it in its chain; absent for a chain's first. */
  readonly parent?: TrueBlock;
  /** Tokens of this block alone; a view, as the hash is. */
  readonly tokens: Uint32Array;
  readonly hash: Uint8Array;
  readonly extras: BlockExtras;
  /** Tiers that hold it, fastest first; empty for one that only its descendants need. */
  readonly tiers: readonly SimTier[];
}
