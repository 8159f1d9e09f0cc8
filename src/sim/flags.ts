import { ConfigError } from "../core/mod.ts";
import { type CostModel, defaultCost } from "./cost.ts";
import { changedFaults, noFaults } from "./faults.ts";
import { defaultSimOptions, type LoraModule, type NumberKey, type SimOptions } from "./options.ts";

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
  parse(text: string, before: Partial<SimOptions>): Partial<SimOptions>;
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ConfigError("--faults", "", `must be JSON: current value is ${text}`);
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
  {
    flag: "--faults <json>",
    help: "faults to inject, as POST /admin/config takes them",
    fallback: "none",
    parse: (text, before) => ({ faults: changedFaults(before.faults ?? noFaults, parseJson(text)) }),
  },
  {
    flag: "--allow-fault-header",
    help: "obey x-sim-fault on requests",
    fallback: "false",
    parse: () => ({ allowFaultHeader: true }),
  },
];
