import type { EngineRequest } from "../engine_types.ts";
import type { BlockHasher } from "./block_hash.ts";
import { ChainNodes } from "./chain_nodes.ts";
import {
  type BlockExtras,
  type MediaMark,
  type MediaSpan,
  type SimKvBatch,
  type SimKvEvent,
  type SimStored,
  type SimTier,
  simTiers,
  type TrueBlock,
} from "./events.ts";
import type { OffloadWatch } from "./offload.ts";

/** What an engine's cache is watched for. */
export interface LedgerOptions {
  readonly blockSize: number;
  readonly hasher: BlockHasher;
  /** Data-parallel rank, told in batches. */
  readonly rank: number;
  /** Whether events of slower tiers tell tokens and parent, or the hashes alone. */
  readonly offloadEvents: "self" | "location";
  /**
   * Blocks a slower tier is written in. Above 1 a store tells its whole chunk so far again, and the same blocks are
   * told removed once for each time but the last: what a reader that does not count takes for an eviction.
   */
  readonly offloadChunkBlocks: number;
}

const noNode = -1;
const noExtras: BlockExtras = {};

/** Names of the tiers in a set of bits. */
const tiersOf = Array.from({ length: 16 }, (_, bits) => simTiers.filter((_, tier) => (bits >> tier & 1) === 1));

/** A number of an adapter that depends on its name alone, as vLLM's `lora_int_id` is above 0. */
export function adapterIdOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return (hash >>> 1) % 1_000_000 + 1;
}

/**
 * What an engine's cache holds, told by the engine as it changes: keeps the truth, and writes the events a real engine
 * would publish. Events gather until the step ends, then make one batch.
 */
export class CacheLedger implements OffloadWatch {
  readonly options: LedgerOptions;
  #hasher: BlockHasher;
  readonly #nodes: ChainNodes;
  /** Of each node, the tiers that hold it: bit `n` for tier `n`. */
  #tiers = new Uint8Array(256);
  readonly #extras = new Map<number, BlockExtras>();
  #events: SimKvEvent[] = [];
  #batches: SimKvBatch[] = [];
  /** Blocks a slower tier stored since the last event: a part of one chain. */
  #run: { tier: number; nodes: number[] } | undefined;
  /** Announcements of a node and tier to be taken back at the end of the step after: node * 4 + tier, and how many. */
  #again = new Map<number, number>();

  constructor(options: LedgerOptions) {
    this.options = options;
    this.#hasher = options.hasher;
    this.#nodes = new ChainNodes({ blockSize: options.blockSize, digestBytes: options.hasher.digestBytes });
  }

  /** Whether batches wait to be taken. */
  get pending(): boolean {
    return this.#batches.length > 0;
  }

  /** The batches since the last call, oldest first. */
  take(): readonly SimKvBatch[] {
    const batches = this.#batches;
    if (batches.length > 0) this.#batches = [];
    return batches;
  }

  /** The accelerator now holds blocks `from` to `to` of the request's chain, under their keys. */
  stored(request: EngineRequest, from: number, to: number): void {
    this.#endRun();
    const nodes: number[] = [];
    let node = from === 0 ? noNode : this.#nodeOf(request, from - 1);
    for (let i = from; i < to; i++) {
      const known = this.#nodes.find(request.prompt.keys[i]);
      node = known === noNode ? this.#make(request, i, node) : known;
      this.#enter(node, 0);
      nodes.push(node);
    }
    this.#events.push(this.#storedEvent(nodes, 0, true));
  }

  /** The accelerator reuses the block with `key`. */
  evicted(key: number): void {
    this.#leave(key, 0);
  }

  tierStored(tier: SimTier, key: number): void {
    const at = simTiers.indexOf(tier);
    const node = this.#nodes.find(key);
    if (node === noNode) throw new RangeError("Cannot offload a block as its content is not known");
    this.#enter(node, at);
    if (this.#run?.tier === at && this.#run.nodes.at(-1) === this.#nodes.parent(node)) {
      this.#run.nodes.push(node);
      return;
    }
    this.#endRun();
    this.#run = { tier: at, nodes: [node] };
  }

  tierRemoved(tier: SimTier, key: number): void {
    this.#leave(key, simTiers.indexOf(tier));
  }

  /** The prefix cache was reset at `atMs`: every tier is empty. */
  cleared(atMs: number): void {
    this.#endRun();
    this.#forget();
    this.#events.push({ kind: "cleared" });
    this.#flush(atMs);
  }

  /** The engine's process is a new one, with its own hasher: nothing is held, and what was not told never will be. */
  restarted(hasher: BlockHasher): void {
    this.#hasher = hasher;
    this.#run = undefined;
    this.#forget();
    this.#events = [];
    this.#batches = [];
  }

  stepEnded(atMs: number): void {
    this.#endRun();
    this.#flush(atMs);
  }

