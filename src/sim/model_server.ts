import type { Clock } from "../core/mod.ts";
import { ApiError } from "./api_error.ts";
import type { RequestTimes } from "./engine_types.ts";
import type { Answer } from "./generation.ts";
import { SimMetrics } from "./metrics.ts";
import type { Faults } from "./faults.ts";
import type { MediaSpan } from "./kv/events.ts";
import { KvFeed } from "./kv/kv_feed.ts";
import { engineOptions, type LoraModule, servedNames, type SimOptions } from "./options.ts";
import { ChainHash } from "./hash.ts";
import type { KvWatchOptions } from "./kv/watch_options.ts";
import { promptFromTokens } from "./prompt.ts";
import { scaledClock, SimEndpoint } from "./sim_endpoint.ts";

/** Adapters that can be loaded at run time: a bound on memory and on `/v1/models`. */
const adaptersMax = 1024;

/** One sequence for an engine. */
export interface Job {
  readonly ids: Uint32Array;
  readonly media?: readonly MediaSpan[];
  /** Absent for pooling. */
  readonly answer?: Answer;
}

/** What the sequences of one call have in common. */
export interface JobContext {
  readonly adapter?: string;
  readonly salt?: string;
  /** The rank the client asked for. */
  readonly rank?: number;
}

/** What is heard of the jobs of one call, by their position. */
export interface JobEvents {
  onToken?(job: number, index: number): void;
  onEnd(job: number, times: RequestTimes): void;
}

/** A simulated model server without its HTTP side: models, adapters, engines, measurements. */
export class ModelServer {
  readonly options: SimOptions;
  readonly clock: Clock;
  readonly ranks: readonly SimEndpoint[];
  readonly metrics: SimMetrics;
  /** What each rank publishes of its cache; empty when nothing is published. */
  readonly feeds: readonly KvFeed[];
  /** Unix seconds of the start. */
  readonly createdS: number;
  /** Unix milliseconds at which the engine's process started. */
  #startedMs: number;
  readonly #simClock: Clock;
  readonly #adapters = new Map<string, LoraModule>();

