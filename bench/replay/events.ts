/** What simulated engines tell of their caches, brought to the router's feeds within the process: no socket, no bytes. */
import { type Clock, kvTiers, Prng } from "../../src/core/mod.ts";
import type { FeedSink, FeedSource } from "../../src/kv/mod.ts";
import type { KvBatch, KvEvent } from "../../src/protocol/mod.ts";
import type { SimKvBatch, SimKvEvent } from "../../src/sim/kv/events.ts";

export interface EventLinkOptions {
  readonly clock: Clock;
  /** From the end of an engine's step until the router has applied what it told. */
  readonly delayMs: number;
  /** Share of batches that are lost on the way. */
  readonly dropShare: number;
  readonly seed: number;
  /** Whether lost batches can be asked for. */
  readonly replays: boolean;
}

/** Batches an engine keeps for replays: far more than are lost within the time a gap is noticed. */
const ringBatches = 1000;

/** One engine's events on their way to the router. */
export class EventLink implements FeedSource {
  readonly kind = "zmq";
  readonly address: string;
  readonly replay?: (from: number, signal: AbortSignal) => AsyncIterable<KvBatch>;
  readonly #options: EventLinkOptions;
  readonly #prng: Prng;
  readonly #ring: KvBatch[] = [];
  #sink: FeedSink | undefined;
  #seq = 0;

  constructor(name: string, options: EventLinkOptions) {
    this.address = name;
    this.#options = options;
    this.#prng = new Prng(options.seed);
    if (options.replays) this.replay = (from) => this.#replay(from);
  }

  /** The engine told. */
  tell(told: SimKvBatch): void {
    const { clock, delayMs, dropShare } = this.#options;
    const batch = {
      seq: this.#seq++,
      timestamp: (clock.wallMs() - clock.now() + told.atMs) / 1000,
      events: told.events.map(eventOf),
    };
    if (this.replay) {
      this.#ring.push(batch);
      if (this.#ring.length > ringBatches) this.#ring.shift();
    }
    if (dropShare > 0 && this.#prng.float() < dropShare) return;
    clock.after(delayMs, () => this.#sink?.batch(batch));
  }

  run(sink: FeedSink, _from: unknown, signal: AbortSignal): Promise<void> {
    this.#sink = sink;
    sink.connected();
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }

  async *#replay(from: number): AsyncGenerator<KvBatch> {
    for (const batch of this.#ring.slice()) {
      await Promise.resolve();
      if (batch.seq >= from) yield batch;
    }
  }
}

/** The event as the decoder of an engine's bytes would give it. */
function eventOf(event: SimKvEvent): KvEvent {
  if (event.kind === "cleared") return { kind: "cleared" };
  const tier = kvTiers.indexOf(event.tier) as 0 | 1 | 2 | 3;
  const hashes = BigUint64Array.from(event.hashes, low64);
  if (event.kind === "removed") return { kind: "removed", tier, hashes };
  const { tokens, blockSize, parent } = event;
  return { kind: "stored", tier, hashes, tokens, blockTokens: blockSize, ...(parent && { parent: low64(parent) }) };
}

function low64(digest: Uint8Array): bigint {
  return new DataView(digest.buffer, digest.byteOffset, digest.byteLength).getBigUint64(digest.length - 8);
}
