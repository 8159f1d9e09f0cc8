/** A tree, for a mirror to write to, that tells what changed in it. */
import type { KvTier } from "../core/mod.ts";
import type { BlockStore, BlockTreeApi } from "../hotpath/mod.ts";
import type { MirrorTree } from "../kv/mod.ts";
import type { DeltaLog } from "./delta_log.ts";

/**
 * Hands every call to `tree`, and what it changed of engine evidence to the log of its slot. What no list of changes
 * comes with (evidence by chained hash, dropped as doubtful, or given up as the memory was full) invalidates the log.
 */
export class JournalTree implements MirrorTree {
  readonly #tree: BlockTreeApi;
  readonly #logs: readonly DeltaLog[];
  readonly #onWrite: () => void;
  #evicted = 0;

  /** A log for each slot in use, by slot. `onWrite` hears of every store, move and removal. */
  constructor(tree: BlockTreeApi, logs: readonly DeltaLog[], onWrite: () => void = () => {}) {
    this.#tree = tree;
    this.#logs = logs;
    this.#onWrite = onWrite;
  }

  store(slot: number, blocks: BlockStore): boolean {
    // An engine hash that is announced again, now with other content, takes its old block away: no list tells which.
    const again = blocks.hashes.some((hash) => this.#tree.knows(slot, hash));
    const before = again ? this.#entries(slot) : 0;
    const stored = this.#tree.store(slot, blocks);
    const { changed } = this.#tree;
    this.#logs[slot].changed(blocks.tier, changed, true);
    if (again && this.#entries(slot) !== before + changed.length) this.#logs[slot].invalidate();
    this.#watchEviction();
    this.#onWrite();
    return stored;
  }

  locate(slot: number, tier: KvTier, engineHashes: BigUint64Array): number {
    const known = this.#tree.locate(slot, tier, engineHashes);
    this.#logs[slot].changed(tier, this.#tree.changed, true);
    this.#onWrite();
    return known;
  }

  remove(slot: number, tier: KvTier, engineHashes: BigUint64Array): number {
    const known = this.#tree.remove(slot, tier, engineHashes);
    this.#logs[slot].changed(tier, this.#tree.changed, false);
    this.#onWrite();
    return known;
  }

  clear(slot: number): void {
    this.#tree.clear(slot);
    this.#logs[slot].cleared();
  }

  hold(slot: number, tier: KvTier, hashes: BigUint64Array): number {
    return this.#invalidating(slot, this.#tree.hold(slot, tier, hashes));
  }

  release(slot: number, tier: KvTier, hashes: BigUint64Array): number {
    return this.#invalidating(slot, this.#tree.release(slot, tier, hashes));
  }

  dropDoubted(slot: number): void {
    const before = this.#entries(slot);
    this.#tree.dropDoubted(slot);
    this.#invalidating(slot, before - this.#entries(slot));
  }

  knows(slot: number, engineHash: bigint): boolean {
    return this.#tree.knows(slot, engineHash);
  }

  doubt(slot: number): void {
    this.#tree.doubt(slot);
  }

  /** Blocks, counted once a tier. */
  #entries(slot: number): number {
    return this.#tree.slotStats(slot).tiers.reduce((sum, blocks) => sum + blocks, 0);
  }

  #invalidating(slot: number, changes: number): number {
    if (changes > 0) this.#logs[slot].invalidate();
    return changes;
  }

  /** Which slot lost blocks to a full memory is not told: all may have. */
  #watchEviction(): void {
    const { evicted } = this.#tree.stats();
    if (evicted === this.#evicted) return;
    this.#evicted = evicted;
    for (const log of this.#logs) log.invalidate();
  }
}
