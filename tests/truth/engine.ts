/** A model server's caches as they truly are: what it stores, moves, evicts and forgets, and what it says of it. */
import { KvTier, Prng } from "../../src/core/mod.ts";
import type { KvBatch, KvEvent, KvStored } from "../../src/protocol/mod.ts";

/** One block of a prompt: what it stands for, whatever an engine calls it. */
export interface Block {
  /** Names the whole prefix up to the block's end. */
  readonly key: string;
  readonly parent?: Block;
  readonly tokens: Uint32Array;
  readonly lora: string;
  /** Mixed into a chain's first block. */
  readonly salt: string;
}

/** References by tier: gpu, cpu. */
type References = [gpu: number, cpu: number];

/** What an engine holds, by block key. */
export type Truth = ReadonlyMap<string, readonly [gpu: number, cpu: number]>;

export const blockTokens = 4;

/** The blocks of a prompt, made once and shared, so that equal prefixes are the same objects. */
export class Blocks {
  readonly #known = new Map<string, Block>();

  get(key: string): Block {
    return this.#known.get(key)!;
  }

  /** `pages` name the blocks' contents, one small number each. */
  chain(pages: readonly number[], lora: string, salt: string): Block[] {
    const chain: Block[] = [];
    let key = `${lora}|${salt}`;
    for (const page of pages) {
      key += `/${page}`;
      let block = this.#known.get(key);
      if (!block) {
        const tokens = Uint32Array.from({ length: blockTokens }, (_, i) => page * 100 + i);
        block = { key, parent: chain.at(-1), tokens, lora, salt };
        this.#known.set(key, block);
      }
      chain.push(block);
    }
    return chain;
  }
}

/** One process of the engine, from its start to its end. */
export class ModelEngine {
  readonly #rng: Prng;
  readonly #blocks: Blocks;
  readonly #held = new Map<string, References>();
  readonly #hashes = new Map<string, bigint>();
  readonly #capacity: number;
  #events: KvEvent[] = [];
  #published = 0;
  /** Last batches published, oldest first. */
  readonly ring: KvBatch[] = [];

  constructor(
    rng: Prng,
    blocks: Blocks,
    readonly options: {
      readonly capacity: number;
      readonly ringLength: number;
      readonly firstSeq: number;
      /** Unix seconds. */
      readonly startSeconds: number;
    },
  ) {
    this.#rng = rng;
    this.#blocks = blocks;
    this.#capacity = options.capacity;
  }

  /** Batches published. */
  get published(): number {
    return this.#published;
  }

  /** Whether the ring has every batch, and will after the next one. */
  get ringIsWhole(): boolean {
    return this.#published < this.options.ringLength;
  }

