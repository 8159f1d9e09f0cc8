/** A KV cache that changes as an engine's does, without an engine: conversations grow, and the oldest lose their ends. */
import { Prng } from "../../src/core/mod.ts";
import type { BlockTree } from "../../src/hotpath/mod.ts";
import type { SimKvEvent, SimTier } from "../../src/sim/mod.ts";

export const blockTokens = 16;

/** Beginnings that all engines hold, and blocks of each. */
const systems = 16;
const systemBlocks = 32;
/** Conversations any engine may be given: some are held by several. */
const conversations = 20_000;
const conversationBlocksMax = 600;
/** One conversation in so many goes to the CPU tier as well, which has room for one block in `cpuShare` of the GPU's. */
const offloadedEvery = 4;
const cpuShare = 8;

/** Blocks `0` to `gpu` lie on the GPU tier, `0` to `cpu` on the CPU tier. */
interface Chain {
  readonly key: number;
  gpu: number;
  cpu: number;
}

/** A block of the cache for comparison with a tree: chained hash and, bit by bit, its tiers. */
export type TrueBlock = readonly [hash: bigint, tiers: number];

export class CacheWriter {
  readonly #seed: number;
  readonly #blocksMax: number;
  readonly #prng: Prng;
  /** Least recently used first. */
  readonly #chains = new Map<number, Chain>();
  #gpu = 0;
  #cpu = 0;

  /** `blocksMax` on the GPU tier, the shared beginnings included where they fit. */
  constructor(seed: number, blocksMax: number) {
    this.#seed = seed;
    this.#blocksMax = blocksMax;
    this.#prng = new Prng(seed);
  }

  get counts(): { readonly gpu: number; readonly cpu: number } {
    return { gpu: this.#gpu, cpu: this.#cpu };
  }

  get full(): boolean {
    return this.#gpu >= this.#blocksMax;
  }

  /** The shared beginnings: what an engine that starts is asked first. */
  begin(): SimKvEvent[] {
    this.#gpu += systems * systemBlocks;
    return Array.from({ length: systems }, (_, i) => this.#stored("gpu", -1 - i, 0, systemBlocks));
  }

  /** One conversation grows by `blocks`; what the cache has no room for goes. */
  step(blocks: number): SimKvEvent[] {
    const key = this.#prng.below(conversations);
    const chain = this.#chains.get(key) ?? { key, gpu: 0, cpu: 0 };
    this.#chains.delete(key);
    this.#chains.set(key, chain);
    const grown = Math.min(conversationBlocksMax, chain.gpu + blocks);
    const events: SimKvEvent[] = [];
    if (grown > chain.gpu) events.push(this.#stored("gpu", key, chain.gpu, grown));
    this.#gpu += grown - chain.gpu;
    chain.gpu = grown;
    if (key % offloadedEvery === 0 && grown > chain.cpu) {
      events.push(this.#stored("cpu", key, chain.cpu, grown));
      this.#cpu += grown - chain.cpu;
      chain.cpu = grown;
    }
    for (const oldest of this.#chains.values()) {
      const gpu = Math.max(0, this.#gpu - this.#blocksMax);
      const cpu = Math.max(0, this.#cpu - Math.floor(this.#blocksMax / cpuShare));
      if (gpu + cpu === 0) break;
      this.#evict(oldest, Math.min(oldest.gpu, gpu), Math.min(oldest.cpu, cpu), events);
    }
    return events;
  }

  /** Every block, its hash chained by `tree`. */
  *held(tree: BlockTree): Generator<TrueBlock> {
    for (let i = 0; i < systems; i++) {
      const hashes = tree.chain({ tokens: tokensOf(-1 - i, 0, systemBlocks), blockTokens, lora: "" });
      for (const hash of hashes) yield [hash, 1];
    }
    for (const { key, gpu, cpu } of this.#chains.values()) {
      const own = tokensOf(key, 0, Math.max(gpu, cpu)), before = tokensOf(systemOf(key), 0, systemBlocks);
      const tokens = new Uint32Array(before.length + own.length);
      tokens.set(before);
      tokens.set(own, before.length);
      const hashes = tree.chain({ tokens, blockTokens, lora: "" });
      for (let block = 0; block < Math.max(gpu, cpu); block++) {
        yield [hashes[systemBlocks + block], (block < gpu ? 1 : 0) | (block < cpu ? 2 : 0)];
      }
    }
  }

  #evict(chain: Chain, gpu: number, cpu: number, events: SimKvEvent[]): void {
    const removed = (tier: SimTier, from: number, to: number) => {
      // The end of a chain goes first.
      const hashes = Array.from({ length: to - from }, (_, i) => this.#digest(chain.key, to - 1 - i));
      if (to > from) events.push({ kind: "removed", tier, hashes });
    };
    removed("gpu", chain.gpu - gpu, chain.gpu);
    removed("cpu", chain.cpu - cpu, chain.cpu);
    chain.gpu -= gpu;
    chain.cpu -= cpu;
    this.#gpu -= gpu;
    this.#cpu -= cpu;
    if (chain.gpu + chain.cpu === 0) this.#chains.delete(chain.key);
  }

  #stored(tier: SimTier, key: number, from: number, to: number): SimKvEvent {
    return {
      kind: "stored",
      tier,
      hashes: Array.from({ length: to - from }, (_, i) => this.#digest(key, from + i)),
      parent: this.#parent(key, from),
      tokens: tokensOf(key, from, to),
      blockSize: blockTokens,
      extras: Array.from({ length: to - from }, () => ({})),
    };
  }

  #parent(key: number, block: number): Uint8Array | undefined {
    if (block > 0) return this.#digest(key, block - 1);
    return key < 0 ? undefined : this.#digest(systemOf(key), systemBlocks - 1);
  }

  /** What stands for an engine's SHA-256: 32 bytes that differ from block to block and from engine to engine. */
  #digest(key: number, block: number): Uint8Array {
    const words = new Uint32Array(8);
    let state = mix(this.#seed, key);
    for (let i = 0; i < words.length; i++) words[i] = state = mix(state, block * words.length + i);
    return new Uint8Array(words.buffer);
  }
}

/** The beginning of a conversation. */
function systemOf(key: number): number {
  return -1 - key % systems;
}

function tokensOf(key: number, from: number, to: number): Uint32Array {
  const start = mix(7, key);
  return Uint32Array.from(
    { length: (to - from) * blockTokens },
    (_, i) => mix(start, from * blockTokens + i) % 150_000,
  );
}

/** Two numbers to one of 32 bits (the finalizer of MurmurHash3). */
function mix(a: number, b: number): number {
  let h = Math.imul(a ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(b + 0x7f4a7c15, 0xc2b2ae35);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
