/** A Warmpath agent as a feed: one gRPC subscription, resumed where the reader stands. */
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { type Clock, FeedState, randomSeed, reasonOf, systemClock, type Timer } from "../../core/mod.ts";
import { warmpathFeed } from "../../proto/mod.ts";
import type { KvBatch, KvEvent } from "../../protocol/mod.ts";
import { feedStateOf, tierOf, unpackHashes } from "./agent_wire.ts";
import { FeedUnsupported } from "./errors.ts";
import { grpcAddress, GrpcLink, type GrpcPlace } from "./grpc_link.ts";
import { Turns } from "./turns.ts";
import type { FeedPosition, FeedSink, FeedSource, LoadSample } from "./types.ts";

export interface AgentSourceOptions extends GrpcPlace {
  /** Data-parallel rank. @default {0} */
  readonly rank?: number;
  /** `seedCheck` of the tree the hashes go into. */
  readonly seedCheck: bigint;
  /** The link counts as lost when nothing came for so long; the agent says something every 5 s. @default {15_000} */
  readonly silenceMs?: number;
  readonly clock?: Clock;
  /** Shared with the other sources; own ones when absent. */
  readonly turns?: Turns;
}

/** The agent sends hashes in parts of 64 KiB. */
const limits = { messageBytesMax: 1 << 20, pingIntervalMs: 10_000, pingTimeoutMs: 5_000 };

/** Answers that the next try gets too, until someone configures one of the two sides anew. */
const refusals: ReadonlySet<Code> = new Set([Code.FailedPrecondition, Code.InvalidArgument, Code.Unimplemented]);
const refusedRetryMs = 30_000;

export class AgentSource implements FeedSource {
  readonly kind = "agent";
  readonly address: string;
  readonly #options: AgentSourceOptions;
  readonly #clock: Clock;
  readonly #silenceMs: number;
  readonly #turns: Turns;
  /** The agent takes a second subscription under this name for the successor of the first. */
  readonly #client = Array.from({ length: 4 }, () => randomSeed().toString(16).padStart(8, "0")).join("");

  constructor(options: AgentSourceOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#turns = options.turns ?? new Turns(this.#clock);
    this.#silenceMs = options.silenceMs ?? 15_000;
    this.address = grpcAddress(options);
  }

  async run(sink: FeedSink, from: FeedPosition, signal: AbortSignal): Promise<void> {
    const { rank = 0, seedCheck } = this.#options;
    if (signal.aborted) return;
    const stop = new AbortController();
    const abort = () => stop.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const silence = new Silence(this.#clock, this.#silenceMs, stop);
    const link = new GrpcLink(this.#options, limits);
    try {
      await link.ready(stop.signal);
      const request = { epoch: from.epoch, seq: BigInt(Math.max(0, from.seq)), seedCheck, client: this.#client, rank };
      const reader = new Reader(sink, from);
      for await (
        const { message } of createClient(warmpathFeed.FeedService, link.transport)
          .subscribe(request, { signal: stop.signal })
      ) {
        silence.heard();
        // A snapshot's parts come one upon the other.
        if (this.#turns.exhausted()) await this.#turns.next();
        signal.throwIfAborted();
        reader.take(message);
      }
      throw new Error("The agent ended the subscription");
    } catch (error) {
      if (signal.aborted) return;
      throw this.#reason(stop.signal.aborted ? stop.signal.reason : error);
    } finally {
      silence.stop();
      signal.removeEventListener("abort", abort);
      link.close();
    }
  }

  #reason(error: unknown): Error {
    const why = error instanceof ConnectError ? error.rawMessage : reasonOf(error);
    if (error instanceof ConnectError && refusals.has(error.code)) {
      const message = `Cannot subscribe to the agent at ${this.address}: ${why}`;
      return new FeedUnsupported(message, refusedRetryMs, { cause: error });
    }
    return new Error(`The agent at ${this.address} is lost: ${why}`, { cause: error });
  }
}

/** Aborts the link when nothing is heard for a time. One timer, not one a message. */
class Silence {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #link: AbortController;
  #heardAtMs: number;
  #timer: Timer;

  constructor(clock: Clock, ms: number, link: AbortController) {
    this.#clock = clock;
    this.#ms = ms;
    this.#link = link;
    this.#heardAtMs = clock.now();
    this.#timer = this.#wait(ms);
  }

  heard(): void {
    this.#heardAtMs = this.#clock.now();
  }

  stop(): void {
    this.#timer.cancel();
  }

  #wait(ms: number): Timer {
    return this.#clock.after(ms, () => {
      const leftMs = this.#heardAtMs + this.#ms - this.#clock.now();
      if (leftMs > 0) this.#timer = this.#wait(leftMs);
      else this.#link.abort(new Error(`The agent said nothing for ${this.#ms} ms`));
    }, { background: true });
  }
}

