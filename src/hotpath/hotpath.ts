import { EndpointTable, type TableShare } from "../core/mod.ts";
import { BlockTree } from "./block_tree.ts";
import { Forests } from "./forests.ts";
import { BlockHasher, type PromptIdentity, tokenBytes } from "./hash.ts";
import { type MemorySizes } from "./layout.ts";
import { type HotpathInstance, makeShared, mapShared, type SharedHotpath } from "./load.ts";
import { Scanner } from "./scan.ts";

/** The kernels of one isolate, each behind its typed door. */
export class Hotpath {
  readonly instance: HotpathInstance;
  /** Given to `attach` in other isolates. */
  readonly shared: SharedHotpath;
  /** The table in the shared memory; each isolate knows its metadata for itself. */
  readonly table: EndpointTable;
  /** To be used when the memory was laid out with bytes for it. */
  readonly blockTree: BlockTree;
  readonly scanner: Scanner;
  /** To be used when the memory was laid out with bytes for them. */
  readonly forests: Forests;
  readonly #hasher: BlockHasher;

  /**
   * Lays out the memory and an empty tree, for isolate 0. `seed` enters every block hash. The hash is fast, not
   * cryptographic: a collision makes a match look longer than it is, which costs a detour and never a wrong answer.
   */
  static async load(sizes: MemorySizes, seed: bigint | number): Promise<Hotpath> {
    const shared = await makeShared(sizes, tableBytes(sizes));
    const hotpath = await Hotpath.attach(shared, sizes, seed, 0);
    if (sizes.blockTreeBytes) hotpath.blockTree.init(sizes.blockTreeBytes);
    return hotpath;
  }

  /** Maps a memory that isolate 0 laid out, of the same sizes and seed, in isolate `isolate` of `sizes.isolates`. */
  static async attach(
    shared: SharedHotpath,
    sizes: MemorySizes,
    seed: bigint | number,
    isolate: number,
  ): Promise<Hotpath> {
    const instance = await mapShared(shared, sizes, tableBytes(sizes), isolate);
    return new Hotpath(shared, instance, sizes, BigInt(seed), isolate);
  }

  private constructor(
    shared: SharedHotpath,
    instance: HotpathInstance,
    sizes: MemorySizes,
    seed: bigint,
    isolate: number,
  ) {
    this.shared = shared;
    this.instance = instance;
    const { memory, layout } = instance;
    const share: TableShare = { isolates: sizes.isolates, isolate };
    this.table = new EndpointTable(sizes.endpoints, memory.buffer, layout.endpointTable.offset, share);
    this.blockTree = new BlockTree(instance, sizes.endpoints, seed);
    this.scanner = new Scanner(instance);
    this.forests = new Forests(instance, sizes);
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

function tableBytes({ endpoints, isolates }: MemorySizes): number {
  return EndpointTable.bytes(endpoints, isolates);
}
