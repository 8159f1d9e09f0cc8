import { ConfigError } from "../core/mod.ts";
import { type CostModel, defaultCost } from "./cost.ts";
import { changedFaults, noFaults } from "./faults.ts";
import { blockHashNames } from "./kv/block_hash.ts";
import { kvDialects } from "./kv/dialects.ts";
import { defaultKvCache, defaultKvFeed, type KvCacheOptions, type KvFeedOptions } from "./kv/kv_options.ts";
import { defaultSimOptions, type LoraModule, type NumberKey, type SimSettings } from "./options.ts";

/** A command-line flag, as data: the command joins it to its parser. */
export interface SimFlag {
  /** Such as `--max-num-seqs <n>`. */
  readonly flag: string;
  readonly help: string;
  /** What is shown as default. */
  readonly fallback: string;
  /**
   * The part of the options that the text means, where `before` came from the flags already read; throws ConfigError
   * when it means nothing. A flag without a value is given "".
   */
  parse(text: string, before: SimSettings): SimSettings;
}

function number(flag: string, key: NumberKey, help: string): SimFlag {
  return {
    flag: `--${flag} <n>`,
    help,
    fallback: String(defaultSimOptions[key]),
    parse: (text) => ({ [key]: parseNumber(flag, text) }),
  };
}

function cost(flag: string, key: keyof CostModel, help: string): SimFlag {
  return {
    flag: `--${flag} <n>`,
    help,
    fallback: String(defaultCost[key]),
    parse: (text, before) => ({ cost: { ...defaultCost, ...before.cost, [key]: parseNumber(flag, text) } }),
  };
}

function parseJson(flag: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ConfigError(flag, "", `must be JSON: current value is ${text}`);
  }
}

function parseNumber(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) {
    throw new ConfigError(`--${flag}`, "", `must be a number: current value is "${text}"`);
  }
  return value;
}

function choice<K extends "dialect" | "outputLength">(flag: string, key: K, help: string, values: string[]): SimFlag {
  return {
    flag: `--${flag} <name>`,
    help,
    fallback: defaultSimOptions[key],
    parse(text) {
      if (values.includes(text)) return { [key]: text };
      throw new ConfigError(`--${flag}`, "", `must be one of ${values.join(", ")}: current value is "${text}"`);
    },
  };
}

/** Options of the cache or of its events that are texts, numbers, or one of several words. */
type KvPart = "kvCache" | "kvEvents";
type KvKey = keyof KvCacheOptions | keyof KvFeedOptions;
const kvDefaults: Record<string, unknown> = { ...defaultKvCache, ...defaultKvFeed };

function kv(part: KvPart, flag: string, key: KvKey, help: string, read: (text: string) => unknown): SimFlag {
  return {
    flag,
    help,
    fallback: String(kvDefaults[key]) || "none",
    parse: (text, before) => ({ [part]: { ...before[part], [key]: read(text) } }),
  };
}

function kvNumber(part: KvPart, flag: string, key: KvKey, help: string): SimFlag {
  return kv(part, `--${flag} <n>`, key, help, (text) => parseNumber(flag, text));
}

function kvChoice(part: KvPart, flag: string, key: KvKey, help: string, values: readonly string[]): SimFlag {
  return kv(part, `--${flag} <name>`, key, `${help}: ${values.join(", ")}`, (text) => {
    if (values.includes(text)) return text;
    throw new ConfigError(`--${flag}`, "", `must be one of ${values.join(", ")}: current value is "${text}"`);
  });
}

/** vLLM's and SGLang's `--kv-events-config`: fields of the same meaning, the others are left alone. */
function parseEventsConfig(text: string): Partial<KvFeedOptions> {
  const config = parseJson("--kv-events-config", text);
  if (typeof config !== "object" || config === null) {
    throw new ConfigError("--kv-events-config", "", "must be an object");
  }
  const fields = new Map<string, unknown>(Object.entries(config));
  if (
    fields.get("enable_kv_cache_events") === false || fields.get("publisher") === "null" ||
    fields.get("publisher") === null
  ) {
    return { endpoint: "", replayEndpoint: "" };
  }
  const texts = { endpoint: "endpoint", replay_endpoint: "replayEndpoint", topic: "topic" };
  const read: Record<string, unknown> = { endpoint: "tcp://*:5557" };
  for (const [name, key] of Object.entries(texts)) {
    const value = fields.get(name);
    if (value === undefined || value === null) continue;
    if (typeof value !== "string") throw new ConfigError("--kv-events-config", name, "must be a text");
    read[key] = value;
  }
  if (fields.has("buffer_steps")) read.bufferSteps = fields.get("buffer_steps");
  return read;
}

const list = (text: string) => text.split(",").map((item) => item.trim()).filter((item) => item !== "");

function parseLora(item: string): LoraModule {
  const [name, path = name] = item.split("=", 2);
  if (name === "") throw new ConfigError("--lora-modules", "", `must be NAME=PATH: current value is "${item}"`);
  return { name, path };
}