  /** Everything the cache holds, parents before children; a step in flight counts. Costs one object a block. */
  trueCache(): TrueBlock[] {
    const copy = this.#nodes.copy();
    const made = new Map<number, TrueBlock>();
    const blocks: TrueBlock[] = [];
    const path: number[] = [];
    for (const start of this.#nodes.all()) {
      for (let node = start; node !== noNode && !made.has(node); node = this.#nodes.parent(node)) path.push(node);
      for (let node = path.pop(); node !== undefined; node = path.pop()) {
        const block = {
          parent: made.get(this.#nodes.parent(node)),
          tokens: copy.tokens(node),
          hash: copy.digest(node),
          extras: this.#extras.get(node) ?? noExtras,
          tiers: tiersOf[this.#tiers[node]],
        };
        made.set(node, block);
        blocks.push(block);
      }
    }
    return blocks;
  }

  /** The node of block `index` of the request's chain; it and its ancestors are made where they are missing. */
  #nodeOf(request: EngineRequest, index: number): number {
    const { keys } = request.prompt;
    let first = index;
    while (first >= 0 && this.#nodes.find(keys[first]) === noNode) first--;
    let node = first < 0 ? noNode : this.#nodes.find(keys[first]);
    for (let i = first + 1; i <= index; i++) node = this.#make(request, i, node);
    return node;
  }

  #make({ prompt, adapter }: EngineRequest, index: number, parent: number): number {
    const { keys, content } = prompt;
    if (content === undefined) throw new RangeError("Cannot tell of a prompt's blocks as its tokens are not known");
    const node = this.#nodes.add(keys[index], parent);
    const tokens = this.#nodes.tokens(node);
    content.fill(index, tokens);
    const extras = extrasOf(index, this.options.blockSize, { adapter, salt: content.salt, media: content.media });
    if (extras !== undefined) this.#extras.set(node, extras);
    const before = parent === noNode ? this.#hasher.root(adapter) : this.#nodes.digest(parent);
    this.#nodes.digest(node).set(this.#hasher.next(before, tokens, extras ?? noExtras));
    return node;
  }

  #enter(node: number, tier: number): void {
    if (node >= this.#tiers.length) {
      const larger = new Uint8Array(Math.max(node + 1, this.#tiers.length * 2));
      larger.set(this.#tiers);
      this.#tiers = larger;
    }
    this.#tiers[node] |= 1 << tier;
    this.#nodes.hold(node);
  }

  #leave(key: number, tier: number): void {
    this.#endRun();
    const node = this.#nodes.find(key);
    if (node === noNode || (this.#tiers[node] >> tier & 1) === 0) return;
    const hash = this.#nodes.digest(node).slice();
    const again = this.#again.get(node * 4 + tier) ?? 0;
    this.#again.delete(node * 4 + tier);
    for (let i = 0; i <= again; i++) this.#events.push({ kind: "removed", tier: simTiers[tier], hashes: [hash] });
    this.#tiers[node] &= ~(1 << tier);
    this.#nodes.release(node, (freed) => this.#extras.delete(freed));
  }

  /** Writes the event of the blocks a slower tier has stored in a row. */
  #endRun(): void {
    if (this.#run === undefined) return;
    const { tier, nodes } = this.#run;
    this.#run = undefined;
    const chunk = this.options.offloadChunkBlocks;
    for (let first = nodes[0]; this.#nodes.index(first) % chunk !== 0;) {
      first = this.#nodes.parent(first);
      if ((this.#tiers[first] >> tier & 1) === 0) break;
      nodes.unshift(first);
      this.#again.set(first * 4 + tier, (this.#again.get(first * 4 + tier) ?? 0) + 1);
    }
    this.#events.push(this.#storedEvent(nodes, tier, this.options.offloadEvents === "self"));
  }

  #storedEvent(nodes: readonly number[], tier: number, whole: boolean): SimStored {
    const { blockSize } = this.options;
    const parent = this.#nodes.parent(nodes[0]);
    const tokens = new Uint32Array(whole ? nodes.length * blockSize : 0);
    if (whole) nodes.forEach((node, i) => tokens.set(this.#nodes.tokens(node), i * blockSize));
    const adapter = this.#extras.get(nodes[0])?.adapter;
    return {
      kind: "stored",
      tier: simTiers[tier],
      hashes: nodes.map((node) => this.#nodes.digest(node).slice()),
      ...(whole && parent !== noNode && { parent: this.#nodes.digest(parent).slice() }),
      tokens,
      blockSize: whole ? blockSize : 0,
      extras: nodes.map((node) => this.#extras.get(node) ?? noExtras),
      ...(adapter !== undefined && { adapter, adapterId: adapterIdOf(adapter) }),
    };
  }

  #flush(atMs: number): void {
    if (this.#events.length === 0) return;
    this.#batches.push({ atMs, rank: this.options.rank, events: this.#events });
    this.#events = [];
    for (const [place, count] of this.#again) {
      const hash = this.#nodes.digest(place >> 2).slice();
      for (let i = 0; i < count; i++) this.#events.push({ kind: "removed", tier: simTiers[place & 3], hashes: [hash] });
    }
    this.#again.clear();
  }

  #forget(): void {
    this.#again.clear();
    for (const node of [...this.#nodes.all()]) {
      if (this.#tiers[node] === 0) continue;
      const held = this.#tiers[node];
      this.#tiers[node] = 0;
      for (let tier = 0; tier < 4; tier++) {
        if (held >> tier & 1) this.#nodes.release(node, (freed) => this.#extras.delete(freed));
      }
    }
  }
}

/** What tells block `index` of a chain apart besides its tokens; undefined for nothing. */
function extrasOf(
  index: number,
  blockSize: number,
  { adapter, salt, media = [] }: { adapter?: string; salt?: string; media?: readonly MediaSpan[] },
): BlockExtras | undefined {
  const start = index * blockSize, end = start + blockSize;
  const marks: MediaMark[] = [];
  for (const { hash, offset, length } of media) {
    if (offset < end && offset + length > start) marks.push({ hash, at: offset - start });
  }
  const salted = index === 0 && salt !== undefined && salt !== "";
  if (adapter === undefined && !salted && marks.length === 0) return undefined;
  return {
    ...(adapter !== undefined && { adapter }),
    ...(salted && { salt }),
    ...(marks.length > 0 && { media: marks }),
  };
}
