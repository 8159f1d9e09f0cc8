/** One rank's cache and load, told to every reader at its own pace. */
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type Clock, FeedState, type Timer } from "../core/mod.ts";
import type { BlockTreeApi } from "../hotpath/mod.ts";
import { type LoadSample, wireState } from "../kv/mod.ts";
import { warmpathFeed } from "../proto/mod.ts";
import { DeltaLog, type DeltaLogOptions } from "./delta_log.ts";
import { snapshotMessages } from "./snapshot.ts";

export interface PublisherOptions extends DeltaLogOptions {
  /** @default {64} */
  readonly subscribersMax: number;
  /** Each reader hears something at least this often. @default {5000} */
  readonly heartbeatMs: number;
}

const publisherDefaults = { subscribersMax: 64, heartbeatMs: 5000 };

/** Who publishes, for hellos. */
export interface PublisherIdentity {
  readonly epoch: string;
  readonly engine: string;
  readonly version: string;
}

/** Where snapshots come from: the tree, and the slot whose changes go into the log. */
export interface SnapshotSource {
  readonly tree: Pick<BlockTreeApi, "held" | "slotStats">;
  readonly slot: number;
}

type Message = warmpathFeed.FeedMessage;

/**
 * A reader costs a position, not a queue: deltas come out of the shared log, of the load and the state only the newest is
 * told. A reader that falls out of the log gets a snapshot.
 */
export class Publisher {
  readonly log: DeltaLog;
  readonly identity: PublisherIdentity;
  readonly #clock: Clock;
  readonly #source: SnapshotSource;
  readonly #options: typeof publisherDefaults;
  readonly #subscribers = new Map<string, Subscriber>();
  #snapshot?: { readonly seq: number; readonly messages: readonly Message[] };
  #heartbeat?: Timer;
  /** The load was read since the last heartbeat. */
  #loadConfirmed = false;
  #closed = false;

  state: FeedState = FeedState.Blind;
  reason = "the engine's feed is not connected yet";
  load?: LoadSample;
  /** Snapshots begun, for metrics. */
  snapshots = 0;

  constructor(
    clock: Clock,
    identity: PublisherIdentity,
    source: SnapshotSource,
    options: Partial<PublisherOptions> = {},
  ) {
    this.#clock = clock;
    this.#source = source;
    this.identity = identity;
    this.#options = { ...publisherDefaults, ...options };
    this.log = new DeltaLog(clock, () => this.#wakeAll(), options);
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  setState(state: FeedState, reason: string): void {
    if (state === this.state && reason === this.reason) return;
    // What the new state rests on is told before it.
    this.log.flush();
    this.state = state;
    this.reason = reason;
    this.#wakeAll();
  }

  /** Members that are absent keep what was told before. Say it after each reading: readers hear that the load still holds. */
  setLoad(sample: LoadSample): void {
    this.#loadConfirmed = true;
    const told: LoadSample = { ...this.load };
    let changed = false;
    for (const [key, value] of Object.entries(sample) as [keyof LoadSample, number | undefined][]) {
      if (value === undefined || told[key] === value) continue;
      Object.assign(told, { [key]: value });
      changed = true;
    }
    if (!changed) return;
    this.load = told;
    this.#wakeAll();
  }

  /**
   * Hello, then all that the reader misses, then all as it happens. Ends by throwing: at shutdown, when the same client
   * subscribes again, and when `signal` aborts.
   */
  async *subscribe(client: string, from: { epoch: string; seq: number }, signal: AbortSignal): AsyncGenerator<Message> {
    const subscriber = this.#admit(client, from);
    const leave = () => {
      subscriber.stop(new ConnectError("The client left", Code.Canceled));
      this.#remove(client, subscriber);
    };
    // Not only in `finally`: a write that waits for a client that is gone may never let the generator go on.
    signal.addEventListener("abort", leave, { once: true });
    if (signal.aborted) leave();
    try {
      if (!subscriber.end) yield this.#hello();
      while (!subscriber.end) {
        const message = this.#next(subscriber);
        if (message) yield message;
        else await subscriber.sleep();
      }
      throw subscriber.end;
    } finally {
      signal.removeEventListener("abort", leave);
      this.#remove(client, subscriber);
    }
  }

  /** Ends every subscription and takes no new one. */
  close(): void {
    this.#closed = true;
    this.log.close();
    for (const subscriber of this.#subscribers.values()) {
      subscriber.stop(new ConnectError("The agent is shutting down", Code.Unavailable));
    }
  }

  #admit(client: string, from: { epoch: string; seq: number }): Subscriber {
    if (this.#closed) throw new ConnectError("The agent is shutting down", Code.Unavailable);
    const earlier = this.#subscribers.get(client);
    const { subscribersMax } = this.#options;
    if (!earlier && this.#subscribers.size >= subscribersMax) {
      throw new ConnectError(
        `Cannot subscribe as the number of subscribers must be at most ${subscribersMax}: current value is ${this.#subscribers.size}`,
        Code.ResourceExhausted,
      );
    }
    earlier?.stop(new ConnectError("The client subscribed again", Code.Aborted));
    const resumes = from.epoch === this.identity.epoch && from.seq <= this.log.seq;
    const subscriber = new Subscriber(resumes ? from.seq : -1);
    this.#subscribers.set(client, subscriber);
    if (this.#subscribers.size === 1) this.#beat();
    return subscriber;
  }

  #remove(client: string, subscriber: Subscriber): void {
    if (this.#subscribers.get(client) !== subscriber) return;
    this.#subscribers.delete(client);
    if (this.#subscribers.size === 0) {
      this.#heartbeat?.cancel();
      this.#snapshot = undefined;
    }
  }

  /** What the reader is told next; undefined when it knows all. */
  #next(subscriber: Subscriber): Message | undefined {
    if (this.state < subscriber.state) return this.#tellState(subscriber);
    if (subscriber.load !== this.load) {
      subscriber.load = this.load;
      return message({ case: "load", value: create(warmpathFeed.LoadSchema, wireLoad(this.load!)) });
    }
    if (subscriber.due) return this.#tellThere(subscriber);
    const part = subscriber.parts.next();
    if (!part.done) return part.value;
    if (subscriber.seq + 1 < this.log.oldestSeq) return this.#beginSnapshot(subscriber);
    if (subscriber.seq < this.log.seq) return this.log.read(++subscriber.seq);
    if (this.state !== subscriber.state || this.reason !== subscriber.reason) return this.#tellState(subscriber);
    return undefined;
  }

  #tellThere(subscriber: Subscriber): Message {
    const what = subscriber.due;
    subscriber.due = undefined;
    return what === "load"
      ? message({ case: "load", value: create(warmpathFeed.LoadSchema) })
      : message({ case: "heartbeat", value: create(warmpathFeed.HeartbeatSchema) });
  }

  #hello(): Message {
    const { epoch, engine, version } = this.identity;
    const { seq, oldestSeq } = this.log;
    return message({
      case: "hello",
      value: create(warmpathFeed.HelloSchema, {
        epoch,
        seq: BigInt(seq),
        oldestSeq: BigInt(oldestSeq),
        engine,
        version,
      }),
    });
  }

