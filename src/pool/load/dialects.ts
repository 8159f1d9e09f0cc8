/** Which metrics of which engine say how loaded it is: the built-in table, and engines described by configuration. */
import { ConfigError, type EndpointMeta } from "../../core/mod.ts";
import { type MetricSelector, parseSelector } from "../../protocol/mod.ts";

/** How several series of one custom metric become one number. */
export type Combine = "sum" | "mean" | "max";

/** A number read into `EndpointMeta.attributes`. */
export interface CustomMetric {
  readonly attributeKey: string;
  /** PromQL-like instant selector. */
  readonly metricSpec: string;
  /** @default {"sum"} */
  readonly combine?: Combine;
}

/** An engine as llm-d's `core-metrics-extractor` parameters describe one. */
export interface EngineConfig {
  readonly name: string;
  readonly queuedRequestsSpec?: string;
  readonly runningRequestsSpec?: string;
  readonly kvUsageSpec?: string;
  readonly loraSpec?: string;
  readonly cacheInfoSpec?: string;
  /** Label of the cache info metric. @default {"block_size"} */
  readonly cacheBlockSizeLabelName?: string;
  /** Label of the cache info metric. @default {"num_gpu_blocks"} */
  readonly cacheNumBlocksLabelName?: string;
  readonly cacheBlockSizeSpec?: string;
  readonly cacheNumBlocksSpec?: string;
  readonly customMetrics?: readonly CustomMetric[];
}

/** A metric with older names of the same thing: the first that a page has is used. */
export type Alternatives = readonly MetricSelector[];

/** An engine's metrics, selectors compiled. An empty list means that the engine does not report it. */
export interface EngineDialect {
  readonly name: string;
  readonly queued: Alternatives;
  readonly running: Alternatives;
  readonly kvUsage: Alternatives;
  readonly lora: Alternatives;
  readonly cacheInfo: Alternatives;
  readonly blockSizeLabel: string;
  readonly numBlocksLabel: string;
  readonly blockSize: Alternatives;
  readonly numBlocks: Alternatives;
  /** Whole cache in tokens, for engines that may report it without a block count. */
  readonly cacheTokens: Alternatives;
  readonly custom: readonly { readonly key: string; readonly selector: MetricSelector; readonly combine: Combine }[];
  /** Labels that tell the data-parallel ranks (or models) of one page apart; the first that a series has counts. */
  readonly rankLabels: readonly string[];
}

const select = (...specs: string[]): Alternatives => specs.map(parseSelector);

const unreported: Omit<EngineDialect, "name"> = {
  queued: [],
  running: [],
  kvUsage: [],
  lora: [],
  cacheInfo: [],
  blockSizeLabel: "block_size",
  numBlocksLabel: "num_gpu_blocks",
  blockSize: [],
  numBlocks: [],
  cacheTokens: [],
  custom: [],
  rankLabels: ["engine", "dp_rank", "rank", "model"],
};

