import type { KvTier } from "../core/mod.ts";
import { BlockScratch } from "./block_scratch.ts";
import type {
  BlockMatch,
  BlockStore,
  BlockTreeApi,
  BlockTreeStats,
  HeldBlock,
  SlotStats,
  TokenPrompt,
} from "./block_tree_types.ts";
import { HeldBlocks, heldWords } from "./held_blocks.ts";
import { type HotpathInstance } from "./load.ts";

/** Bytes of an entry with its share of the overflow counts, and of a unit of the arena. */
const entryBytes = 16.25;
const unitBytes = 32;
/** What `blocksHeld` writes for one block, how many of them at a time, and how many entries it looks at meanwhile. */
const heldBytes = heldWords * 4;
const heldPart = 1024;
const heldEntries = 1 << 16;
const noEntry = 0xffff_ffff;

/**
 * Which slot holds which blocks on which tier: the block tree kernel over its region of the shared memory. The region
 * never grows; when it is full, the least useful of a few pairs is given up, and nothing throws for lack of room. One
 * isolate writes; any may match.
 *
 * Counts of an engine hash's references end at 63 on the GPU tier and at 15 on the others.
 */
export class BlockTree implements BlockTreeApi {
  readonly slots: number;
  readonly #kernels: HotpathInstance["kernels"];
  readonly #base: number;
  readonly #seed: bigint;
  readonly #scratch: BlockScratch;
  readonly #match: BlockMatch & { readonly at: number };
  #changed = new BigUint64Array(64);
  #changes = 0;

