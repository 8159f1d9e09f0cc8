import type { HeldBlock } from "./block_tree_types.ts";

/** Words a block takes: chained hash 2, engine hash 2, references by tier 4 × u8, 1 when told by engine hash. */
export const heldWords = 6;

const lowBits = 0xffff_ffffn;

/** What a slot's engine told, packed as the block tree kernel writes and reads it. */
export class HeldBlocks implements Iterable<HeldBlock> {
  #words = new Uint32Array(0);
  #length = 0;

  static from(held: Iterable<HeldBlock>): HeldBlocks {
    const blocks = new HeldBlocks();
    for (const block of held) blocks.add(block);
    return blocks;
  }

  get length(): number {
    return this.#length;
  }

  /** The blocks from `start` to `end`; a view, until something is added. */
  words(start: number, end: number): Uint32Array {
    return this.#words.subarray(start * heldWords, Math.min(end, this.#length) * heldWords);
  }

  /** Room for `count` more blocks, to be filled in; they count as added. */
  extend(count: number): Uint32Array {
    const start = this.#length * heldWords, end = start + count * heldWords;
    if (end > this.#words.length) {
      const longer = new Uint32Array(Math.max(end, 2 * this.#words.length));
      longer.set(this.#words);
      this.#words = longer;
    }
    this.#length += count;
    return this.#words.subarray(start, end);
  }

  /** References beyond 255 count as 255. */
  add({ hash, engineHash, tiers }: HeldBlock): void {
    const words = this.extend(1);
    const own = engineHash ?? 0n;
    words[0] = Number(hash & lowBits);
    words[1] = Number(hash >> 32n);
    words[2] = Number(own & lowBits);
    words[3] = Number(own >> 32n);
    words[4] = tiers.reduce((word, count, tier) => word | Math.min(255, count) << (8 * tier), 0);
    words[5] = engineHash === undefined ? 0 : 1;
  }

  *[Symbol.iterator](): Generator<HeldBlock> {
    for (let at = 0; at < this.#length * heldWords; at += heldWords) {
      const [low, high, ownLow, ownHigh, refs, told] = this.#words.subarray(at, at + heldWords);
      const hash = BigInt(high) << 32n | BigInt(low);
      const tiers = [refs & 0xff, refs >>> 8 & 0xff, refs >>> 16 & 0xff, refs >>> 24] as const;
      if (told === 0) yield { hash, tiers };
      else yield { hash, engineHash: BigInt(ownHigh) << 32n | BigInt(ownLow), tiers };
    }
  }
}
