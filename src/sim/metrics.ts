import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { EngineMetrics, RequestTimes } from "./engine_types.ts";
import type { SimOptions } from "./options.ts";
import type { SimEndpoint } from "./sim_endpoint.ts";

const ttftBuckets = [
  0.001,
  0.005,
  0.01,
  0.02,
  0.04,
  0.06,
  0.08,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10,
  20,
  40,
  80,
  160,
  640,
  2560,
];
const gapBuckets = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80];
const requestBuckets = [
  0.3,
  0.5,
  0.8,
  1,
  1.5,
  2,
  2.5,
  5,
  10,
  15,
  20,
  30,
  40,
  50,
  60,
  120,
  240,
  480,
  960,
  1920,
  7680,
];

/** 1, 2, 5, 10, 20, 50, … up to `most`. */
function tokenBuckets(most: number): number[] {
  const buckets: number[] = [];
  for (let decade = 1; decade <= most; decade *= 10) {
    for (const step of [1, 2, 5]) if (step * decade <= most) buckets.push(step * decade);
  }
  return buckets;
}

type HistogramKey =
  | "ttft"
  | "gap"
  | "tokenTime"
  | "e2e"
  | "queue"
  | "inference"
  | "prefill"
  | "decode"
  | "promptTokens"
  | "outputTokens"
  | "maxTokens";

interface Dialect {
  readonly rankLabel: string;
  readonly histograms: Partial<Record<HistogramKey, string>>;
  /** Numbers read from an engine when the page is asked for. */
  readonly values: readonly (readonly ["gauge" | "counter", string, (metrics: EngineMetrics) => number])[];
}

const vllm: Dialect = {
  rankLabel: "engine",
  histograms: {
    ttft: "vllm:time_to_first_token_seconds",
    gap: "vllm:inter_token_latency_seconds",
    tokenTime: "vllm:request_time_per_output_token_seconds",
    e2e: "vllm:e2e_request_latency_seconds",
    queue: "vllm:request_queue_time_seconds",
    inference: "vllm:request_inference_time_seconds",
    prefill: "vllm:request_prefill_time_seconds",
    decode: "vllm:request_decode_time_seconds",
    promptTokens: "vllm:request_prompt_tokens",
    outputTokens: "vllm:request_generation_tokens",
    maxTokens: "vllm:request_params_max_tokens",
  },
  values: [
    ["gauge", "vllm:num_requests_running", (metrics) => metrics.running],
    ["gauge", "vllm:num_requests_waiting", (metrics) => metrics.waiting],
    ["gauge", "vllm:kv_cache_usage_perc", (metrics) => metrics.kvUsage],
    ["counter", "vllm:prompt_tokens_total", (metrics) => metrics.promptTokens],
    ["counter", "vllm:generation_tokens_total", (metrics) => metrics.generationTokens],
    ["counter", "vllm:prefix_cache_queries_total", (metrics) => metrics.prefixQueries],
    ["counter", "vllm:prefix_cache_hits_total", (metrics) => metrics.prefixHits],
    ["counter", "vllm:num_preemptions_total", (metrics) => metrics.preemptions],
  ],
};

const sglang: Dialect = {
  rankLabel: "dp_rank",
  histograms: {
    ttft: "sglang:time_to_first_token_seconds",
    gap: "sglang:inter_token_latency_seconds",
    e2e: "sglang:e2e_request_latency_seconds",
  },
  values: [
    ["gauge", "sglang:num_running_reqs", (metrics) => metrics.running],
    ["gauge", "sglang:num_queue_reqs", (metrics) => metrics.waiting],
    ["gauge", "sglang:token_usage", (metrics) => metrics.kvUsage],
    [
      "gauge",
      "sglang:num_used_tokens",
      (metrics) => Math.round(metrics.kvUsage * metrics.cacheBlocks) * metrics.blockTokens,
    ],
    ["gauge", "sglang:page_size", (metrics) => metrics.blockTokens],
    ["gauge", "sglang:num_pages", (metrics) => metrics.cacheBlocks],
    ["gauge", "sglang:max_total_num_tokens", (metrics) => metrics.cacheBlocks * metrics.blockTokens],
    [
      "gauge",
      "sglang:cache_hit_rate",
      (metrics) => metrics.prefixQueries === 0 ? 0 : metrics.prefixHits / metrics.prefixQueries,
    ],
    ["counter", "sglang:prompt_tokens_total", (metrics) => metrics.promptTokens],
    ["counter", "sglang:generation_tokens_total", (metrics) => metrics.generationTokens],
    ["counter", "sglang:cached_tokens_total", (metrics) => metrics.prefixHits],
    ["counter", "sglang:num_requests_total", (metrics) => metrics.finished],
  ],
};

const seconds: readonly HistogramKey[] = ["e2e", "queue", "inference", "prefill", "decode"];

/** What a request's engine times do not say. */
export interface FinishedRequest {
  readonly times: RequestTimes;
  readonly promptTokens: number;
  readonly outputTokens: number;
  /** `stop`, `length`; pooling ends with `stop`. */
  readonly finishReason: string;
}

/** What time it is, for series that tell it; Unix milliseconds. */
export interface MetricsClock {
  wallMs(): number;
  /** When the engine's process started. */
  startedMs(): number;
}

/** The `/metrics` page of one server under vLLM's or SGLang's names; times are simulated seconds. */
export class SimMetrics {
  readonly #registry = new Registry();
  readonly #histograms = new Map<HistogramKey, Histogram>();
  readonly #success: Counter | undefined;
  readonly #ranks: readonly SimEndpoint[];
  readonly #labels: readonly Record<string, string>[];

