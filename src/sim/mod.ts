/**
 * A model server that behaves like vLLM under load, without a model: `Engine` is the scheduler as a pure function of
 * time, `SimEndpoint` runs it on a clock (virtual for replays), `startSimServer` puts it behind HTTP.
 */
export type { CostModel } from "./cost.ts";
export { defaultCost, stepMs } from "./cost.ts";
export { Engine } from "./engine.ts";
export type { EngineEvent, EngineMetrics, EngineOptions, EngineRequest, RequestTimes } from "./engine_types.ts";
export { defaultEngine } from "./engine_types.ts";
export type { Fault, Faults } from "./faults.ts";
export { changedFaults, faultsOnWire, noFaults } from "./faults.ts";
export type { SimFlag } from "./flags.ts";
export { simFlags } from "./flags.ts";
export { BlockPool } from "./block_pool.ts";
export type { LoraModule, SimOptions } from "./options.ts";
export { defaultSimOptions, engineOptions, resolveSimOptions } from "./options.ts";
export type { ChainSeed, Prompt } from "./prompt.ts";
export { promptFromTokens, promptFromTrace } from "./prompt.ts";
export type { SimServer } from "./server.ts";
export { startSimServer } from "./server.ts";
export type { SimCallbacks, SimHandle, SimRequest } from "./sim_endpoint.ts";
export { createFleet, scaledClock, SimEndpoint } from "./sim_endpoint.ts";
export type { ChatTurn } from "./tokenizer.ts";
export { detokenize, tokenize, tokenizeChat } from "./tokenizer.ts";
export type { WorkerServer, WorkerServers } from "./worker_pool.ts";
export { startWorkerServer, startWorkerServers } from "./worker_pool.ts";
