/** One endpoint, its engine and its reader in virtual time: faults in, and what the reader must be able to say. */
import { equal, fail, ok } from "node:assert/strict";
import { setImmediate } from "node:timers";
import { EndpointTable, FeedState, feedStateNames, Prng, VirtualClock } from "../../src/core/mod.ts";
import type { BlockTreeApi } from "../../src/hotpath/mod.ts";
import { EndpointFeed, type FeedCheckpoint, type FeedStatus, KvIndex, type Ticket } from "../../src/kv/mod.ts";
import { type Block, Blocks, blockTokens, ModelEngine, type Truth } from "./engine.ts";
import { type Faults, ModelAgent, noFaults, type Presence, PublisherSource } from "./sources.ts";
import { dialects, overTheWire } from "./wire.ts";

/** How long an engine takes to start. */
const bootMs = 3000;
/** How long a feed may be LIVE without a link. */
const graceMs = 2000;

/** What the seeds together went through, so that a test that never meets a fault is noticed. */
export interface Coverage {
  liveChecks: number;
  notLive: number;
  gaps: number;
  replays: number;
  restarts: number;
  snapshots: number;
  orphans: number;
  duplicates: number;
  endedLive: number;
  resumed: number;
}

export const emptyCoverage = (): Coverage => ({
  liveChecks: 0,
  notLive: 0,
  gaps: 0,
  replays: 0,
  restarts: 0,
  snapshots: 0,
  orphans: 0,
  duplicates: 0,
  endedLive: 0,
  resumed: 0,
});

type Mode = "replay" | "live only" | "agent";

export class World {
  readonly clock = new VirtualClock();
  readonly #rng: Prng;
  readonly #mode: Mode;
  /** The router can read when the engine's process started. */
  readonly #scrapes: boolean;
  readonly #tree: BlockTreeApi;
  readonly #slot: number;
  readonly #coverage: Coverage;
  readonly #blocks = new Blocks();
  readonly #chained = new Map<string, bigint>();
  /** What was held at each position that a reader can stand at. */
  readonly #truths = new Map<string, Truth>();
  readonly #publisher: PublisherSource;
  readonly #agent: ModelAgent;
  #index: KvIndex;
  #tickets: Ticket[] = [];
  #engine: ModelEngine;
  #feed: EndpointFeed;
  #timestamp = 0;
  /** Batches applied at the last look at the tree. */
  #checked = -1;

  constructor(seed: number, tree: BlockTreeApi, slot: number, coverage: Coverage) {
    this.#rng = new Prng(seed);
    this.#tree = tree;
    this.#slot = slot;
    this.#coverage = coverage;
    this.#mode = (["replay", "replay", "live only", "agent"] as const)[this.#rng.below(4)];
    this.#scrapes = this.#rng.below(2) === 0;
    this.#engine = this.#newEngine(this.#rng.below(4) === 0 ? 1 : 0);
    const dialect = dialects[this.#rng.below(dialects.length)];
    const { firstSeq } = this.#engine.options;
    this.#publisher = new PublisherSource(
      this.clock,
      this.#rng.fork(),
      () => this.#engine,
      (batch) => overTheWire(batch, dialect),
      // Sometimes the reader is not told that this publisher counts from 1.
      { replays: this.#mode === "replay", firstSeq: this.#rng.below(2) === 0 ? firstSeq : undefined },
    );
    this.#agent = new ModelAgent(
      this.clock,
      this.#rng.fork(),
      (truth) => this.#presence(truth),
      1 + this.#rng.below(40),
    );
    this.#observe();
    this.#index = this.#newIndex();
    this.#feed = this.#newFeed();
    this.#feed.start();
  }

