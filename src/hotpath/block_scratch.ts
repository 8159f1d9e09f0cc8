import type { BlockStore } from "./block_tree_types.ts";
import { type HotpathInstance } from "./load.ts";

/** Where the parts of one store lie in the memory. */
interface StoreParts {
  readonly blocks: number;
  readonly hashes: number;
  readonly tokens: number;
  /** 0 when there are none. */
  readonly extras: number;
  readonly changed: number;
}

/** Adapters whose chain's beginning is remembered. */
const rootsMax = 64;
const encoder = new TextEncoder();

/** What goes into the block tree and comes out of it: one stretch of the memory, and the chained hashing over it. */
export class BlockScratch {
  readonly words: number;
  readonly floats: Float64Array;
  readonly #words: BigUint64Array;
  readonly #halves: Uint32Array;
  readonly #kernels: HotpathInstance["kernels"];
  readonly #seed: bigint;
  readonly #roots = new Map<string, bigint>();

  /** `at` is a multiple of 64. */
  constructor(
    readonly buffer: ArrayBufferLike,
    readonly at: number,
    readonly bytes: number,
    kernels: HotpathInstance["kernels"],
    seed: bigint,
  ) {
    this.words = Math.floor(bytes / 8);
    this.#words = new BigUint64Array(buffer, at, this.words);
    this.#halves = new Uint32Array(buffer, at, this.words * 2);
    this.floats = new Float64Array(buffer, at, Math.min(16, this.words));
    this.#kernels = kernels;
    this.#seed = seed;
  }

  get firstU32(): number {
    return this.#halves[0];
  }

  setWords(word: number, from: BigUint64Array, start: number, end: number): void {
    this.#words.set(start === 0 && end === from.length ? from : from.subarray(start, end), word);
  }

  wordsAt(at: number, count: number): BigUint64Array {
    const word = (at - this.at) / 8;
    return this.#words.subarray(word, word + count);
  }

  /** Where the chain of a prompt for an adapter begins. */
  root(lora: string): bigint {
    const known = this.#roots.get(lora);
    if (known !== undefined) return known;
    const root = this.#xxh64(`${lora.length}:${lora}`);
    if (this.#roots.size === rootsMax) this.#roots.clear();
    this.#roots.set(lora, root);
    return root;
  }

  /** The chain's state after an extra string. */
  mix(state: bigint, extra: string): bigint {
    return this.#kernels.blocksMix(state, this.#xxh64(extra));
  }

  /** Writes the hashes of the blocks `from` to `end` of `tokens` to `hashes`; returns the last. */
  chain(
    state: bigint,
    { tokens, blockTokens }: { tokens: Uint32Array; blockTokens: number },
    hashes: BigUint64Array,
    from: number,
    end: number,
  ): bigint {
    // A block longer than the scratch goes in pieces.
    const part = Math.floor(this.bytes / (blockTokens * 4 + 8));
    if (part === 0) {
      for (let block = from; block < end; block++) {
        const last = (block + 1) * blockTokens;
        for (let at = block * blockTokens; at < last; at += this.#halves.length) {
          state = this.#extend(state, tokens.subarray(at, Math.min(last, at + this.#halves.length)));
        }
        hashes[block] = state;
      }
      return state;
    }
    for (let block = from; block < end; block += part) {
      const count = Math.min(part, end - block);
      this.#halves.set(tokens.subarray(block * blockTokens, (block + count) * blockTokens), count * 2);
      state = this.#kernels.blocksChain(state, this.at + count * 8, count, blockTokens, this.at);
      hashes.set(this.#words.subarray(0, count), block);
    }
    return state;
  }

  #extend(state: bigint, tokens: Uint32Array): bigint {
    this.#halves.set(tokens);
    return this.#kernels.blocksExtend(state, this.at, tokens.length);
  }

  /**
   * Puts as many blocks of a store as fit, from block `from` on. Throws when a single block does not: engines' blocks have
   * tens to hundreds of tokens.
   */
  putStore({ hashes, tokens, blockTokens, extras }: BlockStore, from: number): StoreParts {
    const words = extras?.slice(from).map((list) => (list ?? []).map((text) => this.#xxh64(text)));
    const { blocks, extraWords } = this.#fit(hashes.length - from, blockTokens, words);
    this.#words.set(hashes.subarray(from, from + blocks));
    let word = blocks * 2;
    let extrasAt = 0;
    if (words && extraWords > 0) {
      extrasAt = this.at + word * 8;
      for (let i = 0; i < blocks; i++) this.#halves[word * 2 + i] = words[i]?.length ?? 0;
      word += (blocks + 1) >> 1;
      for (let i = 0; i < blocks; i++) for (const extra of words[i] ?? []) this.#words[word++] = extra;
    }
    this.#halves.set(tokens.subarray(from * blockTokens, (from + blocks) * blockTokens), word * 2);
    return { blocks, hashes: this.at, changed: this.at + blocks * 8, extras: extrasAt, tokens: this.at + word * 8 };
  }

  /** Blocks that fit: two words each for hash and change, tokens, and for extras a half word each and their words. */
  #fit(blocks: number, blockTokens: number, extras?: readonly (readonly bigint[])[]) {
    let halves = 2;
    let extraWords = 0;
    for (let i = 0; i < blocks; i++) {
      const more = extras?.[i]?.length ?? 0;
      halves += 5 + more * 2 + blockTokens;
      if (halves <= this.#halves.length) {
        extraWords += more;
        continue;
      }
      if (i > 0) return { blocks: i, extraWords };
      throw new RangeError(
        `Cannot store a block as its tokens and extras must fit ${this.bytes} bytes: current value is ${halves * 4}`,
      );
    }
    return { blocks, extraWords };
  }

  /** Uses the scratch. */
  #xxh64(text: string): bigint {
    const bytes = encoder.encode(text);
    const room = new Uint8Array(this.buffer, this.at, this.bytes);
    let hash = this.#seed;
    for (let at = 0; at === 0 || at < bytes.length; at += room.length) {
      const part = bytes.subarray(at, at + room.length);
      room.set(part);
      hash = BigInt.asUintN(64, this.#kernels.xxh64(this.at, part.length, hash));
    }
    return hash;
  }
}