const builtIn: readonly EngineDialect[] = [
  {
    ...unreported,
    name: "vllm",
    queued: select("vllm:num_requests_waiting"),
    running: select("vllm:num_requests_running"),
    // The second is the name before vLLM 0.10.
    kvUsage: select("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    lora: select("vllm:lora_requests_info"),
    cacheInfo: select("vllm:cache_config_info"),
    rankLabels: ["engine"],
  },
  {
    ...unreported,
    name: "sglang",
    queued: select("sglang:num_queue_reqs"),
    running: select("sglang:num_running_reqs"),
    kvUsage: select("sglang:token_usage"),
    // Older releases have the info metric, newer ones the gauges.
    cacheInfo: select("sglang:cache_config_info"),
    blockSizeLabel: "page_size",
    numBlocksLabel: "num_pages",
    blockSize: select("sglang:page_size"),
    numBlocks: select("sglang:num_pages"),
    cacheTokens: select("sglang:max_total_num_tokens"),
    rankLabels: ["dp_rank"],
  },
  {
    ...unreported,
    name: "trtllm-serve",
    queued: select("trtllm_num_requests_waiting"),
    running: select("trtllm_num_requests_running"),
    kvUsage: select("trtllm_kv_cache_utilization"),
    blockSize: select("trtllm_kv_cache_tokens_per_block"),
    numBlocks: select("trtllm_kv_cache_max_blocks"),
    rankLabels: ["engine", "rank"],
  },
  {
    ...unreported,
    name: "triton-tensorrt-llm",
    queued: select("nv_trt_llm_request_metrics{request_type=waiting}"),
    running: select("nv_trt_llm_request_metrics{request_type=scheduled}"),
    kvUsage: select("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=fraction}"),
    blockSize: select("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=tokens_per}"),
    numBlocks: select("nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=max}"),
    rankLabels: ["model"],
  },
  {
    ...unreported,
    name: "triton",
    queued: select("nv_inference_pending_request_count"),
    // nv_inference_exec_count counts executions since the server started, so it says nothing about requests running now.
    rankLabels: ["model"],
  },
];

export interface DialectOptions {
  /** Endpoint label whose value names the engine. */
  readonly engineLabelKey: string;
  /** Engine of endpoints without that label, or with an unknown value there. */
  readonly defaultEngine: string;
  /** Engines beside the built-in ones; one named like a built-in engine replaces the parts it states. */
  readonly engineConfigs: readonly EngineConfig[];
}

export const dialectDefaults: DialectOptions = {
  engineLabelKey: "llm-d.ai/engine-type",
  defaultEngine: "vllm",
  engineConfigs: [],
};

const legacyEngineLabelKey = "inference.networking.k8s.io/engine-type";

/** The engines a pool knows. */
export class Dialects {
  readonly #byName = new Map(builtIn.map((dialect) => [dialect.name, dialect]));
  readonly #options: DialectOptions;
  readonly #default: EngineDialect;

  /** @throws {ConfigError} With `where` and the dotted key, on a bad selector, a repeated or reserved name. */
  constructor(options: Partial<DialectOptions> = {}, where = "engine configuration") {
    this.#options = { ...dialectDefaults, ...options };
    const seen = new Set<string>();
    this.#options.engineConfigs.forEach((config, i) => {
      const key = `engineConfigs[${i}]`;
      if (config.name === "" || config.name === "default") {
        throw new ConfigError(where, `${key}.name`, `must be an engine name other than "default", which is reserved`);
      }
      if (seen.has(config.name)) {
        throw new ConfigError(where, `${key}.name`, `must be unique: "${config.name}" is described twice`);
      }
      seen.add(config.name);
      this.#byName.set(config.name, compileEngine(config, this.#byName.get(config.name), where, key));
    });
    const fallback = this.#byName.get(this.#options.defaultEngine);
    if (!fallback) {
      const known = [...this.#byName.keys()].join(", ");
      const current = this.#options.defaultEngine;
      throw new ConfigError(where, "defaultEngine", `must be one of ${known}: current value is "${current}"`);
    }
    this.#default = fallback;
  }

  get names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  /** The engine of an endpoint with these labels, and with `engine` when discovery was told one. */
  of(labels: EndpointMeta["labels"], engine?: string): EngineDialect {
    const name = labels[this.#options.engineLabelKey] ?? labels[legacyEngineLabelKey] ?? engine;
    return (name === undefined ? undefined : this.#byName.get(name)) ?? this.#default;
  }
}

function compileEngine(
  config: EngineConfig,
  base: EngineDialect | undefined,
  where: string,
  key: string,
): EngineDialect {
  const from = base ?? { ...unreported, name: config.name };
  const spec = (field: keyof EngineConfig, text: string | undefined, otherwise: Alternatives): Alternatives =>
    text === undefined ? otherwise : [compileSelector(text, where, `${key}.${field}`)];
  const keys = new Set<string>();
  const custom = (config.customMetrics ?? []).map((metric, i) => {
    const at = `${key}.customMetrics[${i}]`;
    if (metric.attributeKey === "" || keys.has(metric.attributeKey)) {
      throw new ConfigError(where, `${at}.attributeKey`, "must be a name used once in this engine");
    }
    keys.add(metric.attributeKey);
    const selector = compileSelector(metric.metricSpec, where, `${at}.metricSpec`);
    return { key: metric.attributeKey, selector, combine: metric.combine ?? "sum" };
  });
  return {
    name: config.name,
    queued: spec("queuedRequestsSpec", config.queuedRequestsSpec, from.queued),
    running: spec("runningRequestsSpec", config.runningRequestsSpec, from.running),
    kvUsage: spec("kvUsageSpec", config.kvUsageSpec, from.kvUsage),
    lora: spec("loraSpec", config.loraSpec, from.lora),
    cacheInfo: spec("cacheInfoSpec", config.cacheInfoSpec, from.cacheInfo),
    blockSizeLabel: config.cacheBlockSizeLabelName ?? from.blockSizeLabel,
    numBlocksLabel: config.cacheNumBlocksLabelName ?? from.numBlocksLabel,
    blockSize: spec("cacheBlockSizeSpec", config.cacheBlockSizeSpec, from.blockSize),
    numBlocks: spec("cacheNumBlocksSpec", config.cacheNumBlocksSpec, from.numBlocks),
    cacheTokens: from.cacheTokens,
    custom,
    rankLabels: from.rankLabels,
  };
}

function compileSelector(text: string, where: string, key: string): MetricSelector {
  try {
    return parseSelector(text);
  } catch {
    throw new ConfigError(where, key, `must be a selector name{label=value,…}: current value is "${text}"`);
  }
}
