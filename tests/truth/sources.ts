/** Faulty ways from a model engine to a reader: its publisher, and an agent beside it. */
import { type Clock, FeedState, KvTier, type Prng, sleep } from "../../src/core/mod.ts";
import type { FeedPosition, FeedSink, FeedSource } from "../../src/kv/mod.ts";
import type { KvBatch, KvEvent } from "../../src/protocol/mod.ts";
import type { ModelEngine, Truth } from "./engine.ts";

/** Shares of batches, replies and links that suffer each. */
export interface Faults {
  readonly drop: number;
  readonly repeat: number;
  readonly delay: number;
  readonly disconnect: number;
  readonly replayFails: number;
  readonly replayLoses: number;
}

export const noFaults: Faults = { drop: 0, repeat: 0, delay: 0, disconnect: 0, replayFails: 0, replayLoses: 0 };

/** A reader's link, as the engine's side sees it. */
interface Link {
  readonly sink: FeedSink;
  readonly lose: (reason: Error) => void;
  open: boolean;
}

abstract class FaultySource {
  /** Dials and replays under way: what they wait for besides the clock has to be waited for. */
  busy = 0;
  faults: Faults = noFaults;
  /** Refuses connections: the engine is not there. */
  down = false;
  /** Clock milliseconds since when there is no link. */
  lostAtMs = 0;
  protected readonly links = new Set<Link>();

  constructor(protected readonly clock: Clock, protected readonly rng: Prng) {}

  async run(sink: FeedSink, from: FeedPosition, signal: AbortSignal): Promise<void> {
    this.busy++;
    await sleep(this.clock, 1 + this.rng.below(5), signal).catch(() => {});
    this.busy--;
    if (signal.aborted) return;
    if (this.down) throw new Error("connection refused");
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const link: Link = { sink, lose: reject, open: true };
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.links.add(link);
    try {
      this.greet(link, from);
      await promise;
    } finally {
      this.#close(link);
    }
  }

  /** Breaks every link; what is on its way is lost. */
  disconnect(): void {
    for (const link of this.links) {
      this.#close(link);
      link.lose(new Error("connection reset"));
    }
  }

  /** How long there has been no link. */
  lostForMs(): number {
    return this.links.size > 0 ? 0 : this.clock.now() - this.lostAtMs;
  }

  #close(link: Link): void {
    link.open = false;
    if (this.links.delete(link)) this.lostAtMs = this.clock.now();
  }

  protected abstract greet(link: Link, from: FeedPosition): void;

  protected later(link: Link, ms: number, tell: () => void): void {
    this.clock.after(ms, () => {
      if (link.open) tell();
    });
  }
}

/** An engine's own publisher: loses, repeats and reorders batches, and replays what its ring still has. */
export class PublisherSource extends FaultySource implements FeedSource {
  readonly kind = "zmq";
  readonly address = "engine";
  readonly firstSeq?: number;
  readonly replay?: FeedSource["replay"];
  /** Timestamp of the newest batch that the reader was given; whoever changes the reader or the engine resets it. */
  newestTold = 0;

  constructor(
    clock: Clock,
    rng: Prng,
    readonly engine: () => ModelEngine,
    readonly wire: (batch: KvBatch) => KvBatch,
    options: { readonly replays: boolean; readonly firstSeq?: number },
  ) {
    super(clock, rng);
    this.firstSeq = options.firstSeq;
    if (options.replays) this.replay = (from, signal) => this.#replay(from, signal);
  }

  publish(batch: KvBatch): void {
    const { drop, repeat, delay, disconnect } = this.faults;
    for (const link of this.links) {
      if (this.rng.float() < drop) continue;
      const copies = this.rng.float() < repeat ? 2 : 1;
      for (let i = 0; i < copies; i++) {
        const late = this.rng.float() < delay ? this.rng.below(60) : 0;
        this.later(link, 1 + late, () => {
          this.newestTold = Math.max(this.newestTold, batch.timestamp);
          link.sink.batch(this.wire(batch));
        });
      }
    }
    if (this.rng.float() < disconnect) this.disconnect();
  }

  protected greet(link: Link): void {
    link.sink.connected();
  }

