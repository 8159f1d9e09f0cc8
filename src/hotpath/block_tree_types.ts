/**
 * What the prefix tree kernel does, as seen from TypeScript: which endpoint slot holds which block of KV cache on which
 * tier, and how many leading blocks of a prompt that gives each slot.
 *
 * A node is one block, named by a 64-bit chained hash that stands for the whole prefix up to its end. Two kinds of
 * evidence say that a slot holds a block:
 *
 *   engine   told by the endpoint's feed, on a tier. Reference-counted per tier, as an engine may announce a block twice.
 *            Found again by the engine's own hash, which means something at that slot only.
 *   routed   a request with that block was sent there: claimed while the request is open, kept afterwards where nothing
 *            better is known. Least recently used first out, at the slot's capacity. Engine evidence replaces it.
 */
import type { KvTier } from "../core/mod.ts";
import type { HeldBlocks } from "./held_blocks.ts";

/** Blocks an engine announced, in chain order; see KvStored for the meaning of the parts. */
export interface BlockStore {
  readonly tier: KvTier;
  readonly hashes: BigUint64Array;
  readonly parent?: bigint;
  /** `blockTokens` × `hashes.length` token ids. */
  readonly tokens: Uint32Array;
  readonly blockTokens: number;
  /** Adapter name; "" for the base model. */
  readonly lora: string;
  readonly extras?: readonly (readonly string[] | undefined)[];
}

/** A prompt's token ids, to be cut in blocks and hashed. */
export interface TokenPrompt {
  readonly tokens: Uint32Array;
  /** Tokens from one hash to the next: the largest block size of the endpoints asked about. */
  readonly blockTokens: number;
  readonly lora: string;
  /** Strings mixed in at the beginning of a block, by block number. */
  readonly extras?: ReadonlyMap<number, readonly string[]>;
}

/** Leading blocks by slot; both arrays are reused by the next match. */
export interface BlockMatch {
  readonly blocks: Int32Array;
  /** `[slot * 4 + tier]`: of those, the blocks whose fastest tier that is. */
  readonly tiers: Int32Array;
}

export interface SlotStats {
  /** Blocks by tier; a block on two tiers counts twice. */
  readonly tiers: readonly [gpu: number, cpu: number, disk: number, shared: number];
  /** Blocks with engine evidence. */
  readonly blocks: number;
  /** Of those, not confirmed since `doubt`. */
  readonly doubted: number;
  /** Blocks with routed evidence. */
  readonly routed: number;
}

export interface BlockTreeStats {
  /** Distinct blocks anyone holds. */
  readonly blocks: number;
  /** (block, slot) pairs, engine and routed. */
  readonly pairs: number;
  /** Distinct sets of holders. */
  readonly sets: number;
  readonly bytesUsed: number;
  readonly bytesMax: number;
  /** Pairs given up as the memory was full, and as a slot's capacity was. */
  readonly evicted: number;
  readonly trimmed: number;
}

/** One (block, slot) pair with engine evidence, for snapshots and tests. */
export interface HeldBlock {
  /** Chained hash. */
  readonly hash: bigint;
  /** Engine hash; absent when the pair was told by chained hash. */
  readonly engineHash?: bigint;
  /** References by tier. */
  readonly tiers: readonly [number, number, number, number];
}

/** One isolate writes; any may match. Slots are below 1,024. */
export interface BlockTreeApi {
  readonly slots: number;

  /** Chained hashes of a prompt's full blocks. Equal token prefixes give equal hashes whatever the engines' block sizes. */
  chain(prompt: TokenPrompt): BigUint64Array;
  match(hashes: BigUint64Array): BlockMatch;

  /** Engine evidence by engine hash. False, and nothing done, when `parent` is not known at the slot. */
  store(slot: number, blocks: BlockStore): boolean;
  /** Adds a tier to blocks known by engine hash; returns how many were known. */
  locate(slot: number, tier: KvTier, engineHashes: BigUint64Array): number;
  /** Takes one reference of a tier from blocks known by engine hash; returns how many were known on it. */
  remove(slot: number, tier: KvTier, engineHashes: BigUint64Array): number;
  /** Whether the slot knows an engine hash. */
  knows(slot: number, engineHash: bigint): boolean;

  /** Engine evidence by chained hash, one reference at most a tier: agents, snapshots. Returns how many pairs changed. */
  hold(slot: number, tier: KvTier, hashes: BigUint64Array): number;
  release(slot: number, tier: KvTier, hashes: BigUint64Array): number;

  /**
   * Chained hashes whose presence on the tier changed in the last `store`, `locate` or `remove`, in order; for whoever
   * passes the changes on. Reused by the next call.
   */
  readonly changed: BigUint64Array;

  /** Forgets everything of a slot, at once; the memory comes back by `reap`. */
  clear(slot: number): void;
  /** Marks the slot's engine evidence as doubtful; what is stored, held or located again is not. */
  doubt(slot: number): void;
  /** Takes the doubt back: the slot's evidence turned out to be continuous. */
  trust(slot: number): void;
  /** Drops what is still doubtful. */
  dropDoubted(slot: number): void;

  /** Routed evidence: a request with these blocks is on its way to the slot. */
  claim(slot: number, hashes: BigUint64Array, depth?: number): void;
  /** Ends one claim; `keep` leaves the blocks as the slot's most recently used, else they go unless otherwise held. */
  settle(slot: number, hashes: BigUint64Array, keep: boolean): void;
  /** Drops the slot's kept routed evidence; open claims stay. */
  forgetRouted(slot: number): void;
  /** Blocks of kept routed evidence the slot may have; 0 keeps none. */
  setCapacity(slot: number, blocks: number): void;

  /** Frees up to `budget` dead pairs; returns how many. Calls that write do a little of it themselves. */
  reap(budget: number): number;

  slotStats(slot: number): SlotStats;
  /** `slotStats(slot).routed` alone, for the request path. */
  routedBlocks(slot: number): number;
  stats(): BlockTreeStats;
  /** Every pair of a slot with engine evidence, in no order. */
  held(slot: number): Iterable<HeldBlock>;
  /**
   * Those of `held` that lie in the next stretch of the tree, added to `into`: some tenths of a millisecond of work. `from`
   * is 0 at first, then what the last call returned; undefined is the end. In between, the slot's engine evidence must not
   * change; all else may.
   */
  heldPart(slot: number, from: number, into: HeldBlocks): number | undefined;
  /** Takes over pairs of a snapshot; the slot should be empty. Returns how many found room. */
  restore(slot: number, held: Iterable<HeldBlock>): number;
}
