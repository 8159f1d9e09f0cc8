import { ConfigError } from "../core/mod.ts";
import { type CostModel, defaultCost, stepMs } from "./cost.ts";
import { defaultEngine, type EngineOptions } from "./engine_types.ts";
import { type Faults, noFaults } from "./faults.ts";

/** A LoRA adapter by name and where it is said to lie. */
export interface LoraModule {
  readonly name: string;
  readonly path: string;
}

/** Everything a simulated server is started with, complete. */
export interface SimOptions {
  readonly hostname: string;
  /** 0 takes a free port. */
  readonly port: number;
  /** Pod name, returned in `x-inference-pod`; "" names it `sim-PORT`. */
  readonly name: string;
  /** Base model, the `root` in `/v1/models`. */
  readonly model: string;
  /** Names the base model answers to; the first one is reported. Empty: `model`. */
  readonly servedModelNames: readonly string[];
  readonly loraModules: readonly LoraModule[];
  readonly maxLoras: number;
  readonly maxNumSeqs: number;
  readonly maxNumBatchedTokens: number;
  /** Tokens of prompt and output together. */
  readonly maxModelLen: number;
  readonly maxWaitingQueueLength: number;
  /** Blocks of KV cache of each rank. */
  readonly kvCacheSize: number;
  readonly blockSize: number;
  readonly cost: CostModel;
  /** `max`: a request that names a limit gets exactly that many tokens. `random`: it may stop earlier. */
  readonly outputLength: "max" | "random";
  /** Longest answer to a request that names no limit. */
  readonly defaultOutputTokensMax: number;
  readonly seed: number;
  /** Simulated milliseconds in a real one. */
  readonly speed: number;
  /** Whose metric names `/metrics` uses. */
  readonly dialect: "vllm" | "sglang";
  readonly dataParallelSize: number;
  readonly embeddingDimensions: number;
  readonly bodyBytesMax: number;
  /** Whether `x-sim-fault` on a request is obeyed. */
  readonly allowFaultHeader: boolean;
  readonly faults: Faults;
}

/**
 * vLLM's defaults where it has them, with a context of 131,072 tokens, which 8,192 of the 32,768 blocks hold.
 * 64 MiB of body are about 16 million tokens, more than any context.
 */
export const defaultSimOptions: SimOptions = {
  hostname: "127.0.0.1",
  port: 8000,
  name: "",
  model: "sim/model-8b",
  servedModelNames: [],
  loraModules: [],
  maxLoras: defaultEngine.maxLoras,
  maxNumSeqs: defaultEngine.maxRunning,
  maxNumBatchedTokens: defaultEngine.maxBatchedTokens,
  maxModelLen: 131_072,
  maxWaitingQueueLength: defaultEngine.maxWaiting,
  kvCacheSize: defaultEngine.cacheBlocks,
  blockSize: defaultEngine.blockSize,
  cost: defaultCost,
  outputLength: "max",
  defaultOutputTokensMax: 256,
  seed: 0,
  speed: 1,
  dialect: "vllm",
  dataParallelSize: 1,
  embeddingDimensions: 384,
  bodyBytesMax: 64 * 1024 * 1024,
  allowFaultHeader: false,
  faults: noFaults,
};

/** Options that are numbers. */
export type NumberKey = { [K in keyof SimOptions]: SimOptions[K] extends number ? K : never }[keyof SimOptions];

const integers: Partial<Record<NumberKey, readonly [number, number]>> = {
  port: [0, 65_535],
  maxLoras: [1, 1024],
  maxNumSeqs: [1, 65_536],
  maxNumBatchedTokens: [1, 2 ** 24],
  maxModelLen: [2, 2 ** 24],
  maxWaitingQueueLength: [1, 2 ** 20],
  kvCacheSize: [1, 2 ** 26],
  blockSize: [1, 1024],
  defaultOutputTokensMax: [1, 2 ** 20],
  dataParallelSize: [1, 8],
  embeddingDimensions: [1, 16_384],
  bodyBytesMax: [1024, 2 ** 30],
};

/** Fills in defaults, checks ranges and relations, and freezes. Throws ConfigError naming the flag. */
export function resolveSimOptions(partial: Partial<SimOptions> = {}): SimOptions {
  const given = Object.fromEntries(Object.entries(partial).filter(([, value]) => value !== undefined));
  const options: SimOptions = { ...defaultSimOptions, ...given };
  for (const [key, [least, most]] of Object.entries(integers)) {
    const value = options[key as NumberKey];
    if (Number.isSafeInteger(value) && value >= least && value <= most) continue;
    refuse(key, `must be an integer from ${least} to ${most}: current value is ${value}`);
  }
  if (!(options.speed > 0 && options.speed <= 1e6)) {
    refuse("speed", `must be above 0 and at most 1000000: current value is ${options.speed}`);
  }
  for (const [key, value] of Object.entries(options.cost)) {
    const least = key === "prefillTokensPerS" ? 1 : 0;
    if (!(value >= least && value <= 1e9)) {
      refuse(`cost.${key}`, `must be from ${least} to 1e9: current value is ${value}`);
    }
  }
  if (stepMs(options.cost, { requests: 1, prefillTokens: 0, prefillPairs: 0, decodeContext: 0 }) <= 0) {
    refuse("cost", "must give a step with one request a duration above 0");
  }
  if (options.model === "") refuse("model", "must not be empty");
  const holds = options.kvCacheSize * options.blockSize;
  if (holds < options.maxModelLen) {
    refuse("maxModelLen", `must fit in the KV cache of ${holds} tokens: current value is ${options.maxModelLen}`);
  }
  const names = [...servedNames(options), ...options.loraModules.map(({ name }) => name)];
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) refuse("loraModules", `must have distinct names: "${twice}" is there twice`);
  return Object.freeze(options);
}

function refuse(key: string, expected: string): never {
  throw new ConfigError("sim options", key, expected);
}

/** Names the base model answers to, at least one. */
export function servedNames(options: SimOptions): readonly string[] {
  return options.servedModelNames.length > 0 ? options.servedModelNames : [options.model];
}

/** The part of the options that sizes one engine. */
export function engineOptions(options: SimOptions): EngineOptions {
  return {
    maxBatchedTokens: options.maxNumBatchedTokens,
    maxRunning: options.maxNumSeqs,
    maxWaiting: options.maxWaitingQueueLength,
    cacheBlocks: options.kvCacheSize,
    blockSize: options.blockSize,
    maxLoras: options.maxLoras,
    cost: options.cost,
  };
}
