import { type CostModel, defaultCost } from "./cost.ts";
import type { OffloadOptions, OffloadWatch } from "./kv/offload.ts";
import type { Prompt } from "./prompt.ts";

/** Hears what an engine's cache does, as it happens; `CacheLedger` makes events of it. */
export interface CacheWatch extends OffloadWatch {
  /** The accelerator holds blocks `from` to `to` of the request's chain under keys it did not have. */
  stored(request: EngineRequest, from: number, to: number): void;
  /** The accelerator lost the block under `key`. */
  evicted(key: number): void;
  cleared(atMs: number): void;
  stepEnded(atMs: number): void;
}

/** Size and speed of one engine. */
export interface EngineOptions {
  /** Tokens one step computes at most, prompt chunks and decodes together. */
  readonly maxBatchedTokens: number;
  /** Requests that run at once. */
  readonly maxRunning: number;
  /** Requests that wait at most; further ones are refused. */
  readonly maxWaiting: number;
  /** Blocks of KV cache. */
  readonly cacheBlocks: number;
  /** Tokens a block holds. */
  readonly blockSize: number;
  /** Distinct adapters that run at once. */
  readonly maxLoras: number;
  readonly cost: CostModel;
  /** Tiers besides the accelerator. */
  readonly offload: OffloadOptions;
}

/**
 * vLLM's defaults where it has fixed ones (2,048 tokens a step with chunked prefill, 256 requests, block 16, 1 adapter).
 * 32,768 blocks are 524,288 tokens: 64 GiB for an 8B model in 16 bit.
 */
export const defaultEngine: EngineOptions = {
  maxBatchedTokens: 2048,
  maxRunning: 256,
  maxWaiting: 1000,
  cacheBlocks: 32_768,
  blockSize: 16,
  maxLoras: 1,
  cost: defaultCost,
  offload: { tiers: [], policy: "store" },
};

/** What an engine is asked to do. The same object identifies the request in events and in `abort`. */
export interface EngineRequest {
  readonly prompt: Prompt;
  /** Tokens to generate; 0 for pooling (embeddings, scores), which ends with the prompt computed. */
  readonly outputTokens: number;
  readonly adapter?: string;
  /** Wants an event for each token, not only for the first. Such requests are stepped one step at a time. */
  readonly everyToken?: boolean;
}

/** How a finished request went; all times on the clock of the `nowMs` arguments. */
export interface RequestTimes {
  readonly arrivedMs: number;
  /** First step that computed a part of it began. */
  readonly scheduledMs: number;
  /** NaN for pooling. */
  readonly firstTokenMs: number;
  readonly finishedMs: number;
  /** Prompt tokens found in the cache when first scheduled. */
  readonly cachedTokens: number;
  readonly preemptions: number;
}

export type EngineEvent =
  | { readonly kind: "token"; readonly request: EngineRequest; readonly index: number; readonly atMs: number }
  | { readonly kind: "finish"; readonly request: EngineRequest; readonly atMs: number; readonly times: RequestTimes };

/** A request inside the engine, as far as it has come. */
export interface RequestState {
  readonly request: EngineRequest;
  /** Tokens whose KV is in the cache when the step under way is not counted. */
  readonly computed: number;
  /** Output tokens that exist. */
  readonly produced: number;
  /** Tokens the step under way computes. */
  readonly scheduled: number;
  /** NaN until it came. */
  readonly firstTokenMs: number;
}

/** What an engine has to do. */
export interface EngineState {
  /** In order of admission. */
  readonly running: readonly RequestState[];
  /** In the order in which they will be started. */
  readonly waiting: readonly RequestState[];
  /** When the step under way ends; now, where there is none. */
  readonly stepEndsMs: number;
  /** What durations of steps are multiplied with. */
  readonly slowFactor: number;
}

/** Load and counters of an engine. */
export interface EngineMetrics {
  running: number;
  waiting: number;
  /** Share of blocks held by running requests, 0 to 1. */
  kvUsage: number;
  cacheBlocks: number;
  blockTokens: number;
  /** Blocks whose content can be reused. */
  cachedBlocks: number;
  promptTokens: number;
  generationTokens: number;
  /** Prompt tokens looked up in the prefix cache, and found. */
  prefixQueries: number;
  prefixHits: number;
  preemptions: number;
  finished: number;
  aborted: number;
  runningAdapters: string[];
  waitingAdapters: string[];
}