  constructor(options: SimOptions, clock: Clock) {
    this.options = options;
    this.clock = clock;
    this.#startedMs = clock.wallMs();
    this.createdS = Math.floor(this.#startedMs / 1000);
    this.#simClock = scaledClock(clock, options.speed);
    const ranks = Array.from({ length: options.dataParallelSize }, (_, rank) => rank);
    const { blockHash } = options.kvCache;
    const { seed, name, faults, kvEvents } = options;
    this.feeds = kvEvents.endpoint === ""
      ? []
      : ranks.map((rank) => new KvFeed(kvEvents, { clock, blockHash, rank, seed, name }, faults));
    this.ranks = ranks.map((rank) =>
      new SimEndpoint(this.#simClock, `rank-${rank}`, engineOptions(options), this.#watchOf(rank))
    );
    this.metrics = new SimMetrics(options, servedNames(options)[0], this.ranks, {
      wallMs: () => clock.wallMs(),
      startedMs: () => this.#startedMs,
    });
    for (const module of options.loraModules) this.#adapters.set(module.name, module);
  }

  /** How a rank's cache is watched; not at all where nobody hears of it, as that costs time. */
  #watchOf(rank: number): Partial<KvWatchOptions> | undefined {
    if (this.feeds.length === 0) return undefined;
    const { kvCache, model, seed, name } = this.options;
    const { blockHash, hashSeed, offloadEvents, offloadChunkBlocks } = kvCache;
    return {
      blockHash,
      hashSeed: hashSeed === "" ? undefined : hashSeed,
      model,
      seed: seedOf(seed, name),
      rank,
      offloadEvents,
      offloadChunkBlocks,
      onBatch: (batch) => this.feeds[rank].publish(batch),
    };
  }

  /** Unix milliseconds at which the engine's process started. */
  get startedMs(): number {
    return this.#startedMs;
  }

  /** Puts the faults that concern the engines in force. */
  applyFaults(faults: Faults): void {
    for (const rank of this.ranks) rank.slowDown(faults.slowFactor);
    for (const feed of this.feeds) feed.changeFaults(faults);
  }

  /** As when the process dies and another starts: requests end without a word, caches are lost, feeds count anew. */
  restart(): void {
    for (const rank of this.ranks) rank.restart();
    for (const feed of this.feeds) feed.restart();
    this.#startedMs = this.clock.wallMs();
  }

  /** Empties the caches of all ranks; false when one of them is in use, which then keeps its own. */
  resetCache(): boolean {
    return this.ranks.map((rank) => rank.resetCache()).every((done) => done);
  }

  get adapters(): Iterable<LoraModule> {
    return this.#adapters.values();
  }

  /** Whether `model` is the base model (also when not named) or which adapter it is; throws 404 for any other. */
  resolve(model: string | null | undefined): { name: string; adapter?: string } {
    const served = servedNames(this.options);
    if (model === undefined || model === null || model === "") return { name: served[0] };
    if (served.includes(model)) return { name: model };
    if (this.#adapters.has(model)) return { name: model, adapter: model };
    throw ApiError.unknownModel(model);
  }

  loadAdapter(module: LoraModule): void {
    if (this.#adapters.has(module.name) || servedNames(this.options).includes(module.name)) {
      throw ApiError.badRequest(`The name ${module.name} is already in use`, "lora_name");
    }
    if (this.#adapters.size >= adaptersMax) throw ApiError.badRequest(`There are already ${adaptersMax} adapters`);
    this.#adapters.set(module.name, module);
  }

  unloadAdapter(name: string): void {
    if (!this.#adapters.delete(name)) throw ApiError.unknownModel(name);
  }

  /**
   * Runs `jobs` on one rank; returns what aborts those that have not ended. Throws 429, having kept none, when the
   * queue cannot take all.
   */
  start(jobs: readonly Job[], context: JobContext, events: JobEvents): () => void {
    const rank = context.rank ?? this.#leastLoaded();
    const endpoint = this.ranks[rank];
    const live = new Map<number, () => void>();
    const abort = () => {
      for (const stop of live.values()) {
        stop();
        this.metrics.aborted(rank);
      }
      live.clear();
    };
    jobs.forEach((job, i) => {
      const handle = this.#submit(endpoint, rank, job, context, {
        onToken: events.onToken && ((index) => events.onToken?.(i, index)),
        onEnd: (times) => {
          live.delete(i);
          events.onEnd(i, times);
        },
      });
      if (handle === undefined) {
        abort();
        throw ApiError.queueFull();
      }
      live.set(i, handle.abort);
    });
    return abort;
  }

  #submit(
    endpoint: SimEndpoint,
    rank: number,
    job: Job,
    { adapter, salt }: JobContext,
    events: { onToken?: (index: number) => void; onEnd: (times: RequestTimes) => void },
  ) {
    const { ids, media, answer } = job;
    const outputTokens = answer?.ids.length ?? 0;
    const prompt = promptFromTokens(ids, { blockSize: this.options.blockSize, adapter, salt, media }, answer?.ids);
    const arrivedMs = this.#simClock.now();
    let lastMs = NaN;
    return endpoint.submit({ prompt, outputTokens, adapter }, {
      onToken: (index, atMs) => {
        if (index === 0) this.metrics.firstToken(rank, atMs - arrivedMs);
        else this.metrics.tokenGap(rank, atMs - lastMs);
        lastMs = atMs;
        events.onToken?.(index);
      },
      onFinish: (times) => {
        const finishReason = answer?.finishReason ?? "stop";
        this.metrics.finished(rank, { times, promptTokens: ids.length, outputTokens, finishReason });
        events.onEnd(times);
      },
    });
  }

  /** As vLLM's internal balancer: a waiting request weighs four running ones. */
  #leastLoaded(): number {
    let best = 0, least = Infinity;
    this.ranks.forEach((rank, i) => {
      const { running, waiting } = rank.metrics();
      if (waiting * 4 + running >= least) return;
      least = waiting * 4 + running;
      best = i;
    });
    return best;
  }

  /** Ends every request without a word. */
  close(): void {
    for (const rank of this.ranks) rank.close();
    for (const feed of this.feeds) feed.close();
  }
}

/** Two servers with one seed name their blocks differently, where that is left to chance. */
function seedOf(seed: number, name: string): number {
  const hash = new ChainHash(seed);
  hash.updateText(name);
  return hash.link();
}
