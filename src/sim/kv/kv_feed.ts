import { type Clock, Prng, type Timer } from "../../core/mod.ts";
import type { Faults } from "../faults.ts";
import { ChainHash } from "../hash.ts";
import type { BlockHashName } from "./block_hash.ts";
import { encodeBatch, eventsTold, type TimedBatch } from "./dialects.ts";
import type { SimKvBatch, SimKvEvent } from "./events.ts";
import type { KvFeedOptions } from "./kv_options.ts";

/** One message of a feed. */
export interface KvMessage {
  readonly seq: number;
  readonly payload: Uint8Array;
  readonly batch: TimedBatch;
}

/** Whose feed it is. */
export interface KvFeedSource {
  /** Real time. */
  readonly clock: Clock;
  readonly blockHash: BlockHashName;
  readonly rank: number;
  readonly seed: number;
  /** Server name: two servers with the same seed have different faults. */
  readonly name: string;
}

/** Batches a stuck publisher keeps; further ones are lost, as at the publisher queue's end in vLLM. */
const stuckBatchesMax = 100_000;

/**
 * An engine's publisher without its sockets: numbers batches, writes them in the dialect, keeps the last ones for replay
 * and sends them to whoever listens, under the faults of the moment. Faults are drawn from the seed, four numbers a
 * batch. They touch live messages alone: replay gives what was published.
 */
export class KvFeed {
  readonly options: KvFeedOptions;
  readonly source: KvFeedSource;
  faults: Faults;
  readonly #listeners = new Set<(message: KvMessage) => void>();
  readonly #prng: Prng;
  #ring: KvMessage[] = [];
  #seq: number;
  #stuck: SimKvBatch[] = [];
  /** Events that wait to make a batch. */
  #gathered: SimKvEvent[] = [];
  #flushTimer: Timer | undefined;
  /** A message that goes out after its successor. */
  #overtaken: KvMessage | undefined;
  readonly #late = new Set<Timer>();

  constructor(options: KvFeedOptions, source: KvFeedSource, faults: Faults) {
    this.options = options;
    this.source = source;
    this.faults = faults;
    this.#seq = options.firstSeq;
    const hash = new ChainHash(source.seed);
    hash.updateText(source.name);
    hash.update(source.rank);
    this.#prng = new Prng(hash.link());
  }

  /** Hears every live message as it leaves; returns what ends that. */
  listen(listener: (message: KvMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** What one step did. */
  publish(batch: SimKvBatch): void {
    if (this.faults.kvStuck) {
      if (this.#stuck.length < stuckBatchesMax) this.#stuck.push(batch);
      return;
    }
    const events = eventsTold(this.options.dialect, batch.events);
    if (events.length === 0) return;
    const { batchEvents, flushMs } = this.options;
    if (batchEvents === 0) return this.#emit(events);
    this.#gathered.push(...events);
    while (this.#gathered.length >= batchEvents) this.#emit(this.#gathered.splice(0, batchEvents));
    if (this.#gathered.length === 0 || this.#flushTimer !== undefined) return;
    this.#flushTimer = this.source.clock.after(flushMs, () => {
      this.#flushTimer = undefined;
      if (this.#gathered.length > 0) this.#emit(this.#gathered.splice(0));
    });
  }

  /** Puts other faults in force. A publisher that is no longer stuck sends what has gathered. */
  changeFaults(faults: Faults): void {
    this.faults = faults;
    if (faults.kvStuck || this.#stuck.length === 0) return;
    for (const batch of this.#stuck.splice(0)) this.publish(batch);
  }

  /** Kept messages with a sequence number of at least `from`, oldest first; undefined while stuck. */
  replay(from: number): readonly KvMessage[] | undefined {
    return this.faults.kvStuck ? undefined : this.#ring.filter(({ seq }) => seq >= from);
  }

  /** The publisher is a new process: numbers start again and nothing is kept. */
  restart(): void {
    this.close();
    this.#ring = [];
    this.#stuck = [];
    this.#gathered = [];
    this.#overtaken = undefined;
    this.#seq = this.options.firstSeq;
  }

  /** Cancels what was to be sent later. */
  close(): void {
    this.#flushTimer?.cancel();
    this.#flushTimer = undefined;
    for (const timer of this.#late) timer.cancel();
    this.#late.clear();
  }

  #emit(events: readonly SimKvEvent[]): void {
    const { clock, rank, blockHash } = this.source;
    const { dialect, hashForm, bufferSteps } = this.options;
    const batch: TimedBatch = { timestampS: clock.wallMs() / 1000, rank, events };
    const message = { seq: this.#seq++, payload: encodeBatch(batch, { dialect, hashForm, blockHash }), batch };
    this.#ring.push(message);
    if (this.#ring.length > bufferSteps) this.#ring.shift();
    this.#sendUnderFaults(message);
  }

  #sendUnderFaults(message: KvMessage): void {
    const [lost, twice, swapped, late] = [0, 0, 0, 0].map(() => this.#prng.float());
    const { kvDropRate, kvDuplicateRate, kvReorderRate, kvDelayRate, kvDelayMs } = this.faults;
    if (lost < kvDropRate) return;
    if (late < kvDelayRate) {
      const timer = this.source.clock.after(kvDelayMs, () => {
        this.#late.delete(timer);
        this.#send(message);
      });
      this.#late.add(timer);
      return;
    }
    if (swapped < kvReorderRate && this.#overtaken === undefined) {
      this.#overtaken = message;
      return;
    }
    this.#send(message);
    if (twice < kvDuplicateRate) this.#send(message);
    const before = this.#overtaken;
    this.#overtaken = undefined;
    if (before !== undefined) this.#send(before);
  }

  #send(message: KvMessage): void {
    for (const listener of this.#listeners) listener(message);
  }
}
