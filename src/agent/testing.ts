/** For tests: a mirrored cache with an agent's port over it, and readers of that port. */
import { type FeedState, feedStateNames, kvTiers, systemClock } from "../core/mod.ts";
import type { BlockTreeApi } from "../hotpath/mod.ts";
import {
  AgentSource,
  type AgentSourceOptions,
  type FeedPosition,
  type FeedSink,
  type LoadSample,
  seedCheck,
} from "../kv/mod.ts";
import type { KvBatch } from "../protocol/mod.ts";
import { JournalTree } from "./journal.ts";
import { Publisher, type PublisherOptions } from "./publisher.ts";
import { AgentServer, type AgentServerOptions } from "./server.ts";

/** An agent without an engine: the test changes the cache through `cache`. */
export class AgentRig {
  readonly cache: JournalTree;
  readonly publisher: Publisher;
  readonly tree: BlockTreeApi;
  readonly server: AgentServer;
  #nextHash = 1n;

  private constructor(tree: BlockTreeApi, publisher: Publisher, server: AgentServer) {
    this.tree = tree;
    this.publisher = publisher;
    this.cache = new JournalTree(tree, [publisher.log]);
    this.server = server;
  }

  static async start(
    tree: BlockTreeApi,
    { epoch = "life-1", publisher: tuning, ...listen }:
      & { epoch?: string; publisher?: Partial<PublisherOptions> }
      & Partial<AgentServerOptions> = {},
  ): Promise<AgentRig> {
    const identity = { epoch, engine: "zmq", version: "0.0.0" };
    const publisher = new Publisher(systemClock, identity, { tree, slot: 0 }, tuning);
    const options = { host: "127.0.0.1", port: 0, seedCheck: seedCheck(tree), ...listen };
    return new AgentRig(tree, publisher, await AgentServer.start([publisher], options, systemClock));
  }

  /** Stores a chain of new blocks; returns their engine hashes. */
  store(count: number, tier: 0 | 1 | 2 | 3 = 0): BigUint64Array {
    const hashes = BigUint64Array.from({ length: count }, () => this.#nextHash++);
    const tokens = Uint32Array.from({ length: count * 16 }, (_, i) => Number(hashes[0]) * 100_003 + i);
    this.cache.store(0, { tier, hashes, tokens, blockTokens: 16, lora: "" });
    return hashes;
  }

  /** `tier:hash` of everything held, sorted. */
  held(): string[] {
    return heldOf(this.tree);
  }

  source(options: Partial<AgentSourceOptions> = {}): AgentSource {
    return new AgentSource({ host: "127.0.0.1", port: this.server.port, seedCheck: seedCheck(this.tree), ...options });
  }
}

/** `tier:hash` of what slot 0 of a tree holds by engine evidence, sorted. */
export function heldOf(tree: BlockTreeApi): string[] {
  const held = new Set<string>();
  for (const { hash, tiers } of tree.held(0)) {
    tiers.forEach((references, tier) => references > 0 && held.add(`${kvTiers[tier]}:${hash}`));
  }
  return [...held].sort();
}

/** What a reader was told, and what it makes of it. */
export class TestSink implements FeedSink {
  readonly blocks = new Set<string>();
  readonly log: string[] = [];
  readonly loads: LoadSample[] = [];
  position: FeedPosition = { epoch: "", seq: -1 };
  state?: string;
  snapshots = 0;
  /** Between the begin and the end of a snapshot. */
  partial = false;
  #epoch = "";
  #waiting?: { readonly until: () => boolean; readonly resolve: () => void };

  connected(epoch = ""): void {
    this.#epoch = epoch;
    this.#told("connected");
  }

  batch(batch: KvBatch): void {
    this.#apply(batch);
    this.position = { epoch: this.#epoch, seq: batch.seq };
    this.#told(`batch ${batch.seq}`);
  }

  snapshotBegin(position: FeedPosition): void {
    this.blocks.clear();
    this.position = position;
    this.partial = true;
    this.#told(`snapshot at ${position.seq}`);
  }

  snapshotPart(batch: KvBatch): void {
    this.#apply(batch);
    this.#told("part");
  }

  snapshotEnd(): void {
    this.snapshots++;
    this.partial = false;
    this.#told("end");
  }

  load(sample: LoadSample): void {
    this.loads.push(sample);
    this.#told("load");
  }

  heartbeat(): void {
    this.#told("heartbeat");
  }

  upstreamState(state: FeedState, reason: string): void {
    this.state = feedStateNames[state];
    this.#told(`${this.state}: ${reason}`);
  }

  held(): string[] {
    return [...this.blocks].sort();
  }

  /** Resolves once `condition` holds after something was told. */
  until(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting = { until: condition, resolve });
  }

  #apply({ events }: KvBatch): void {
    for (const event of events) {
      if (event.kind === "cleared") this.blocks.clear();
      else if (event.kind === "held") {
        for (const hash of event.hashes) this.blocks.add(`${kvTiers[event.tier]}:${hash}`);
      } else if (event.kind === "released") {
        for (const hash of event.hashes) this.blocks.delete(`${kvTiers[event.tier]}:${hash}`);
      } else throw new Error(`An agent tells no ${event.kind}`);
    }
  }

  #told(what: string): void {
    this.log.push(what);
    if (!this.#waiting?.until()) return;
    this.#waiting.resolve();
    this.#waiting = undefined;
  }
}

/** A running subscription of `sink`. */
export class Reading {
  readonly #stop = new AbortController();
  /** Undefined when it was stopped, else the reason it ended for. */
  readonly ended: Promise<Error | undefined>;

  constructor(source: AgentSource, readonly sink: TestSink) {
    this.ended = source.run(sink, sink.position, this.#stop.signal).then(() => undefined, (error: Error) => error);
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended;
  }
}
