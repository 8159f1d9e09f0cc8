import type { KvTier } from "../../core/mod.ts";

/** What an engine's cache did, the same for every engine, dialect and transport. */
export type KvEvent = KvStored | KvRemoved | KvCleared | KvHeld | KvReleased;

/** Blocks that entered a tier: full engine blocks in chain order. */
export interface KvStored {
  readonly kind: "stored";
  readonly tier: KvTier;
  /** The engine's own block hashes, low 64 bits, unsigned. */
  readonly hashes: BigUint64Array;
  /** Engine hash of the block before the first; absent at the start of a chain. */
  readonly parent?: bigint;
  /**
   * Token ids, `blockTokens` a block. Empty: location only, the blocks are known by their hashes from before and gain a
   * tier.
   */
  readonly tokens: Uint32Array;
  /** Tokens of an engine block; 0 when location only. */
  readonly blockTokens: number;
  /** LoRA adapter name; absent for the base model. */
  readonly lora?: string;
  /** Set when the engine told the adapter's number and not its name: such blocks cannot be matched. */
  readonly loraId?: number;
  /**
   * Strings mixed into a block's hash besides its tokens, by position in `hashes`: multimodal hashes by placeholder
   * start, then on a chain's first block the cache salt. The adapter's name is not among them. Absent: none.
   */
  readonly extras?: readonly (readonly string[] | undefined)[];
  /** KV-cache group of a hybrid model. */
  readonly group?: KvGroup;
}

/** Which of a hybrid model's caches an event is about. */
export interface KvGroup {
  readonly index: number;
  /** `full_attention`, `sliding_window`, `mamba` …; absent when the engine did not say. */
  readonly kind?: string;
  /** Tokens. */
  readonly slidingWindow?: number;
}

/** Blocks that left a tier. */
export interface KvRemoved {
  readonly kind: "removed";
  readonly tier: KvTier;
  readonly hashes: BigUint64Array;
  readonly group?: KvGroup;
}

/** The whole cache, every tier, was dropped. */
export interface KvCleared {
  readonly kind: "cleared";
}

/** From a Warmpath agent: blocks, by the router's own chained hash, that are now on a tier. */
export interface KvHeld {
  readonly kind: "held";
  readonly tier: KvTier;
  readonly hashes: BigUint64Array;
}

/** From a Warmpath agent: blocks, by the router's own chained hash, that no longer are on a tier. */
export interface KvReleased {
  readonly kind: "released";
  readonly tier: KvTier;
  readonly hashes: BigUint64Array;
}

/** Why an event, or a part of one, was left out. */
export type SkipReason =
  /** Not of the shape its tag asks for. */
  | "malformed"
  /** A tag this router does not know. */
  | "unknown-event"
  /** A medium this router does not know: its blocks count as not held. */
  | "unknown-medium"
  /** The last page has fewer tokens than a block; the pages before it are kept. */
  | "partial-page"
  /** Pairs of tokens in place of tokens: SGLang with EAGLE speculation. */
  | "token-pairs"
  /** The tokens are not those of the blocks: KV-cache groups that keep only some blocks of a prefix. */
  | "uneven-span";

/** One sequence-numbered message of a feed. Arrays of its events are views that may share a buffer. */
export interface KvBatch {
  /** Grows by 1 a batch; starts again when the publisher does. */
  readonly seq: number;
  /** Publisher's clock, Unix seconds; 0 when not told. */
  readonly timestamp: number;
  /** Data-parallel rank; absent when not told. */
  readonly rank?: number;
  readonly events: readonly KvEvent[];
  /** Events left out, wholly or in part, by reason; absent when none was. */
  readonly skipped?: Partial<Record<SkipReason, number>>;
  /** Set when nothing of the batch but its number could be read: what it said is lost. */
  readonly unreadable?: true;
}