  /** Lives through faults, then without, and checks all along. */
  async run(steps: number): Promise<void> {
    this.#source.faults = this.#anyFaults();
    this.#scrape();
    for (let i = 0; i < steps; i++) {
      await this.#happen();
      await this.advance(1 + this.#rng.below(30));
    }
    await this.#quiet();
  }

  async #happen(): Promise<void> {
    const roll = this.#rng.below(200);
    if (roll < 150) this.#work();
    else if (roll < 170) this.#request();
    else if (roll < 178) this.#source.disconnect();
    else if (roll < 184) await this.advance(500 + this.#rng.below(6000));
    else if (roll < 188) await this.#restartEngine();
    else if (roll < 192) await this.#restartRouter();
    else if (roll < 194) this.#restartAgent();
    else if (roll < 197) this.#feed.distrust("a test says so");
    else this.#scrape();
  }

  /** No more faults: where nothing is lost for good, the reader must come to know all. */
  async #quiet(): Promise<void> {
    this.#source.faults = noFaults;
    await this.advance(bootMs);
    for (let i = 0; i < 3; i++) {
      this.#work();
      this.#scrape();
      await this.advance(100);
    }
    await this.advance(70_000);
    const recoverable = this.#mode === "agent" || (this.#mode === "replay" && this.#engine.ringIsWhole);
    if (!recoverable && this.#rng.below(2) === 0) this.#engine.reset();
    else if (!recoverable) return await this.#end();
    this.#work();
    this.#scrape();
    await this.advance(40_000);
    const { state, reason } = this.#feed.status();
    equal(feedStateNames[state], "LIVE", reason);
    this.#coverage.endedLive++;
    this.#equals(this.#engine.truth());
    await this.#end();
  }

  /** Nothing leaks. */
  async #end(): Promise<void> {
    this.#count();
    await this.#feed.stop();
    this.#index.clear(this.#slot);
    for (const ticket of this.#tickets) ticket.withdraw();
    while (this.#tree.reap(1 << 16) > 0);
    const { blocks, pairs } = this.#tree.stats();
    equal(pairs, 0, "pairs are left after clear()");
    equal(blocks, 0, "blocks are left after clear()");
    equal(this.#index.stats().openTickets, 0);
  }

  /** Moves the clock, letting everything run in between. */
  async advance(ms: number): Promise<void> {
    const until = this.clock.now() + ms;
    await this.#settle();
    while (this.clock.step(until)) {
      await this.#settle();
      this.#check();
    }
    this.clock.advance(until - this.clock.now());
    await this.#settle();
    this.#index.upkeep(this.clock.now());
    this.#check();
  }

  /** Lets everything run that does not wait for the clock. */
  async #settle(): Promise<void> {
    for (let i = 0; i < 8; i++) await undefined;
    if (this.#source.busy > 0) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  get #numbersTell(): boolean {
    return this.#mode === "live only" && !this.#scrapes;
  }

  get #source(): PublisherSource | ModelAgent {
    return this.#mode === "agent" ? this.#agent : this.#publisher;
  }

  /** While LIVE the tree is what the engine held when it sent what was applied last, and nothing told is left out. */
  #check(): void {
    const status = this.#feed.status();
    if (status.state !== FeedState.Live) return void this.#coverage.notLive++;
    this.#coverage.liveChecks++;
    equal(status.held, 0, "LIVE though batches wait");
    ok(this.#source.lostForMs() <= graceMs, "LIVE though the link is gone");
    if (this.#mode !== "agent") {
      ok(status.timestamp >= this.#publisher.newestTold, `LIVE at ${status.seq} though a later batch was told`);
    }
    // Nothing was applied since the last look.
    if (this.#checked === status.counters.batches && this.#rng.below(8) > 0) return;
    this.#checked = status.counters.batches;
    this.#equals(this.#truthAt(status));
  }

  #truthAt({ epoch, seq, timestamp }: FeedStatus): Truth {
    if (this.#mode !== "agent" && seq < 0) return new Map();
    const truth = this.#truths.get(this.#mode === "agent" ? `${epoch}:${seq}` : String(timestamp));
    return truth ?? fail(`LIVE at a position that never was: ${epoch}:${seq}, ${timestamp}`);
  }

  /** The tree holds what the engine does, block for block. */
  #equals(truth: Truth): void {
    const expected = new Map<bigint, string>();
    for (const [key, [gpu, cpu]] of truth) {
      const count = this.#mode === "agent" ? Math.min(gpu, 1) * 10 + Math.min(cpu, 1) : gpu * 10 + cpu;
      expected.set(this.#chain(key), String(count));
    }
    const actual = new Map<bigint, string>();
    for (const { hash, tiers } of this.#tree.held(this.#slot)) {
      equal(actual.has(hash), false, "a block is held twice");
      actual.set(hash, String(tiers[0] * 10 + tiers[1]));
    }
    const name = (hash: bigint) => [...this.#chained].find(([, chained]) => chained === hash)?.[0];
    for (const [hash, count] of expected) {
      if (actual.get(hash) !== count) fail(`block ${name(hash)} must be ${count}: the tree has ${actual.get(hash)}`);
    }
    for (const hash of actual.keys()) if (!expected.has(hash)) fail(`block ${name(hash)} is not held by the engine`);
  }

  #work(): void {
    if (this.#source.down) return;
    for (let i = this.#rng.below(3); i >= 0; i--) this.#engine.work();
    this.#observe();
  }

  /** The engine tells what it did. */
  #observe(): void {
    this.#timestamp = Math.max(this.#timestamp + 1e-6, this.clock.wallMs() / 1000);
    const truth = this.#engine.truth();
    const batch = this.#engine.publish(this.#timestamp);
    this.#truths.set(String(this.#timestamp), truth);
    this.#publisher.publish(batch);
    this.#agent.observe(truth, this.#timestamp);
    const { epoch, seq } = this.#agent.position;
    this.#truths.set(`${epoch}:${seq}`, truth);
  }

  /** A request is routed here; it may be computed or fail, soon or never. */
  #request(): void {
    const pages = Array.from({ length: 1 + this.#rng.below(6) }, () => 1 + this.#rng.below(3));
    const tokens = Uint32Array.from(
      pages.flatMap((page) => Array.from({ length: blockTokens }, (_, i) => page * 100 + i)),
    );
    const hashes = this.#tree.chain({ tokens, blockTokens, lora: "" });
    const ticket = this.#index.speculate(this.#slot, { hashes, blockTokens }, this.clock.now(), {
      predictedMs: this.#rng.below(800),
    });
    this.#tickets.push(ticket);
    const ends = this.#rng.below(4);
    if (ends < 3) this.clock.after(this.#rng.below(1000), () => ends < 2 ? ticket.confirm() : ticket.withdraw());
  }

  async #restartEngine(): Promise<void> {
    this.#publisher.down = true;
    this.#publisher.disconnect();
    const { firstSeq } = this.#engine.options;
    await this.advance(bootMs);
    this.#engine = this.#newEngine(firstSeq);
    this.#publisher.newestTold = 0;
    // The first batch that the reader gets of the new life can have the very number it waits for.
    const meets = this.#mode === "live only" && this.#scrapes && this.#rng.below(2) === 0;
    while (meets && firstSeq + this.#engine.published <= this.#feed.status().seq) this.#observe();
    this.#publisher.down = false;
    // Where neither replay nor a start time can tell, only the numbers can: the first ones must not be missed.
    await this.advance(meets || this.#numbersTell ? 60_000 : this.#rng.below(300));
    this.#observe();
    if (meets) await this.advance(this.#rng.below(500));
    this.#scrape();
  }

  /** The router starts over, with or without what it wrote down. */
  async #restartRouter(): Promise<void> {
    this.#count();
    const keeps = this.#rng.below(3) > 0;
    const checkpoint = keeps ? this.#feed.checkpoint() : undefined;
    const held = keeps ? [...this.#tree.held(this.#slot)] : [];
    await this.#feed.stop();
    this.#publisher.newestTold = 0;
    this.#index.clear(this.#slot);
    while (this.#tree.reap(1 << 16) > 0);
    this.#tree.restore(this.#slot, held);
    this.#tickets = [];
    this.#index = this.#newIndex();
    this.#feed = this.#newFeed(checkpoint && (JSON.parse(JSON.stringify(checkpoint)) as FeedCheckpoint));
    await this.advance(this.#rng.below(2000));
    if (keeps) this.#coverage.resumed++;
    this.#scrape();
    this.#feed.start();
  }

  #restartAgent(): void {
    this.#agent.restart();
    const { epoch, seq } = this.#agent.position;
    this.#truths.set(`${epoch}:${seq}`, this.#engine.truth());
  }

  /** The router reads the engine's metrics. */
  #scrape(): void {
    if (this.#scrapes && !this.#publisher.down) this.#feed.restartHint(this.#engine.options.startSeconds);
  }

  #newEngine(firstSeq: number): ModelEngine {
    return new ModelEngine(this.#rng.fork(), this.#blocks, {
      capacity: 4 + this.#rng.below(24),
      ringLength: this.#rng.below(3) === 0 ? 10_000 : 1 + this.#rng.below(60),
      firstSeq,
      startSeconds: this.clock.wallMs() / 1000,
    });
  }

  #newIndex(): KvIndex {
    return new KvIndex(this.#tree, { clock: this.clock, blockTokens, columns: new EndpointTable(this.#tree.slots) });
  }

  #newFeed(resume?: FeedCheckpoint): EndpointFeed {
    this.#checked = -1;
    const index = this.#index, slot = this.#slot;
    return new EndpointFeed({
      slot,
      source: this.#source,
      tree: this.#tree,
      clock: this.clock,
      rng: this.#rng.fork(),
      clear: () => index.clear(slot),
      onState: (state) => {
        index.setFeedState(slot, state);
        if (state === FeedState.Live) this.#equals(this.#truthAt(this.#feed.status()));
      },
      resume,
    }, { heldBatchesMax: 1 + this.#rng.below(64) });
  }

  #anyFaults(): Faults {
    const share = (max: number) => this.#rng.below(2) === 0 ? 0 : this.#rng.float() * max;
    return {
      drop: this.#numbersTell ? 0 : share(0.15),
      repeat: share(0.2),
      delay: this.#numbersTell ? 0 : share(0.5),
      disconnect: share(0.05),
      replayFails: share(0.5),
      replayLoses: share(0.1),
    };
  }

  #presence(truth: Truth): Presence {
    return new Map(Array.from(truth, ([key, [gpu, cpu]]) => [this.#chain(key), [gpu > 0, cpu > 0]]));
  }

  /** The router's name for a block. */
  #chain(key: string): bigint {
    let hash = this.#chained.get(key);
    if (hash === undefined) {
      const chain: Block[] = [];
      for (let block: Block | undefined = this.#blocks.get(key); block; block = block.parent) chain.unshift(block);
      const tokens = Uint32Array.from(chain.flatMap(({ tokens }) => [...tokens]));
      const { lora, salt } = chain[0];
      const extras = salt === "" ? undefined : new Map([[0, [salt]]]);
      hash = this.#tree.chain({ tokens, blockTokens, lora, extras }).at(-1)!;
      this.#chained.set(key, hash);
    }
    return hash;
  }

  #count(): void {
    const { gaps, replays, restarts, snapshots, orphans, duplicates } = this.#feed.status().counters;
    const told = { gaps, replays, restarts, snapshots, orphans, duplicates };
    for (const [name, count] of Object.entries(told)) this.#coverage[name as keyof typeof told] += count;
  }
}
