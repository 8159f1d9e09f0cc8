import { ConfigError } from "../core/mod.ts";
import { type CostModel, defaultCost, stepMs } from "./cost.ts";
import { defaultEngine, type EngineOptions } from "./engine_types.ts";
import { type Faults, noFaults } from "./faults.ts";
import { type BlockHashName, blockHashNames } from "./kv/block_hash.ts";
import { type KvDialect, kvDialects } from "./kv/dialects.ts";
import { defaultKvCache, defaultKvFeed, type KvCacheOptions, type KvFeedOptions, offloadOf } from "./kv/kv_options.ts";

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
  readonly kvCache: KvCacheOptions;
  readonly kvEvents: KvFeedOptions;
  /** Port of the engine's gRPC service, 0 for a free one; absent for none. */
  readonly grpcPort?: number;
}

/** Options as they are given: what is absent has its default. */
export type SimSettings = Partial<Omit<SimOptions, "kvCache" | "kvEvents">> & {
  readonly kvCache?: Partial<KvCacheOptions>;
  readonly kvEvents?: Partial<KvFeedOptions>;
};

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
  kvCache: defaultKvCache,
  kvEvents: defaultKvFeed,
};

/** Options that are numbers. */
export type NumberKey = { [K in keyof SimOptions]-?: SimOptions[K] extends number ? K : never }[keyof SimOptions];

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
export function resolveSimOptions(partial: SimSettings = {}): SimOptions {
  const given = Object.fromEntries(Object.entries(partial).filter(([, value]) => value !== undefined));
  const options: SimOptions = { ...defaultSimOptions, ...given, ...kvOptions(partial) };
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
  checkKv(options);
  const names = [...servedNames(options), ...options.loraModules.map(({ name }) => name)];
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) refuse("loraModules", `must have distinct names: "${twice}" is there twice`);
  return Object.freeze(options);
}

/** Which engine it is decides how events are written, and that how blocks are named, unless said otherwise. */
function kvOptions({ dialect, kvCache, kvEvents }: SimSettings): Pick<SimOptions, "kvCache" | "kvEvents"> {
  const eventDialect: KvDialect = kvEvents?.dialect ?? (dialect === "sglang" ? "sglang-d" : "vllm-map");
  const engine = eventDialect.split("-")[0];
  const blockHash: BlockHashName = engine === "sglang"
    ? "sglang"
    : engine === "llm"
    ? "llm-d-cbor-fnv"
    : defaultKvCache.blockHash;
  return {
    kvCache: { ...defaultKvCache, blockHash, ...kvCache },
    kvEvents: { ...defaultKvFeed, dialect: eventDialect, ...kvEvents },
  };
}

const kvIntegers: readonly (readonly ["kvCache" | "kvEvents", string, number, number])[] = [
  ["kvCache", "cpuBlocks", 0, 2 ** 26],
  ["kvCache", "diskBlocks", 0, 2 ** 26],
  ["kvCache", "sharedBlocks", 0, 2 ** 26],
  ["kvCache", "cpuLoadNs", 0, 1e9],
  ["kvCache", "diskLoadNs", 0, 1e9],
  ["kvCache", "sharedLoadNs", 0, 1e9],
  ["kvCache", "offloadChunkBlocks", 1, 4096],
  ["kvEvents", "firstSeq", 0, 1],
  ["kvEvents", "bufferSteps", 0, 2 ** 20],
  ["kvEvents", "batchEvents", 0, 65_536],
  ["kvEvents", "flushMs", 1, 3_600_000],
];

const kvChoices: readonly (readonly ["kvCache" | "kvEvents", string, readonly string[]])[] = [
  ["kvCache", "blockHash", blockHashNames],
  ["kvCache", "offloadPolicy", ["store", "evict"]],
  ["kvCache", "offloadEvents", ["self", "location"]],
  ["kvEvents", "dialect", kvDialects],
  ["kvEvents", "hashForm", ["bytes", "int"]],
  ["kvEvents", "replayForm", ["old", "new"]],
];

function checkKv(options: SimOptions): void {
  const valueOf = (part: "kvCache" | "kvEvents", key: string) =>
    new Map<string, unknown>(Object.entries(options[part])).get(key);
  for (const [part, key, least, most] of kvIntegers) {
    const value = valueOf(part, key);
    if (Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most) continue;
    refuse(`${part}.${key}`, `must be an integer from ${least} to ${most}: current value is ${value}`);
  }
  for (const [part, key, values] of kvChoices) {
    const value = valueOf(part, key);
    if (values.includes(String(value))) continue;
    refuse(`${part}.${key}`, `must be one of ${values.join(", ")}: current value is "${value}"`);
  }
  const { endpoint, replayEndpoint } = options.kvEvents;
  for (const [key, value] of Object.entries({ endpoint, replayEndpoint })) {
    if (value === "" || /^(tcp:\/\/.+:\d+|ipc:\/\/.+)$/.test(value)) continue;
    refuse(`kvEvents.${key}`, `must be a ZMQ endpoint such as tcp://*:5557: current value is "${value}"`);
  }
  if (replayEndpoint !== "" && endpoint === "") refuse("kvEvents.replayEndpoint", "must come with an endpoint");
  const { grpcPort } = options;
  if (grpcPort !== undefined && !(Number.isInteger(grpcPort) && grpcPort >= 0 && grpcPort <= 65_535)) {
    refuse("grpcPort", `must be an integer from 0 to 65535: current value is ${grpcPort}`);
  }
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
    offload: offloadOf(options.kvCache),
  };
}
