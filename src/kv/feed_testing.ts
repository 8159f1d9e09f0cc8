/** A source whose every word a test says, and the feed that listens to it. */
import { setImmediate } from "node:timers";
import { type FeedState, feedStateNames, Prng, VirtualClock } from "../core/mod.ts";
import type { KvBatch, KvEvent, KvStored } from "../protocol/mod.ts";
import { EndpointFeed } from "./feed.ts";
import type { FeedCheckpoint, FeedOptions } from "./feed_types.ts";
import type { FeedPosition, FeedSink, FeedSource } from "./feeds/types.ts";
import { emptyTree } from "./tree_testing.ts";

/** Everything that does not wait for the clock has run. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A store of one block of 4 tokens; its engine hash is `id`, its tokens are all `id`. */
export function stored(id: number, parent?: number, part: Partial<KvStored> = {}): KvStored {
  return {
    kind: "stored",
    tier: 0,
    hashes: BigUint64Array.of(BigInt(id)),
    tokens: new Uint32Array(4).fill(id),
    blockTokens: 4,
    ...(parent !== undefined && { parent: BigInt(parent) }),
    ...part,
  };
}

export function removed(id: number, tier: 0 | 1 = 0): KvEvent {
  return { kind: "removed", tier, hashes: BigUint64Array.of(BigInt(id)) };
}

/** Batch `seq` of a life that began at second `life`. */
export function batch(seq: number, events: readonly KvEvent[] = [stored(seq + 1)], life = 1000): KvBatch {
  return { seq, timestamp: life + seq, events };
}

interface Dial {
  readonly sink: FeedSink;
  readonly from: FeedPosition;
  readonly lose: (error: Error) => void;
}

export class ScriptedSource implements FeedSource {
  readonly kind: FeedSource["kind"];
  readonly address = "scripted";
  readonly replay?: FeedSource["replay"];
  readonly dials: Dial[] = [];
  /** What the publisher's buffer holds; an error makes replays fail; undefined keeps them silent. */
  buffer: readonly KvBatch[] | Error | undefined = [];
  readonly replayedFrom: number[] = [];
  stopped = 0;

  constructor(options: { readonly kind?: FeedSource["kind"]; readonly replays?: boolean } = {}) {
    this.kind = options.kind ?? "zmq";
    if (options.replays) this.replay = (from) => this.#replay(from);
  }

  /** The link of the last dial. */
  get sink(): FeedSink {
    return this.dials.at(-1)!.sink;
  }

  lose(): void {
    this.dials.at(-1)!.lose(new Error("connection reset"));
  }

  async run(sink: FeedSink, from: FeedPosition, signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve());
    this.dials.push({ sink, from, lose: reject });
    await promise;
    this.stopped++;
  }

  async *#replay(from: number): AsyncGenerator<KvBatch> {
    this.replayedFrom.push(from);
    if (this.buffer === undefined) await new Promise(() => {});
    if (this.buffer instanceof Error) throw this.buffer;
    yield* this.buffer!.filter(({ seq }) => seq >= from);
  }
}

/** A feed of slot 0, and what it told. */
export class FeedWorld {
  readonly clock = new VirtualClock();
  readonly tree = emptyTree();
  readonly states: string[] = [];
  readonly feed: EndpointFeed;
  readonly troubles: string[] = [];
  cleared = 0;
  blockTokens: number[] = [];

  constructor(readonly source: ScriptedSource, options: Partial<FeedOptions> = {}, resume?: FeedCheckpoint) {
    this.feed = new EndpointFeed({
      slot: 0,
      source,
      tree: this.tree,
      clock: this.clock,
      rng: new Prng(1),
      clear: () => {
        this.cleared++;
        this.tree.clear(0);
      },
      onState: (state) => this.states.push(feedStateNames[state]),
      onTrouble: (reason) => this.troubles.push(reason),
      onBlockTokens: (tokens) => this.blockTokens.push(tokens),
      resume,
    }, options);
    this.feed.start();
  }

  get state(): string {
    return feedStateNames[this.feed.state as FeedState];
  }

  /** Engine hashes of what is held, ascending. */
  get held(): number[] {
    return [...this.tree.held(0)].map(({ engineHash }) => Number(engineHash)).sort((a, b) => a - b);
  }

  /** The link comes up. */
  async connect(epoch?: string): Promise<void> {
    this.source.sink.connected(epoch);
    await settled();
  }

  tell(...batches: KvBatch[]): void {
    for (const batch of batches) this.source.sink.batch(batch);
  }

  /** Lets `ms` pass, and what happens then. */
  async pass(ms: number): Promise<void> {
    const until = this.clock.now() + ms;
    await settled();
    while (this.clock.step(until)) await settled();
    this.clock.advance(until - this.clock.now());
  }
}
