/**
 * What is known of the caches of all endpoints: the index requests are matched in, the feeds that tell it, and what an
 * earlier run or another router knew. The pool tells of endpoints that come and go; the pipeline asks.
 */
import {
  type Clock,
  type EndpointMeta,
  type EndpointTable,
  type FeedState,
  feedStateNames,
  kvTiers,
  type Prng,
  type PromptBlocks,
  type Timer,
} from "../core/mod.ts";
import type { BlockTreeApi } from "../hotpath/mod.ts";
import type { CacheFigures, CachePrediction } from "./calibration.ts";
import type { FeedOptions, FeedStatus } from "./feed_types.ts";
import { Feeds } from "./feeds.ts";
import { seedCheck } from "./feeds/agent_wire.ts";
import { Turns } from "./feeds/turns.ts";
import type { FeedSource, LoadSample } from "./feeds/types.ts";
import { KvIndex, type KvIndexStats, type Ticket } from "./kv_index.ts";
import { Gathering } from "./gathering.ts";
import { type KnownEndpoint, type SnapshotMessage, snapshotMessages, SnapshotReader } from "./snapshot.ts";

export interface CachesParts {
  readonly tree: BlockTreeApi;
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly rng: Prng;
  /** How to learn what an endpoint caches; undefined where there is no way. */
  readonly source: (meta: EndpointMeta) => FeedSource | undefined;
  readonly onLoad?: (slot: number, sample: LoadSample) => void;
  /** A feed's link was lost or not made; once a minute for a slot at most. */
  readonly onTrouble?: (slot: number, address: string, reason: string) => void;
  readonly onState?: (slot: number, state: FeedState, before: FeedState, reason: string) => void;
  /** So many (block, endpoint) pairs were given up since the last time, as the memory is full. */
  readonly onFull?: (pairs: number) => void;
}

export interface CachesOptions {
  /** Tokens of a block of a prompt where no endpoint tells of its blocks. */
  readonly blockTokens: number;
  /** Blocks of routing history at an endpoint that reports no cache size. */
  readonly capacityBlocks?: number;
  /** See KvIndexOptions. */
  readonly ticketsMax?: number;
  readonly feed?: Partial<FeedOptions>;
}

/** What is known of one endpoint's cache, for operators. */
export interface CacheStatus {
  /** Blocks by tier, and those known from routing history alone. */
  readonly blocks: Readonly<Record<string, number>>;
  /** Of the engine's, those not confirmed since something was missed. */
  readonly doubted: number;
  /** Predictions against what the engine reported; absent before the first. */
  readonly figures?: CacheFigures;
  readonly feed?: Omit<FeedStatus, "state" | "counters"> & {
    readonly state: string;
    readonly counters: Readonly<Record<string, number>>;
    readonly skipped: Readonly<Record<string, number>>;
  };
}

const upkeepMs = 250;
/** How often a full memory is told of. */
const fullEveryMs = 60_000;
/** Endpoints of an earlier run that have not been discovered by then are forgotten. */
const unclaimedTtlMs = 600_000;

export class Caches {
  readonly index: KvIndex;
  readonly feeds: Feeds;
  readonly #parts: CachesParts;
  /** By endpoint id: what was known of it before, until it turns up. */
  readonly #known = new Map<string, KnownEndpoint>();
  readonly #turns: Turns;
  #upkeep: Timer | undefined;
  /** Pairs given up that were told of, and when that was. */
  #toldEvicted = 0;
  #toldFullAtMs = -Infinity;
  #unclaimed: Timer | undefined;

  constructor(parts: CachesParts, options: CachesOptions) {
    this.#parts = parts;
    this.#turns = new Turns(parts.clock);
    const { tree, clock, rng, source, onLoad, onState, onTrouble } = parts;
    const { blockTokens, capacityBlocks, ticketsMax, feed } = options;
    this.index = new KvIndex(tree, { clock, blockTokens, capacityBlocks, ticketsMax, columns: parts.table });
    this.feeds = new Feeds({ tree, index: this.index, clock, rng, source, onLoad, onState, onTrouble }, { feed });
    this.#keep();
  }

