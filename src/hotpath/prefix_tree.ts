import { type HotpathInstance } from "./load.ts";

/** What the tree holds and what it gave up. */
export interface PrefixTreeStats {
  /** Distinct blocks held by anyone. */
  readonly blocks: number;
  /** Blocks summed over slots. */
  readonly pairs: number;
  /** Runs of consecutive blocks. */
  readonly nodes: number;
  /** Shares of runs, summed over slots. */
  readonly holders: number;
  /** Bytes of cells in use, and of all cells; the rest of the region is a table of fixed size. */
  readonly bytesUsed: number;
  readonly bytesMax: number;
  /** Blocks given up as the memory was full. */
  readonly evictedBlocks: number;
  /** Blocks given up as a slot was full. */
  readonly trimmedBlocks: number;
}

/** Bytes of a cell with its link. */
const cellBytes = 68;

/**
 * Which slot holds how many leading blocks of a prompt: the tree kernel over its region of the shared memory.
 *
 * A slot holds prefixes only: having a block, it has every block before it. Each slot has a capacity in blocks and gives
 * up its least recently inserted tails beyond it; when the memory is full, the least recently inserted run of all goes.
 * Nothing here throws for lack of room. One isolate writes; any may match.
 */
export class PrefixTree {
  readonly slots: number;
  /** Longest path taken in; what lies beyond is ignored. */
  readonly blocksMax: number;
  readonly #kernels: HotpathInstance["kernels"];
  readonly #base: number;
  readonly #hashes: BigUint64Array;
  readonly #matches: Int32Array;
  readonly #stats: Float64Array;

  constructor({ memory, layout, kernels }: HotpathInstance, slots: number) {
    this.slots = slots;
    this.#kernels = kernels;
    this.#base = layout.prefixTree.offset;
    this.#hashes = new BigUint64Array(memory.buffer, layout.hashes.offset, layout.hashes.bytes / 8);
    this.#matches = new Int32Array(memory.buffer, layout.matches.offset, slots);
    this.#stats = new Float64Array(memory.buffer, layout.hashes.offset, 8);
    this.blocksMax = this.#hashes.length;
  }

  /** Lays an empty tree into `bytes` bytes; every slot's capacity is 0. For the one isolate that writes. */
  init(bytes: number): void {
    if (this.#kernels.treeInit(this.#base, bytes, this.slots) === 0) {
      throw new RangeError(
        `Cannot lay out the prefix tree as its bytes must be at least ${
          4352 + this.slots * 32
        }: current value is ${bytes}`,
      );
    }
  }

  /** Leading blocks of the path each slot holds, by slot; valid until the next call. */
  match(path: BigUint64Array): Int32Array {
    const blocks = this.#load(path);
    this.#kernels.treeMatch(this.#base, this.#hashes.byteOffset, blocks, this.#matches.byteOffset, this.slots);
    return this.#matches;
  }

  /**
   * Records that a slot holds a path and makes the path the slot's most recent. Blocks not yet `confirmed` can be
   * withdrawn. Returns the blocks recorded: fewer than given when the slot or the memory is smaller than the path.
   */
  insert(slot: number, path: BigUint64Array, confirmed: boolean): number {
    return this.#kernels.treeInsert(this.#base, slot, this.#hashes.byteOffset, this.#load(path), confirmed);
  }

  /**
   * Takes a path's blocks back, deepest first, down to the block `from`; stops at the first that is confirmed or that
   * leads to another block of the slot. Returns the blocks removed.
   */
  withdraw(slot: number, path: BigUint64Array, from: number): number {
    return this.#kernels.treeWithdraw(this.#base, slot, this.#hashes.byteOffset, this.#load(path), from);
  }

  clearSlot(slot: number): void {
    this.#kernels.treeClearSlot(this.#base, slot);
  }

  /** Blocks a slot may hold; drops its oldest beyond. */
  setCapacity(slot: number, blocks: number): void {
    this.#kernels.treeSetCapacity(this.#base, slot, blocks);
  }

  /** Blocks a slot holds. */
  slotBlocks(slot: number): number {
    return this.#kernels.treeSlotBlocks(this.#base, slot);
  }

  stats(): PrefixTreeStats {
    this.#kernels.treeStats(this.#base, this.#stats.byteOffset);
    const [blocks, pairs, nodes, holders, cellsUsed, cells, evictedBlocks, trimmedBlocks] = this.#stats;
    const bytesUsed = cellsUsed * cellBytes;
    return { blocks, pairs, nodes, holders, bytesUsed, bytesMax: cells * cellBytes, evictedBlocks, trimmedBlocks };
  }

  #load(path: BigUint64Array): number {
    if (path.length <= this.blocksMax) {
      this.#hashes.set(path);
      return path.length;
    }
    this.#hashes.set(path.subarray(0, this.blocksMax));
    return this.blocksMax;
  }
}
