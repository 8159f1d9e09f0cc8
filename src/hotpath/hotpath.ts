import { EndpointTable } from "../core/mod.ts";
import { BlockTree } from "./block_tree.ts";
import { BlockHasher, type PromptIdentity, tokenBytes } from "./hash.ts";
import { type MemorySizes } from "./layout.ts";
import { type HotpathInstance, instantiate } from "./load.ts";
import { Scanner } from "./scan.ts";

/** Where the endpoint table lies: the arguments of its constructor. */
export interface EndpointTableRegion {
  readonly capacity: number;
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
}

/** The kernels of one isolate, each behind its typed door. */
export class Hotpath {
  readonly instance: HotpathInstance;
  readonly endpointTable: EndpointTableRegion;
  /** To be used when the memory was laid out with bytes for it. */
  readonly blockTree: BlockTree;
  readonly scanner: Scanner;
  readonly #hasher: BlockHasher;

  /**
   * Lays out the memory and an empty tree. `seed` enters every block hash. The hash is fast, not cryptographic:
   * a collision makes a match look longer than it is, which costs a detour and never a wrong answer.
   */
  static async load(sizes: MemorySizes, seed: bigint | number): Promise<Hotpath> {
    const instance = await instantiate(sizes, EndpointTable.bytes(sizes.endpoints));
    const hotpath = new Hotpath(instance, sizes, BigInt(seed));
    if (sizes.blockTreeBytes) hotpath.blockTree.init(sizes.blockTreeBytes);
    return hotpath;
  }

  private constructor(instance: HotpathInstance, sizes: MemorySizes, seed: bigint) {
    this.instance = instance;
    this.endpointTable = {
      capacity: sizes.endpoints,
      buffer: instance.memory.buffer,
      byteOffset: instance.layout.endpointTable.offset,
    };
    this.blockTree = new BlockTree(instance, sizes.endpoints, seed);
    this.scanner = new Scanner(instance);
    this.#hasher = new BlockHasher(instance, seed, sizes.prefixTokensMax * tokenBytes);
  }

  /**
   * One chained hash a block of the canonical prompt bytes, the last, partial block included. What `scanner.canonicalise()`
   * gave is hashed where it lies.
   */
  hashPrompt(canonical: Uint8Array, identity: PromptIdentity): BigUint64Array {
    return this.#hasher.hashPrompt(canonical, identity);
  }

  /** XXH64 of bytes that fit the hash region, 8 bytes for every 16 tokens of the longest prefix. */
  xxh64(bytes: Uint8Array, seed: bigint): bigint {
    return this.#hasher.xxh64(bytes, seed);
  }
}
