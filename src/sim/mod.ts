/**
 * A model server that behaves like vLLM under load, without a model: `Engine` is the scheduler as a pure function of
 * time, `SimEndpoint` runs it on a clock (virtual for replays), `startSimServer` puts it behind HTTP.
 */
export type { CostModel } from "./cost.ts";
export { defaultCost, stepMs } from "./cost.ts";
export { Engine } from "./engine.ts";
export type {
  CacheWatch,
  EngineEvent,
  EngineMetrics,
  EngineOptions,
  EngineRequest,
  RequestTimes,
} from "./engine_types.ts";
export { defaultEngine } from "./engine_types.ts";
export type { Fault, Faults } from "./faults.ts";
export { changedFaults, faultsOnWire, noFaults } from "./faults.ts";
export type { SimFlag } from "./flags.ts";
export { simFlags } from "./flags.ts";
export { BlockPool } from "./block_pool.ts";
export type { BlockHasher, BlockHashName, BlockHashOptions } from "./kv/block_hash.ts";
export { blockHasher, blockHashNames } from "./kv/block_hash.ts";
export type { EncodeOptions, KvDialect, TimedBatch } from "./kv/dialects.ts";
export { encodeBatch, eventsTold, hashToInt, kvDialects } from "./kv/dialects.ts";
export type * from "./kv/events.ts";
export { simTiers } from "./kv/events.ts";
export type { KvFeedSource, KvMessage } from "./kv/kv_feed.ts";
export { KvFeed } from "./kv/kv_feed.ts";
export type { KvCacheOptions, KvFeedOptions } from "./kv/kv_options.ts";
export { defaultKvCache, defaultKvFeed } from "./kv/kv_options.ts";
export type { OffloadOptions, OffloadTier } from "./kv/offload.ts";
export type { KvWatchOptions } from "./kv/watch_options.ts";
export { defaultKvWatch } from "./kv/watch_options.ts";
export { ZmqPublisher } from "./kv/zmq_publisher.ts";
export type { LoraModule, SimOptions, SimSettings } from "./options.ts";
export { defaultSimOptions, engineOptions, resolveSimOptions } from "./options.ts";
export type { ChainSeed, Prompt, PromptContent } from "./prompt.ts";
export { promptFromTokens, promptFromTrace, tokensFromTrace } from "./prompt.ts";
export type { SimFeeds, SimServer } from "./server.ts";
export { startSimServer } from "./server.ts";
export type { SimCallbacks, SimHandle, SimRequest } from "./sim_endpoint.ts";
export { createFleet, scaledClock, SimEndpoint } from "./sim_endpoint.ts";
export type { ChatTurn, MediaPart, TokenizedPrompt } from "./tokenizer.ts";
export { detokenize, tokenize, tokenizeChat } from "./tokenizer.ts";
export type { WorkerServer, WorkerServers } from "./worker_pool.ts";
export { startWorkerServer, startWorkerServers } from "./worker_pool.ts";