/** Every flag of the simulator; names are vLLM's or llm-d-inference-sim's where those have one. */
export const simFlags: readonly SimFlag[] = [
  {
    flag: "--host <address>",
    help: "address to listen on",
    fallback: "127.0.0.1",
    parse: (hostname) => ({ hostname }),
  },
  number("port", "port", "port to listen on; 0 takes a free one"),
  { flag: "--pod-name <name>", help: "value of x-inference-pod", fallback: "sim-PORT", parse: (name) => ({ name }) },
  { flag: "--model <name>", help: "base model", fallback: defaultSimOptions.model, parse: (model) => ({ model }) },
  {
    flag: "--served-model-name <names>",
    help: "names the base model answers to, with commas between",
    fallback: "the base model",
    parse: (text) => ({ servedModelNames: list(text) }),
  },
  {
    flag: "--lora-modules <list>",
    help: "adapters as NAME=PATH, with commas between",
    fallback: "none",
    parse: (text) => ({ loraModules: list(text).map(parseLora) }),
  },
  number("max-loras", "maxLoras", "adapters that run at once"),
  number("max-num-seqs", "maxNumSeqs", "requests that run at once"),
  number("max-num-batched-tokens", "maxNumBatchedTokens", "tokens a step computes at most"),
  number("max-model-len", "maxModelLen", "tokens of prompt and output together"),
  number("max-waiting-queue-length", "maxWaitingQueueLength", "requests that wait at most; further ones get 429"),
  number("kv-cache-size", "kvCacheSize", "blocks of KV cache"),
  number("block-size", "blockSize", "tokens a block holds"),
  choice("output-length", "outputLength", "whether a limit is reached always or at random", ["max", "random"]),
  number("default-output-tokens-max", "defaultOutputTokensMax", "longest answer where the request names no limit"),
  number("seed", "seed", "seed of texts, lengths and faults"),
  number("speed", "speed", "simulated milliseconds in a real one"),
  choice("dialect", "dialect", "whose metric names /metrics uses", ["vllm", "sglang"]),
  number("data-parallel-size", "dataParallelSize", "engines behind the one port"),
  number("default-embedding-dimensions", "embeddingDimensions", "length of embeddings"),
  cost("decode-base-ms", "stepBaseMs", "milliseconds of any step"),
  cost("decode-per-req-ms", "stepPerRequestMs", "milliseconds a step grows by each request in it"),
  cost("prefill-tps", "prefillTokensPerS", "prompt tokens computed a second"),
  cost("prefill-attention-ns", "prefillAttentionNs", "nanoseconds a pair of prompt tokens"),
  cost("decode-attention-ns", "decodeAttentionNs", "nanoseconds a context token read in a step"),
  kvChoice("kvCache", "block-hash", "blockHash", "how blocks are named, by the event dialect", blockHashNames),
  kv(
    "kvCache",
    "--hash-seed <text>",
    "hashSeed",
    "as PYTHONHASHSEED; without it vLLM's hashes start at random",
    String,
  ),
  kvNumber("kvCache", "cpu-cache-blocks", "cpuBlocks", "blocks of KV cache in CPU memory"),
  kvNumber("kvCache", "disk-cache-blocks", "diskBlocks", "blocks of KV cache on disk"),
  kvNumber("kvCache", "shared-cache-blocks", "sharedBlocks", "blocks of KV cache on shared storage"),
  kvNumber("kvCache", "cpu-load-ns", "cpuLoadNs", "nanoseconds to load a token's KV from CPU memory"),
  kvNumber("kvCache", "disk-load-ns", "diskLoadNs", "nanoseconds to load a token's KV from disk"),
  kvNumber("kvCache", "shared-load-ns", "sharedLoadNs", "nanoseconds to load a token's KV from shared storage"),
  kvChoice("kvCache", "offload-policy", "offloadPolicy", "when blocks are copied to slower tiers", ["store", "evict"]),
  kvChoice("kvCache", "offload-events", "offloadEvents", "whether events of slower tiers tell tokens", [
    "self",
    "location",
  ]),
  kvNumber("kvCache", "offload-chunk-blocks", "offloadChunkBlocks", "blocks a chunk; above 1 stores are told again"),
  {
    flag: "--kv-events-config <json>",
    help: "publish cache events, in vLLM's and SGLang's form: endpoint, replay_endpoint, buffer_steps, topic",
    fallback: "none",
    parse: (text, before) => ({ kvEvents: { ...before.kvEvents, ...parseEventsConfig(text) } }),
  },
  kv("kvEvents", "--kv-events-endpoint <address>", "endpoint", "publish cache events by ZMQ here, port + rank", String),
  kv("kvEvents", "--kv-events-replay-endpoint <address>", "replayEndpoint", "resend them from here", String),
  kv("kvEvents", "--kv-events-topic <text>", "topic", "first frame of each message", String),
  kvNumber("kvEvents", "kv-events-buffer-steps", "bufferSteps", "batches that can be resent"),
  kvChoice("kvEvents", "kv-events-dialect", "dialect", "how events are written, by --dialect", kvDialects),
  kvChoice("kvEvents", "kv-events-hashes", "hashForm", "how vLLM's hashes are written", ["bytes", "int"]),
  kvNumber("kvEvents", "kv-events-first-seq", "firstSeq", "number of the first batch, 0 or 1"),
  kvChoice("kvEvents", "kv-events-replay-form", "replayForm", "replies without or with a topic", ["old", "new"]),
  kvNumber("kvEvents", "kv-events-batch-size", "batchEvents", "events a batch; 0 makes one of each step"),
  kvNumber("kvEvents", "kv-events-flush-ms", "flushMs", "milliseconds a smaller batch waits"),
  {
    flag: "--grpc-port <port>",
    help: "serve the engine's gRPC API, vLLM's or SGLang's, on this port too; 0 takes a free one",
    fallback: "none",
    parse: (text) => ({ grpcPort: parseNumber("grpc-port", text) }),
  },
  {
    flag: "--faults <json>",
    help: "faults to inject, as POST /admin/config takes them",
    fallback: "none",
    parse: (text, before) => ({ faults: changedFaults(before.faults ?? noFaults, parseJson("--faults", text)) }),
  },
  {
    flag: "--allow-fault-header",
    help: "obey x-sim-fault on requests",
    fallback: "false",
    parse: () => ({ allowFaultHeader: true }),
  },
];