  truth(): Truth {
    return new Map(Array.from(this.#held, ([key, [gpu, cpu]]) => [key, [gpu, cpu] as const]));
  }

  /** Does something at random. */
  work(): void {
    const roll = this.#rng.below(100);
    if (roll < 55) this.#serve();
    else if (roll < 65) this.#store([this.#anyOn(0)], 0);
    else if (roll < 80) this.#remove(0, 1 + this.#rng.below(3));
    else if (roll < 92) this.#offload();
    else if (roll < 99) this.#remove(1, 1 + this.#rng.below(2));
    else this.reset();
    while (this.#on(0).length > this.#capacity) this.#remove(0, 1);
  }

  /** Forgets every block and says so. */
  reset(): void {
    this.#held.clear();
    this.#events.push({ kind: "cleared" });
  }

  publish(timestamp: number): KvBatch {
    const batch = { seq: this.options.firstSeq + this.#published++, timestamp, events: this.#events };
    this.#events = [];
    this.ring.push(batch);
    if (this.ring.length > this.options.ringLength) this.ring.shift();
    return batch;
  }

  /** Computes a prompt: every block of it is on the GPU afterwards. */
  #serve(): void {
    const pages = Array.from({ length: 1 + this.#rng.below(6) }, () => 1 + this.#rng.below(3));
    const chain = this.#blocks.chain(
      pages,
      this.#rng.below(5) === 0 ? "adapter" : "",
      this.#rng.below(6) === 0 ? "s" : "",
    );
    const events = this.#events.length;
    const onGpu = (block: Block) => (this.#held.get(block.key)?.[0] ?? 0) > 0;
    for (let i = 0; i < chain.length;) {
      if (onGpu(chain[i])) {
        i++;
        continue;
      }
      let end = i + 1;
      while (end < chain.length && !onGpu(chain[end]) && this.#rng.below(3) > 0) end++;
      this.#store(chain.slice(i, end), 0);
      i = end;
    }
    if (this.#events.length - events > 1 && this.#rng.below(4) === 0) this.#tellParentLast(events);
  }

  /** Moves the store of a parent after all that was said of its children, as where two tiers report on their own. */
  #tellParentLast(at: number): void {
    const [parent, child] = this.#events.splice(at, 2) as KvStored[];
    const rest = this.#events.splice(at);
    this.#events.push(child);
    const block = this.#blocks.get([...this.#hashes].find(([, hash]) => hash === child.hashes[0])![0]);
    // What follows may hang on the child.
    const then = rest.length > 0 ? 0 : this.#rng.below(4);
    if (then === 1) this.#locate(block);
    if (then >= 2) this.#release(block, 0);
    this.#events.push(parent, ...rest);
    // A copy told of before the block itself.
    if (then === 3) {
      const last = this.#blocks.get([...this.#hashes].find(([, hash]) => hash === parent.hashes.at(-1))![0]);
      this.#locate(last);
      this.#events.splice(at, 0, this.#events.pop()!);
    }
  }

  #offload(): void {
    const block = this.#anyOn(0);
    if (!block) return;
    const parentHeld = block.parent === undefined || this.#held.has(block.parent.key);
    if (parentHeld && this.#rng.below(3) === 0) return this.#store([block], 1);
    this.#locate(block);
  }

  /** A copy on the CPU, by name only. */
  #locate(block: Block): void {
    this.#references(block)[1]++;
    this.#events.push({
      kind: "stored",
      tier: KvTier.Cpu,
      hashes: BigUint64Array.of(this.#hash(block)),
      tokens: new Uint32Array(),
      blockTokens: 0,
    });
  }

  /** Adds a reference to neighbouring blocks of one chain. */
  #store(blocks: readonly (Block | undefined)[], tier: 0 | 1): void {
    const [first] = blocks;
    if (!first || (first.parent && !this.#held.has(first.parent.key))) return;
    const tokens = new Uint32Array(blocks.length * blockTokens);
    blocks.forEach((block, i) => {
      this.#references(block!)[tier]++;
      tokens.set(block!.tokens, i * blockTokens);
    });
    const salted = !first.parent && first.salt !== "";
    const event: KvStored = {
      kind: "stored",
      tier: tier === 0 ? KvTier.Gpu : KvTier.Cpu,
      hashes: BigUint64Array.from(blocks, (block) => this.#hash(block!)),
      tokens,
      blockTokens,
      ...(first.parent && { parent: this.#hash(first.parent) }),
      ...(first.lora !== "" && { lora: first.lora }),
      ...(salted && { extras: [[first.salt], ...new Array(blocks.length - 1).fill(undefined)] }),
    };
    this.#events.push(event);
  }

  #remove(tier: 0 | 1, count: number): void {
    const blocks: Block[] = [];
    for (let i = 0; i < count; i++) {
      const block = this.#anyOn(tier);
      if (!block) break;
      this.#drop(block, tier);
      blocks.push(block);
    }
    if (blocks.length > 0) this.#tellRemoved(blocks, tier);
  }

  #release(block: Block, tier: 0 | 1): void {
    this.#drop(block, tier);
    this.#tellRemoved([block], tier);
  }

  #drop(block: Block, tier: 0 | 1): void {
    const references = this.#references(block);
    references[tier]--;
    if (references[0] + references[1] === 0) this.#held.delete(block.key);
  }

  #tellRemoved(blocks: readonly Block[], tier: 0 | 1): void {
    const hashes = BigUint64Array.from(blocks, (block) => this.#hash(block));
    this.#events.push({ kind: "removed", tier: tier === 0 ? KvTier.Gpu : KvTier.Cpu, hashes });
  }

  #on(tier: 0 | 1): string[] {
    return [...this.#held].filter(([, references]) => references[tier] > 0).map(([key]) => key);
  }

  #anyOn(tier: 0 | 1): Block | undefined {
    const on = this.#on(tier);
    return on.length > 0 ? this.#blocks.get(on[this.#rng.below(on.length)]) : undefined;
  }

  #references({ key }: Block): References {
    let references = this.#held.get(key);
    if (!references) this.#held.set(key, references = [0, 0]);
    return references;
  }

  /** The engine's own name for a block: another in each process. */
  #hash({ key }: Block): bigint {
    let hash = this.#hashes.get(key);
    if (hash === undefined) {
      hash = (BigInt(this.#rng.u32()) << 32n) | BigInt(this.#rng.u32());
      this.#hashes.set(key, hash);
    }
    return hash;
  }
}