  /** `seed` enters every chained hash: routers and agents that exchange them need the same. */
  constructor({ memory, layout, kernels }: HotpathInstance, slots: number, seed: bigint) {
    this.slots = slots;
    this.#kernels = kernels;
    this.#base = layout.blockTree.offset;
    this.#seed = BigInt.asUintN(64, seed);
    const { offset, bytes } = layout.blocks;
    const matchBytes = bytes === 0 ? 0 : slots * 24 + 64;
    this.#scratch = new BlockScratch(memory.buffer, offset, bytes - matchBytes, kernels, this.#seed);
    const at = offset + bytes - matchBytes;
    this.#match = {
      at,
      blocks: new Int32Array(memory.buffer, at, matchBytes && slots),
      tiers: new Int32Array(memory.buffer, at + (matchBytes && slots * 4), matchBytes && slots * 4),
    };
  }

  /** Lays an empty tree into `bytes` bytes. For the one isolate that writes. */
  init(bytes: number): void {
    if (this.#kernels.blocksInit(this.#base, bytes, this.slots, Number(this.#seed & 0xffff_ffffn)) > 0) return;
    const least = 17_728 + this.slots * 128;
    throw new RangeError(
      `Cannot lay out the block tree as its bytes must be at least ${least}: current value is ${bytes}`,
    );
  }

  get changed(): BigUint64Array {
    return this.#changed.subarray(0, this.#changes);
  }

  chain({ tokens, blockTokens, lora, extras }: TokenPrompt): BigUint64Array {
    if (!Number.isInteger(blockTokens) || blockTokens < 1) {
      throw new RangeError(
        `Cannot hash tokens as blockTokens must be a whole number above 0: current value is ${blockTokens}`,
      );
    }
    const hashes = new BigUint64Array(Math.floor(tokens.length / blockTokens));
    let state = this.#scratch.root(lora);
    for (let block = 0; block < hashes.length;) {
      for (const extra of extras?.get(block) ?? []) state = this.#scratch.mix(state, extra);
      let end = block + 1;
      while (end < hashes.length && !extras?.has(end)) end++;
      state = this.#scratch.chain(state, { tokens, blockTokens }, hashes, block, end);
      block = end;
    }
    return hashes;
  }

  /** Blocks of tokens beyond the scratch are not matched. */
  match(hashes: BigUint64Array): BlockMatch {
    const scratch = this.#scratch;
    const count = Math.min(hashes.length, scratch.words);
    scratch.setWords(0, hashes, 0, count);
    this.#kernels.blocksMatch(this.#base, scratch.at, count, this.#match.at, this.slots);
    return this.#match;
  }

  store(slot: number, blocks: BlockStore): boolean {
    const { tier, hashes, tokens, blockTokens, lora } = blocks;
    if (tokens.length < hashes.length * blockTokens) {
      throw new RangeError(
        `Cannot store ${hashes.length} blocks as their tokens must be ${blockTokens} each: current value is ${tokens.length} in all`,
      );
    }
    this.#changes = 0;
    let parent = blocks.parent;
    if (parent !== undefined && hashes.length === 0) return this.knows(slot, parent);
    for (let from = 0, part = 0; from < hashes.length; from += part) {
      // Before the blocks are put there, as the root may be made in the scratch.
      const start = parent ?? this.#scratch.root(lora);
      const at = this.#scratch.putStore(blocks, from);
      part = at.blocks;
      const changes = this.#kernels.blocksStore(
        this.#base,
        slot,
        tier,
        at.hashes,
        part,
        parent !== undefined,
        start,
        at.tokens,
        blockTokens,
        at.extras,
        at.changed,
      );
      if (changes < 0) return from > 0;
      this.#keepChanges(at.changed, changes);
      parent = hashes[from + part - 1];
    }
    return true;
  }

  locate(slot: number, tier: KvTier, engineHashes: BigUint64Array): number {
    return this.#byEngineHash("blocksLocate", slot, tier, engineHashes);
  }

  remove(slot: number, tier: KvTier, engineHashes: BigUint64Array): number {
    return this.#byEngineHash("blocksRemove", slot, tier, engineHashes);
  }

  knows(slot: number, engineHash: bigint): boolean {
    return this.#kernels.blocksKnows(this.#base, slot, engineHash) !== 0;
  }

  hold(slot: number, tier: KvTier, hashes: BigUint64Array): number {
    return this.#inParts(hashes, (at, count) => this.#kernels.blocksHold(this.#base, slot, tier, at, count));
  }

  release(slot: number, tier: KvTier, hashes: BigUint64Array): number {
    return this.#inParts(hashes, (at, count) => this.#kernels.blocksRelease(this.#base, slot, tier, at, count));
  }

  clear(slot: number): void {
    this.#kernels.blocksClear(this.#base, slot);
  }

  doubt(slot: number): void {
    this.#kernels.blocksDoubt(this.#base, slot);
  }

  trust(slot: number): void {
    this.#kernels.blocksTrust(this.#base, slot);
  }

  dropDoubted(slot: number): void {
    this.#kernels.blocksDropDoubted(this.#base, slot);
  }

  claim(slot: number, hashes: BigUint64Array, depth = 0): void {
    this.#inParts(hashes, (at, count) => {
      this.#kernels.blocksClaim(this.#base, slot, at, count, depth);
      return depth += count;
    });
  }

  settle(slot: number, hashes: BigUint64Array, keep: boolean): void {
    const { words, at } = this.#scratch;
    // From the end, as the kernel does within a part.
    for (let end = hashes.length; end > 0; end -= words) {
      const from = Math.max(0, end - words);
      this.#scratch.setWords(0, hashes, from, end);
      this.#kernels.blocksSettle(this.#base, slot, at, end - from, keep);
    }
  }

  forgetRouted(slot: number): void {
    this.#kernels.blocksForgetRouted(this.#base, slot);
  }

  setCapacity(slot: number, blocks: number): void {
    this.#kernels.blocksSetCapacity(this.#base, slot, blocks);
  }

  /** Dead records count as pairs do. 0: nothing is dead. */
  reap(budget: number): number {
    return this.#kernels.blocksReap(this.#base, budget);
  }

  slotStats(slot: number): SlotStats {
    this.#kernels.blocksSlotStats(this.#base, slot, this.#scratch.at);
    const [gpu, cpu, disk, shared, blocks, doubted, routed] = this.#scratch.floats;
    return { tiers: [gpu, cpu, disk, shared], blocks, doubted, routed };
  }

  routedBlocks(slot: number): number {
    this.#kernels.blocksSlotStats(this.#base, slot, this.#scratch.at);
    return this.#scratch.floats[6];
  }

  /** `blocks` and `sets` count what is dead until it is reaped; `bytesUsed` is entries and sets in use. */
  stats(): BlockTreeStats {
    this.#kernels.blocksStats(this.#base, this.#scratch.at);
    const [blocks, pairs, sets, used, usedMax, units, unitsMax, evicted, trimmed] = this.#scratch.floats;
    const bytesUsed = used * entryBytes + units * unitBytes;
    return { blocks, pairs, sets, bytesUsed, bytesMax: usedMax * entryBytes + unitsMax * unitBytes, evicted, trimmed };
  }

  /** The slot's engine evidence must not change while the result is read. */
  *held(slot: number): Iterable<HeldBlock> {
    for (let from: number | undefined = 0; from !== undefined;) {
      const part = new HeldBlocks();
      from = this.heldPart(slot, from, part);
      yield* part;
    }
  }

  heldPart(slot: number, from: number, into: HeldBlocks): number | undefined {
    const { at, bytes, buffer } = this.#scratch;
    const limit = Math.min(heldPart, Math.floor((bytes - 8) / heldBytes));
    const count = this.#kernels.blocksHeld(this.#base, slot, from, heldEntries, at + 8, limit, at);
    const next = this.#scratch.firstU32;
    into.extend(count).set(new Uint32Array(buffer, at + 8, count * heldWords));
    return next === noEntry ? undefined : next;
  }

  restore(slot: number, held: Iterable<HeldBlock>): number {
    const { at, bytes, buffer } = this.#scratch;
    const limit = Math.min(heldPart, Math.floor(bytes / heldBytes));
    const packed = held instanceof HeldBlocks ? held : HeldBlocks.from(held);
    let restored = 0;
    for (let from = 0; from < packed.length; from += limit) {
      const words = packed.words(from, from + limit);
      new Uint32Array(buffer, at, words.length).set(words);
      restored += this.#kernels.blocksRestore(this.#base, slot, at, words.length / heldWords);
    }
    return restored;
  }

  #byEngineHash(kernel: "blocksLocate" | "blocksRemove", slot: number, tier: KvTier, hashes: BigUint64Array): number {
    const scratch = this.#scratch;
    this.#changes = 0;
    let known = 0;
    // A word for the number known, and as many for the changes as for the hashes.
    const part = Math.floor((scratch.words - 1) / 2);
    for (let from = 0; from < hashes.length; from += part) {
      const count = Math.min(part, hashes.length - from);
      scratch.setWords(1, hashes, from, from + count);
      const input = scratch.at + 8, changed = input + count * 8;
      const changes = this.#kernels[kernel](this.#base, slot, tier, input, count, scratch.at, changed);
      known += scratch.firstU32;
      this.#keepChanges(changed, changes);
    }
    return known;
  }

  #inParts(hashes: BigUint64Array, run: (at: number, count: number) => number): number {
    const { words, at } = this.#scratch;
    let sum = 0;
    for (let from = 0; from < hashes.length; from += words) {
      const end = Math.min(hashes.length, from + words);
      this.#scratch.setWords(0, hashes, from, end);
      sum += run(at, end - from);
    }
    return sum;
  }

  #keepChanges(at: number, count: number): void {
    if (count === 0) return;
    if (this.#changes + count > this.#changed.length) {
      const grown = new BigUint64Array(Math.max(this.#changed.length * 2, this.#changes + count));
      grown.set(this.changed);
      this.#changed = grown;
    }
    this.#changed.set(this.#scratch.wordsAt(at, count), this.#changes);
    this.#changes += count;
  }
}
