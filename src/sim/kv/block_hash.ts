import type { Prng } from "../../core/mod.ts";
import { CborWriter } from "./cbor.ts";
import type { BlockExtras } from "./events.ts";
import { sha256 } from "./sha256.ts";
import { fnv1a64, xxh64 } from "./xxh64.ts";

/**
 * How an engine names its blocks: `sha256-cbor` is vLLM's `sha256_cbor`; `sglang` chains SHA-256 over the page's tokens;
 * `llm-d-cbor-fnv` and `llm-d-xxh64` are llm-d's request keys, which its simulator uses as engine hashes.
 */
export const blockHashNames = ["sha256-cbor", "sglang", "llm-d-cbor-fnv", "llm-d-xxh64"] as const;
export type BlockHashName = (typeof blockHashNames)[number];

/** A chain of block digests. */
export interface BlockHasher {
  readonly digestBytes: number;
  /** What stands before the first block of a chain. */
  root(adapter?: string): Uint8Array;
  /** Digest of the block with `tokens` after the block or root with digest `parent`. */
  next(parent: Uint8Array, tokens: Uint32Array, extras: BlockExtras): Uint8Array;
  /** The digest as the engine writes it where hashes are integers; SGLang's are signed. */
  toInt(digest: Uint8Array): bigint;
}

/** What a hasher is made of. */
export interface BlockHashOptions {
  readonly name: BlockHashName;
  /** `PYTHONHASHSEED` or llm-d's `hashSeed`. Absent: vLLM's chain starts from 32 bytes of `prng`, the others from "". */
  readonly seed?: string;
  /** Name of the base model; of the hashers only llm-d's depend on it. */
  readonly model: string;
}

/** A new hasher, as a starting engine makes it. */
export function blockHasher({ name, seed, model }: BlockHashOptions, prng: Prng): BlockHasher {
  if (name === "sha256-cbor") return new VllmHasher(seed, prng);
  if (name === "sglang") return new SglangHasher(seed);
  return name === "llm-d-xxh64" ? new LlmdXxhHasher(seed ?? "", model) : new LlmdFnvHasher(seed ?? "", model);
}

const text = new TextEncoder();
const cbor = new CborWriter();

/** Extra keys of a block as vLLM orders them: adapter, media with their offset in the block, salt. */
export function vllmExtraKeys({ adapter, media, salt }: BlockExtras): (string | [string, number])[] | null {
  if (adapter === undefined && media === undefined && salt === undefined) return null;
  const keys: (string | [string, number])[] = adapter === undefined ? [] : [adapter];
  for (const { hash, at } of media ?? []) keys.push([hash, at]);
  if (salt !== undefined) keys.push(salt);
  return keys;
}

const low64 = (digest: Uint8Array) =>
  new DataView(digest.buffer, digest.byteOffset, digest.byteLength).getBigUint64(digest.length - 8);

/** `H([parent, tokens, extra keys | null])`; the first parent is `H(seed)` or random. */
class VllmHasher implements BlockHasher {
  readonly digestBytes = 32;
  readonly #none: Uint8Array;

  constructor(seed: string | undefined, prng: Prng) {
    this.#none = seed === undefined
      ? Uint8Array.from({ length: 32 }, () => prng.below(256))
      : sha256(cbor.encode(seed));
  }

  root(): Uint8Array {
    return this.#none;
  }

  next(parent: Uint8Array, tokens: Uint32Array, extras: BlockExtras): Uint8Array {
    return sha256(cbor.encode([parent, tokens, vllmExtraKeys(extras)]));
  }

  toInt(digest: Uint8Array): bigint {
    return low64(digest);
  }
}

/**
 * SHA-256 of the page before, the tokens as 4 bytes each, little-endian, and the media; the adapter and the salt are a
 * namespace before the first page, where there is one.
 */
class SglangHasher implements BlockHasher {
  readonly digestBytes = 32;
  readonly #seed: Uint8Array;
  #words = new Uint8Array(0);