  #tellState(subscriber: Subscriber): Message {
    subscriber.state = this.state;
    subscriber.reason = this.reason;
    const value = create(warmpathFeed.StateChangeSchema, { state: wireState[this.state], reason: this.reason });
    return message({ case: "state", value });
  }

  #beginSnapshot(subscriber: Subscriber): Message {
    this.log.flush();
    this.snapshots++;
    const { seq } = this.log;
    // Readers that come together, as after a restart of the network, share one.
    if (this.#snapshot?.seq !== seq) {
      const { tree, slot } = this.#source;
      this.#snapshot = { seq, messages: snapshotMessages(tree, slot, this.identity.epoch, seq) };
    }
    subscriber.seq = seq;
    subscriber.parts = this.#snapshot.messages[Symbol.iterator]();
    return subscriber.parts.next().value!;
  }

  #beat(): void {
    this.#heartbeat?.cancel();
    this.#heartbeat = this.#clock.after(this.#options.heartbeatMs, () => {
      const due = this.#loadConfirmed ? "load" : "heartbeat";
      this.#loadConfirmed = false;
      for (const subscriber of this.#subscribers.values()) {
        subscriber.due = due;
        subscriber.wake();
      }
      if (this.#subscribers.size > 0) this.#beat();
    }, { background: true });
  }

  #wakeAll(): void {
    // A snapshot of an older position serves nobody any more, but those who are reading it.
    if (this.#snapshot && this.#snapshot.seq !== this.log.seq) this.#snapshot = undefined;
    for (const subscriber of this.#subscribers.values()) subscriber.wake();
  }
}

/** Where one reader stands. */
class Subscriber {
  /** Last delta it was told; -1: it needs a snapshot. */
  seq: number;
  /** Rest of the snapshot it is being told. */
  parts: Iterator<Message> = [][Symbol.iterator]();
  load?: LoadSample;
  /** A reader hears at once that the state is not LIVE, and that it is only when it has everything. */
  state: FeedState = FeedState.Live;
  reason?: string;
  /** What it is told because time has passed: that the load still holds, or only that the agent is there. */
  due?: "load" | "heartbeat";
  end?: ConnectError;
  #wake?: () => void;

  constructor(seq: number) {
    this.seq = seq;
  }

  /** Until `wake`. */
  sleep(): Promise<void> {
    return new Promise((resolve) => this.#wake = resolve);
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  stop(reason: ConnectError): void {
    this.end ??= reason;
    this.wake();
  }
}

function message(value: Message["message"]): Message {
  return create(warmpathFeed.FeedMessageSchema, { message: value });
}

const u32 = (value: number | undefined) =>
  value === undefined ? undefined : Math.min(0xffff_ffff, Math.max(0, Math.round(value)));
const u64 = (value: number | undefined) => value === undefined ? undefined : BigInt(Math.max(0, Math.round(value)));

function wireLoad(load: LoadSample) {
  return {
    running: u32(load.running),
    waiting: u32(load.waiting),
    kvUsage: load.kvUsage,
    waitingUncachedTokens: u64(load.waitingUncachedTokens),
    cacheBlocks: u64(load.cacheBlocks),
    cacheBlockTokens: u32(load.cacheBlockTokens),
  };
}