  /** Chained hash of fixed tokens: equal where seeds and hash functions are. */
  get seedCheck(): bigint {
    return seedCheck(this.#parts.tree);
  }

  slotAdded(slot: number): void {
    const meta = this.#parts.table.meta(slot);
    const known = this.#known.get(meta.id);
    this.#known.delete(meta.id);
    this.feeds.add(slot, meta, (kind) => {
      // A position means something to the kind of feed it was read from only.
      if (known?.feed !== kind) return undefined;
      this.#parts.tree.restore(slot, known.blocks);
      return known.checkpoint;
    });
  }

  slotFreed(slot: number): void {
    this.feeds.remove(slot);
  }

  /** The engine reported the size of its cache. */
  geometry(slot: number, cacheBlocks: number, cacheBlockTokens: number): void {
    this.index.setCapacity(slot, cacheBlocks, cacheBlockTokens);
    // Until the feed tells of blocks themselves.
    if (this.feeds.kind(slot) && this.index.blockTokens(slot) === 0) this.index.setBlockTokens(slot, cacheBlockTokens);
  }

  /** A request with these blocks, after `depth` others, goes to `slot`. */
  claim(slot: number, blocks: PromptBlocks, depth: number, predictedMs: number | undefined): Ticket {
    const exact = blocks.exact === true;
    return this.index.speculate(slot, blocks, this.#parts.clock.now(), { predictedMs, exact, depth });
  }

  /** The engine reported how many prompt tokens it had in cache; see `Calibration.compare`. */
  reported(slot: number, prediction: CachePrediction, cachedTokens: number, live: boolean): void {
    this.feeds.calibration.compare(slot, prediction, cachedTokens, live);
  }

  stats(): KvIndexStats {
    return this.index.stats();
  }

  status(slot: number): CacheStatus {
    const { tiers, routed, doubted } = this.index.slotStats(slot);
    const blocks = { ...Object.fromEntries(kvTiers.map((name, tier) => [name, tiers[tier]])), routed };
    const figures = this.feeds.calibration.figures(slot);
    const feed = this.feeds.statusOf(slot);
    if (!feed) return { blocks, doubted, figures };
    const { state, counters: { skipped, ...counters }, ...rest } = feed;
    return {
      blocks,
      doubted,
      figures,
      feed: { ...rest, state: feedStateNames[state], counters, skipped: Object.fromEntries(skipped) },
    };
  }

  /** Takes over what was known of endpoints before; each counts when it turns up in the pool. */
  reader(): SnapshotReader {
    this.#unclaimed ??= this.#parts.clock.after(unclaimedTtlMs, () => this.#known.clear(), { background: true });
    return new SnapshotReader(this.seedCheck, (known) => void this.#known.set(known.id, known));
  }

  /** Endpoints known from before that have not turned up. */
  get unclaimed(): number {
    return this.#known.size;
  }

  /** What is known now, as a snapshot's messages; the event loop has its turns meanwhile. */
  async *snapshot(): AsyncGenerator<SnapshotMessage, void> {
    for await (const message of snapshotMessages(this.seedCheck, this.#parts.clock.wallMs(), this.#endpoints())) {
      if (this.#turns.exhausted()) await this.#turns.next();
      yield message;
    }
  }

  /** Ends the feeds; what is known stays for a last snapshot. */
  async stop(): Promise<void> {
    this.#upkeep?.cancel();
    this.#unclaimed?.cancel();
    await this.feeds.stop();
  }

  async *#endpoints(): AsyncGenerator<KnownEndpoint, void> {
    for (const slot of [...this.#parts.table.slots()]) {
      const known = await this.#gather(slot);
      if (known) yield known;
    }
  }

  /** What is known of one endpoint at one moment: its feed stands still meanwhile. */
  async #gather(slot: number): Promise<KnownEndpoint | undefined> {
    const { table, tree } = this.#parts;
    const feed = this.feeds.kind(slot), meta = table.peek(slot);
    const gathering = new Gathering(tree, slot);
    const hold = this.feeds.hold(slot, () => gathering.finish());
    try {
      // Without a position nothing could be said of what was missed since.
      if (!feed || !meta || !hold || hold.checkpoint.seq < 0) return undefined;
      while (gathering.step()) if (this.#turns.exhausted()) await this.#turns.next();
      return { id: meta.id, feed, checkpoint: hold.checkpoint, blocks: gathering.blocks };
    } finally {
      hold?.release();
    }
  }

  #keep(): void {
    const { clock } = this.#parts;
    this.#upkeep = clock.after(upkeepMs, () => {
      this.index.upkeep(clock.now());
      this.#tellFull();
      this.#keep();
    }, { background: true });
  }

  /** A feed says what was applied: that the memory could not hold it all has to be said apart. */
  #tellFull(): void {
    const { evicted } = this.#parts.tree.stats();
    const nowMs = this.#parts.clock.now();
    if (evicted === this.#toldEvicted || nowMs - this.#toldFullAtMs < fullEveryMs) return;
    this.#parts.onFull?.(evicted - this.#toldEvicted);
    this.#toldEvicted = evicted;
    this.#toldFullAtMs = nowMs;
  }
}
