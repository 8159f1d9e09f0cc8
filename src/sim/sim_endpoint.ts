import type { Clock, Timer } from "../core/mod.ts";
import { Engine } from "./engine.ts";
import {
  defaultEngine,
  type EngineMetrics,
  type EngineOptions,
  type EngineRequest,
  type RequestTimes,
} from "./engine_types.ts";
import { CacheLedger } from "./kv/cache_ledger.ts";
import type { TrueBlock } from "./kv/events.ts";
import { defaultKvWatch, hasherOfLife, type KvWatchOptions } from "./kv/watch_options.ts";
import type { Prompt } from "./prompt.ts";

/** A request to one simulated server. */
export interface SimRequest {
  readonly prompt: Prompt;
  /** Tokens to generate; 0 for pooling. */
  readonly outputTokens: number;
  readonly adapter?: string;
}

/** What a caller hears of its request; times are of the endpoint's clock, at which the step ended. */
export interface SimCallbacks {
  onFirstToken?(atMs: number): void;
  /** Every token, the first included. Costs speed: such a request is stepped one step at a time. */
  onToken?(index: number, atMs: number): void;
  /** Once, unless the request was aborted. */
  onFinish(times: RequestTimes): void;
}

/** An accepted request. */
export interface SimHandle {
  /** Frees what the request holds; no callback follows. Does nothing after the end. */
  abort(): void;
}

/** One engine running on a clock: a `VirtualClock` for replays, the system's for servers. */
export class SimEndpoint {
  readonly name: string;
  readonly engine: Engine;
  readonly #clock: Clock;
  readonly #callbacks = new Map<EngineRequest, SimCallbacks>();
  #timer: Timer | undefined;
  #timerMs = Infinity;
  #pumping = false;
  readonly #kv: KvWatchOptions | undefined;
  readonly #ledger: CacheLedger | undefined;
  #life = 0;

  /** With `kv` the cache is watched: requests then need prompts with content. */
  constructor(clock: Clock, name: string, options: Partial<EngineOptions> = {}, kv?: Partial<KvWatchOptions>) {
    this.#clock = clock;
    this.name = name;
    if (kv !== undefined) {
      const complete = this.#kv = { ...defaultKvWatch, ...kv };
      this.#ledger = new CacheLedger({
        blockSize: options.blockSize ?? defaultEngine.blockSize,
        hasher: hasherOfLife(complete, name, 0),
        rank: complete.rank,
        offloadEvents: complete.offloadEvents,
        offloadChunkBlocks: complete.offloadChunkBlocks,
      });
    }
    this.engine = new Engine(options, this.#ledger);
  }

  /** What the cache holds as of now, parents before children. Throws RangeError where the cache is not watched. */
  trueCache(): TrueBlock[] {
    if (this.#ledger === undefined) throw new RangeError("Cannot tell what the cache holds as it is not watched");
    this.#pump();
    return this.#ledger.trueCache();
  }

  /** Empties the cache, every tier of it; false, doing nothing, while requests hold blocks. */
  resetCache(): boolean {
    const done = this.engine.resetCache(this.#clock.now());
    this.#pump();
    return done;
  }

  /** As when the process dies and another starts: requests and cache are gone, no callback or event tells of it. */
  restart(): void {
    this.#callbacks.clear();
    this.engine.restart(this.#clock.now());
    this.#disarm();
    this.#life++;
    if (this.#kv !== undefined) this.#ledger?.restarted(hasherOfLife(this.#kv, this.name, this.#life));
  }

  /** Queues a request; undefined when the waiting queue is full. Throws RangeError for one that can never run. */
  submit(request: SimRequest, callbacks: SimCallbacks): SimHandle | undefined {
    const own: EngineRequest = {
      prompt: request.prompt,
      outputTokens: request.outputTokens,
      adapter: request.adapter,
      everyToken: callbacks.onToken !== undefined,
    };
    if (!this.engine.submit(own, this.#clock.now())) return undefined;
    this.#callbacks.set(own, callbacks);
    this.#arm();
    return {
      abort: () => {
        if (!this.#callbacks.delete(own)) return;
        this.engine.abort(own, this.#clock.now());
        this.#arm();
      },
    };
  }

  /** Load and counters as of now. */
  metrics(): EngineMetrics {
    this.#pump();
    return this.engine.metrics();
  }

  /** Multiplies the durations of steps from now on. */
  slowDown(factor: number): void {
    this.engine.slowDown(factor, this.#clock.now());
    this.#arm();
  }

  /** Aborts everything and cancels the timer: the rest of a step under way is caught up with at the next call. */
  close(): void {
    for (const request of this.#callbacks.keys()) this.engine.abort(request, this.#clock.now());
    this.#callbacks.clear();
    this.#disarm();
  }

  /** A timer that is too early only looks again; one that would be too late is replaced. */
  #arm(): void {
    if (this.#pumping) return;
    const wakeMs = this.#ledger?.pending ? 0 : this.engine.wakeMs();
    if (wakeMs === undefined) return this.#disarm();
    if (wakeMs >= this.#timerMs) return;
    this.#timer?.cancel();
    this.#timerMs = wakeMs;
    // Rounding in `now + ms` may put the timer before `wakeMs`; it then fires once more.
    this.#timer = this.#clock.after(Math.max(0, wakeMs - this.#clock.now()), () => {
      this.#timer = undefined;
      this.#timerMs = Infinity;
      this.#pump();
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerMs = Infinity;
  }

  #tellCache(): void {
    if (!this.#ledger?.pending) return;
    for (const batch of this.#ledger.take()) this.#kv?.onBatch?.(batch);
  }

  /** Lets the engine catch up and tells what happened. Callbacks may submit and abort. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      let events = this.engine.advance(this.#clock.now());
      this.#tellCache();
      while (events.length > 0) {
        for (const event of events) {
          const callbacks = this.#callbacks.get(event.request);
          if (callbacks === undefined) continue;
          if (event.kind === "token") {
            if (event.index === 0) callbacks.onFirstToken?.(event.atMs);
            callbacks.onToken?.(event.index, event.atMs);
          } else {
            this.#callbacks.delete(event.request);
            callbacks.onFinish(event.times);
          }
        }
        events = this.engine.advance(this.#clock.now());
        this.#tellCache();
      }
    } finally {
      this.#pumping = false;
      this.#arm();
    }
  }
}

/** `count` equal endpoints on one clock, named `sim-0`, `sim-1`, …; `kv` gives what each is watched with, if at all. */
export function createFleet(
  clock: Clock,
  count: number,
  options: Partial<EngineOptions> = {},
  kv?: (index: number) => Partial<KvWatchOptions>,
): SimEndpoint[] {
  return Array.from({ length: count }, (_, i) => new SimEndpoint(clock, `sim-${i}`, options, kv?.(i)));
}

/** A clock on which `speed` milliseconds pass in one of `clock`'s. */
export function scaledClock(clock: Clock, speed: number): Clock {
  return {
    now: () => clock.now() * speed,
    wallMs: () => clock.wallMs(),
    after: (ms, fn, options) => clock.after(ms / speed, fn, options),
  };
}