  constructor(seed = "") {
    this.#seed = text.encode(seed);
  }

  root(adapter?: string): Uint8Array {
    if (adapter === undefined) return this.#seed;
    return sha256(this.#seed, text.encode(adapter));
  }

  next(parent: Uint8Array, tokens: Uint32Array, { media, salt }: BlockExtras): Uint8Array {
    const parts = [parent, this.#littleEndian(tokens)];
    if (salt !== undefined) parts.unshift(text.encode(salt));
    for (const { hash } of media ?? []) parts.push(text.encode(hash));
    return sha256(...parts);
  }

  #littleEndian(tokens: Uint32Array): Uint8Array {
    if (this.#words.length !== tokens.length * 4) this.#words = new Uint8Array(tokens.length * 4);
    const view = new DataView(this.#words.buffer);
    for (let i = 0; i < tokens.length; i++) view.setUint32(i * 4, tokens[i], true);
    return this.#words;
  }

  /** The first 16 hexadecimal digits. */
  toInt(digest: Uint8Array): bigint {
    return new DataView(digest.buffer, digest.byteOffset).getBigInt64(0);
  }
}

/** Strings that taint a block in llm-d: media, then the salt. The adapter takes the model's place in the root. */
function llmdExtras({ media, salt }: BlockExtras): string[] {
  const strings = (media ?? []).map(({ hash }) => hash);
  return salt === undefined ? strings : [...strings, salt];
}

function bigEndian(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** `key = FNV1a64(CBOR[parent, tokens, extra])`, `root = FNV1a64(CBOR[FNV1a64(seed), null, model])`. */
class LlmdFnvHasher implements BlockHasher {
  readonly digestBytes = 8;
  readonly #init: bigint;
  readonly #model: string;

  constructor(seed: string, model: string) {
    this.#init = fnv1a64(text.encode(seed));
    this.#model = model;
  }

  root(adapter?: string): Uint8Array {
    return bigEndian(fnv1a64(cbor.encode([this.#init, null, adapter ?? this.#model])));
  }

  next(parent: Uint8Array, tokens: Uint32Array, extras: BlockExtras): Uint8Array {
    const strings = llmdExtras(extras);
    const extra = strings.length === 0 ? null : strings.map((Hash) => ({ Hash }));
    return bigEndian(fnv1a64(cbor.encode([low64(parent), tokens, extra])));
  }

  toInt(digest: Uint8Array): bigint {
    return low64(digest);
  }
}

/** `key = XXH64(parent LE8, tokens LE4 each, for each extra its length LE8 and bytes)`. */
class LlmdXxhHasher implements BlockHasher {
  readonly digestBytes = 8;
  readonly #init: bigint;
  readonly #model: string;

  constructor(seed: string, model: string) {
    this.#init = xxh64(text.encode(seed));
    this.#model = model;
  }

  root(adapter?: string): Uint8Array {
    return bigEndian(xxh64(this.#pack(this.#init, [], [adapter ?? this.#model])));
  }

  next(parent: Uint8Array, tokens: Uint32Array, extras: BlockExtras): Uint8Array {
    return bigEndian(xxh64(this.#pack(low64(parent), tokens, llmdExtras(extras))));
  }

  #pack(parent: bigint, tokens: ArrayLike<number>, strings: readonly string[]): Uint8Array {
    const encoded = strings.map((each) => text.encode(each));
    const bytes = new Uint8Array(8 + tokens.length * 4 + encoded.reduce((sum, each) => sum + 8 + each.length, 0));
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, parent, true);
    let at = 8;
    for (let i = 0; i < tokens.length; i++, at += 4) view.setUint32(at, tokens[i], true);
    for (const each of encoded) {
      view.setBigUint64(at, BigInt(each.length), true);
      bytes.set(each, at + 8);
      at += 8 + each.length;
    }
    return bytes;
  }

  toInt(digest: Uint8Array): bigint {
    return low64(digest);
  }
}