  constructor(options: SimOptions, modelName: string, ranks: readonly SimEndpoint[], clock: MetricsClock) {
    const dialect = options.dialect === "vllm" ? vllm : sglang;
    this.#ranks = ranks;
    this.#labels = ranks.map((_, rank) => ({ model_name: modelName, [dialect.rankLabel]: String(rank) }));
    const labelNames = ["model_name", dialect.rankLabel];
    for (const [key, name] of Object.entries(dialect.histograms) as [HistogramKey, string][]) {
      const buckets = bucketsOf(key, options.maxModelLen);
      const histogram = new Histogram({ name, help: name, labelNames, buckets, registers: [this.#registry] });
      for (const labels of this.#labels) histogram.zero(labels);
      this.#histograms.set(key, histogram);
    }
    for (const [kind, name, read] of dialect.values) this.#add(kind, name, read, labelNames);
    if (options.dialect === "vllm") {
      this.#success = this.#vllmExtras(options, labelNames, clock.wallMs);
    }
    new Gauge({
      name: "process_start_time_seconds",
      help: "Start time of the process since the Unix epoch in seconds",
      registers: [this.#registry],
      collect(): void {
        this.set(clock.startedMs() / 1000);
      },
    });
  }

  #add(kind: "gauge" | "counter", name: string, read: (metrics: EngineMetrics) => number, labelNames: string[]): void {
    const each = (set: (labels: Record<string, string>, value: number) => void) =>
      this.#ranks.forEach((rank, i) => set(this.#labels[i], read(rank.metrics())));
    const registers = [this.#registry];
    const common = { name, help: name, labelNames, registers };
    if (kind === "gauge") {
      new Gauge({
        ...common,
        collect(): void {
          each((labels, value) => this.set(labels, value));
        },
      });
      return;
    }
    new Counter({
      ...common,
      collect(): void {
        this.reset();
        each((labels, value) => this.inc(labels, value));
      },
    });
  }

  /** Info series, and the counter of finished requests, which it returns. */
  #vllmExtras(options: SimOptions, labelNames: string[], wallMs: () => number): Counter {
    const registers = [this.#registry];
    const cache = { block_size: String(options.blockSize), num_gpu_blocks: String(options.kvCacheSize) };
    const cacheInfo = new Gauge({
      name: "vllm:cache_config_info",
      help: "KV cache size",
      labelNames: [...labelNames, ...Object.keys(cache)],
      registers,
    });
    for (const labels of this.#labels) cacheInfo.set({ ...labels, ...cache }, 1);
    const ranks = this.#ranks;
    new Gauge({
      name: "vllm:lora_requests_info",
      help: "Adapters with requests; the value is a Unix time",
      labelNames: ["max_lora", "running_lora_adapters", "waiting_lora_adapters"],
      registers,
      collect(): void {
        const all = ranks.map((rank) => rank.metrics());
        this.reset();
        this.set({
          max_lora: String(options.maxLoras),
          running_lora_adapters: [...new Set(all.flatMap((metrics) => metrics.runningAdapters))].join(","),
          waiting_lora_adapters: [...new Set(all.flatMap((metrics) => metrics.waitingAdapters))].join(","),
        }, wallMs() / 1000);
      },
    });
    const success = new Counter({
      name: "vllm:request_success_total",
      help: "Finished requests",
      labelNames: [...labelNames, "finished_reason"],
      registers,
    });
    for (const labels of this.#labels) {
      for (const reason of ["stop", "length", "abort"]) success.inc({ ...labels, finished_reason: reason }, 0);
    }
    return success;
  }

  firstToken(rank: number, ms: number): void {
    this.#observe(rank, "ttft", ms / 1000);
  }

  tokenGap(rank: number, ms: number): void {
    this.#observe(rank, "gap", ms / 1000);
  }

  aborted(rank: number): void {
    this.#success?.inc({ ...this.#labels[rank], finished_reason: "abort" });
  }

  finished(rank: number, { times, promptTokens, outputTokens, finishReason }: FinishedRequest): void {
    this.#success?.inc({ ...this.#labels[rank], finished_reason: finishReason });
    const { arrivedMs, scheduledMs, firstTokenMs, finishedMs } = times;
    this.#observe(rank, "e2e", (finishedMs - arrivedMs) / 1000);
    this.#observe(rank, "queue", (scheduledMs - arrivedMs) / 1000);
    this.#observe(rank, "inference", (finishedMs - scheduledMs) / 1000);
    this.#observe(rank, "promptTokens", promptTokens);
    if (outputTokens === 0) return;
    this.#observe(rank, "prefill", (firstTokenMs - scheduledMs) / 1000);
    this.#observe(rank, "decode", (finishedMs - firstTokenMs) / 1000);
    this.#observe(rank, "outputTokens", outputTokens);
    this.#observe(rank, "maxTokens", outputTokens);
    if (outputTokens > 1) this.#observe(rank, "tokenTime", (finishedMs - firstTokenMs) / 1000 / (outputTokens - 1));
  }

  #observe(rank: number, key: HistogramKey, value: number): void {
    this.#histograms.get(key)?.observe(this.#labels[rank], value);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The page in Prometheus text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

function bucketsOf(key: HistogramKey, tokensMax: number): number[] {
  if (key === "ttft") return ttftBuckets;
  if (key === "gap" || key === "tokenTime") return gapBuckets;
  return seconds.includes(key) ? requestBuckets : tokenBuckets(tokensMax);
}