type Message = warmpathFeed.FeedMessage["message"];

/** Messages in, sink calls out; throws on what breaks the protocol. */
class Reader {
  readonly #sink: FeedSink;
  #epoch?: string;
  readonly #from: FeedPosition;
  /** Last delta the sink has; undefined while nothing but a snapshot makes sense. */
  #seq?: number;
  #inSnapshot = false;

  constructor(sink: FeedSink, from: FeedPosition) {
    this.#sink = sink;
    this.#from = from;
  }

  take(message: Message): void {
    if (this.#epoch === undefined && message.case !== "hello") {
      throw new Error("Cannot read the agent's feed as it did not begin with a hello");
    }
    switch (message.case) {
      case "hello":
        return this.#hello(message.value);
      case "snapshotBegin":
        this.#seq = Number(message.value.seq);
        this.#inSnapshot = true;
        return this.#sink.snapshotBegin({ epoch: this.#epoch!, seq: this.#seq });
      case "snapshotPart":
        if (!this.#inSnapshot) throw new Error("Cannot read the agent's feed as a snapshot part came outside of one");
        return this.#sink.snapshotPart(batchOf(this.#seq!, 0, eventsOf("held", blocksOf(message.value))));
      case "snapshotEnd":
        if (!this.#inSnapshot) throw new Error("Cannot read the agent's feed as a snapshot ended that had not begun");
        this.#inSnapshot = false;
        return this.#sink.snapshotEnd();
      case "delta":
        return this.#delta(message.value);
      case "load":
        return this.#sink.load(loadOf(message.value));
      case "heartbeat":
        return this.#sink.heartbeat();
      case "state":
        return this.#sink.upstreamState?.(feedStateOf(message.value.state), message.value.reason);
      default:
        // Of a later release.
        return this.#sink.heartbeat();
    }
  }

  #hello({ epoch }: warmpathFeed.Hello): void {
    if (this.#epoch !== undefined || epoch === "") {
      throw new Error("Cannot read the agent's feed as it must have one hello, with an epoch");
    }
    this.#epoch = epoch;
    if (epoch === this.#from.epoch) this.#seq = this.#from.seq;
    this.#sink.connected(epoch);
    this.#sink.upstreamState?.(FeedState.Resync, "the agent sends what was missed");
  }

  #delta({ seq, timestamp, cleared, held, released }: warmpathFeed.Delta): void {
    const next = Number(seq);
    if (this.#inSnapshot || this.#seq === undefined || next !== this.#seq + 1) {
      const expected = this.#seq === undefined || this.#inSnapshot ? "a snapshot" : `delta ${this.#seq + 1}`;
      throw new Error(`Cannot read the agent's feed as ${expected} must come next: it sent delta ${next}`);
    }
    this.#seq = next;
    const events: KvEvent[] = cleared ? [{ kind: "cleared" }] : [];
    const gone = eventsOf("released", released), come = eventsOf("held", held);
    this.#sink.batch(batchOf(next, timestamp, {
      events: [...events, ...gone.events, ...come.events],
      unknown: gone.unknown + come.unknown,
    }));
  }
}

interface Events {
  readonly events: KvEvent[];
  /** Messages about tiers this release does not know. */
  readonly unknown: number;
}

function blocksOf({ blocks }: warmpathFeed.SnapshotPart): warmpathFeed.Blocks[] {
  return blocks ? [blocks] : [];
}

function eventsOf(kind: "held" | "released", blocks: readonly warmpathFeed.Blocks[]): Events {
  const events: KvEvent[] = [];
  let unknown = 0;
  for (const { tier: number, hashes: bytes } of blocks) {
    const tier = tierOf(number);
    const hashes = unpackHashes(bytes);
    if (!hashes) {
      throw new Error(`Cannot read the agent's feed as hashes must be 8 bytes each: it sent ${bytes.length}`);
    }
    if (tier === undefined) unknown++;
    else events.push({ kind, tier, hashes });
  }
  return { events, unknown };
}

function batchOf(seq: number, timestamp: number, { events, unknown }: Events): KvBatch {
  const batch = { seq, timestamp, events };
  return unknown === 0 ? batch : { ...batch, skipped: { "unknown-medium": unknown } };
}

function loadOf(load: warmpathFeed.Load): LoadSample {
  const { running, waiting, kvUsage, waitingUncachedTokens: uncached, cacheBlocks, cacheBlockTokens } = load;
  return {
    running,
    waiting,
    kvUsage,
    waitingUncachedTokens: uncached === undefined ? undefined : Number(uncached),
    cacheBlocks: cacheBlocks === undefined ? undefined : Number(cacheBlocks),
    cacheBlockTokens,
  };
}