  async *#replay(from: number, signal: AbortSignal): AsyncGenerator<KvBatch> {
    this.busy++;
    try {
      await sleep(this.clock, 1 + this.rng.below(20), signal);
      if (this.down || this.rng.float() < this.faults.replayFails) throw new Error("replay refused");
      yield* this.#replies(from, signal);
    } finally {
      this.busy--;
    }
  }

  async *#replies(from: number, signal: AbortSignal): AsyncGenerator<KvBatch> {
    // The first reply finds the socket's queue empty and is never lost.
    const asked = this.engine().ring.filter(({ seq }) => seq >= from);
    for (const batch of asked) {
      if (batch !== asked[0] && this.rng.float() < this.faults.replayLoses) continue;
      if (this.rng.below(8) === 0) await sleep(this.clock, 1 + this.rng.below(3), signal);
      yield this.wire(batch);
    }
  }
}

/** Presence by tier, as an agent tells it: chained hashes. */
export type Presence = ReadonlyMap<bigint, readonly [gpu: boolean, cpu: boolean]>;

/** An agent beside an engine, exact itself: snapshots and deltas by chained hash, over links that break. */
export class ModelAgent extends FaultySource implements FeedSource {
  readonly kind = "agent";
  readonly address = "agent";
  #epoch = "";
  #seq = 0;
  #presence: Presence = new Map();
  #deltas: KvBatch[] = [];

  constructor(clock: Clock, rng: Prng, readonly present: (truth: Truth) => Presence, readonly deltasMax: number) {
    super(clock, rng);
    this.restart();
  }

  get position(): FeedPosition {
    return { epoch: this.#epoch, seq: this.#seq };
  }

  /** The agent's process starts over, and reads the engine's cache in full. */
  restart(): void {
    this.disconnect();
    this.#epoch = this.rng.u32().toString(16);
    this.#seq = 0;
    this.#deltas = [];
  }

  /** The engine's cache is `truth` now. */
  observe(truth: Truth, timestamp: number): void {
    const now = this.present(truth);
    const events: KvEvent[] = [];
    for (const [tier, index] of [[KvTier.Gpu, 0], [KvTier.Cpu, 1]] as const) {
      const gone = [...this.#presence].filter(([hash, on]) => on[index] && !now.get(hash)?.[index]);
      const come = [...now].filter(([hash, on]) => on[index] && !this.#presence.get(hash)?.[index]);
      const hashes = (changed: typeof gone) => BigUint64Array.from(changed, ([hash]) => hash);
      if (gone.length > 0) events.push({ kind: "released", tier, hashes: hashes(gone) });
      if (come.length > 0) events.push({ kind: "held", tier, hashes: hashes(come) });
    }
    this.#presence = now;
    const batch = { seq: ++this.#seq, timestamp, events };
    this.#deltas.push(batch);
    if (this.#deltas.length > this.deltasMax) this.#deltas.shift();
    for (const link of this.links) this.later(link, 1, () => link.sink.batch(batch));
    if (this.rng.float() < this.faults.disconnect) this.disconnect();
  }

  protected greet(link: Link, from: FeedPosition): void {
    const { sink } = link;
    sink.connected(this.#epoch);
    sink.upstreamState?.(FeedState.Resync, "sending what was missed");
    const oldest = this.#deltas[0]?.seq ?? this.#seq + 1;
    const resumes = from.epoch === this.#epoch && from.seq >= oldest - 1;
    // In two steps, so that a link can break in the middle.
    const missed = this.#deltas.filter(({ seq }) => seq > from.seq);
    const presence = this.#presence;
    const position = { epoch: this.#epoch, seq: this.#seq };
    if (!resumes) sink.snapshotBegin(position);
    this.later(link, 1, () => {
      if (resumes) { for (const batch of missed) sink.batch(batch); }
      else {
        for (const batch of snapshotParts(presence, position.seq)) sink.snapshotPart(batch);
        sink.snapshotEnd();
      }
      sink.upstreamState?.(FeedState.Live, "");
    });
  }
}

function snapshotParts(presence: Presence, seq: number): KvBatch[] {
  return ([[KvTier.Gpu, 0], [KvTier.Cpu, 1]] as const).map(([tier, index]) => {
    const hashes = BigUint64Array.from([...presence].filter(([, on]) => on[index]), ([hash]) => hash);
    return { seq, timestamp: 0, events: [{ kind: "held" as const, tier, hashes }] };
  });
}
