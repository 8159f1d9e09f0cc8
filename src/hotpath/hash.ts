import { type HotpathInstance } from "./load.ts";
import { blockTokensMin } from "./layout.ts";

/** What a prompt's hashes depend on besides its bytes. */
export interface PromptIdentity {
  /** Model or adapter name. */
  readonly model: string;
  /** Cache salt; "" when the request has none. */
  readonly salt: string;
  /** Tokens a block stands for; a token is four canonical bytes. At least 16. */
  readonly blockTokens: number;
}

/** Bytes of a canonical prompt that stand for one token. */
export const tokenBytes = 4;

const encoder = new TextEncoder();

/** The hash kernel over one isolate's scratch. */
export class BlockHasher {
  readonly #kernels: HotpathInstance["kernels"];
  readonly #seed: bigint;
  readonly #prompt: Uint8Array;
  readonly #scratch: Uint8Array;
  readonly #hashes: BigUint64Array;
  readonly #promptBytesMax: number;

  /** `seed` makes the hashes of one process differ from another's. */
  constructor({ memory, layout, kernels }: HotpathInstance, seed: bigint, promptBytesMax: number) {
    this.#kernels = kernels;
    this.#seed = BigInt.asUintN(64, seed);
    this.#promptBytesMax = promptBytesMax;
    this.#prompt = new Uint8Array(memory.buffer, layout.prompt.offset, layout.prompt.bytes);
    this.#scratch = new Uint8Array(memory.buffer, layout.hashes.offset, layout.hashes.bytes);
    this.#hashes = new BigUint64Array(memory.buffer, layout.hashes.offset, layout.hashes.bytes / 8);
  }

  /** XXH64. `bytes` must fit the hash region, which is overwritten. */
  xxh64(bytes: Uint8Array, seed: bigint): bigint {
    if (bytes.length > this.#scratch.length) {
      throw new RangeError(
        `Cannot hash bytes as their number must be at most ${this.#scratch.length}: current value is ${bytes.length}`,
      );
    }
    this.#scratch.set(bytes);
    return BigInt.asUintN(64, this.#kernels.xxh64(this.#scratch.byteOffset, bytes.length, seed));
  }

  /**
   * One chained hash a block of `canonical`, a last partial block included; bytes beyond the longest matched prefix
   * are left out. `canonical` is hashed where it lies when that is the start of the prompt region, else copied there.
   */
  hashPrompt(canonical: Uint8Array, { model, salt, blockTokens }: PromptIdentity): BigUint64Array {
    if (!Number.isInteger(blockTokens) || blockTokens < blockTokensMin) {
      throw new RangeError(
        `Cannot hash blocks as blockTokens must be an integer of at least ${blockTokensMin}: current value is ${blockTokens}`,
      );
    }
    const root = this.#root(model, salt);
    const bytes = Math.min(canonical.length, this.#promptBytesMax);
    if (canonical.buffer !== this.#prompt.buffer || canonical.byteOffset !== this.#prompt.byteOffset) {
      this.#prompt.set(canonical.subarray(0, bytes));
    }
    const blocks = this.#kernels.hashBlocks(
      this.#prompt.byteOffset,
      bytes,
      blockTokens * tokenBytes,
      this.#seed,
      root,
      this.#hashes.byteOffset,
    );
    return this.#hashes.slice(0, blocks);
  }

  /** Where a chain begins: differs by process, model and salt. */
  #root(model: string, salt: string): bigint {
    // The length keeps ("ab", "c") apart from ("a", "bc").
    const name = encoder.encode(`${model.length}:${model}${salt}`);
    let root = this.#seed;
    for (let at = 0; at < name.length; at += this.#scratch.length) {
      root = this.xxh64(name.subarray(at, at + this.#scratch.length), root);
    }
    return root;
  }
}
