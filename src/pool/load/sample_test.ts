import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { ConfigError } from "../../core/mod.ts";
import { type DialectOptions, Dialects } from "./dialects.ts";
import { type LoadSample, SampleReader } from "./sample.ts";
import { vllmPage } from "./vllm_page_fixture.ts";

const encoder = new TextEncoder();

function read(engine: string, page: string, options?: Partial<DialectOptions>): LoadSample {
  const sample = new SampleReader(new Dialects(options).of({}, engine)).read(encoder.encode(page));
  ok(sample, "page has no load metric");
  return sample;
}

const numbers = ({ waiting, running, kvUsage, cacheBlocks, cacheBlockTokens }: LoadSample) => [
  waiting,
  running,
  kvUsage,
  cacheBlocks,
  cacheBlockTokens,
];

interface Case {
  readonly name: string;
  readonly engine: string;
  readonly page: string;
  readonly want: number[];
}

const cases: Case[] = [
  {
    name: "vLLM with one engine",
    engine: "vllm",
    page: `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="Qwen/Qwen3-32B"} 7.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="Qwen/Qwen3-32B"} 3.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="Qwen/Qwen3-32B"} 0.4375
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",gpu_memory_utilization="0.9",num_cpu_blocks="None",num_gpu_blocks="27142",sliding_window="None"} 1.0
`,
    want: [3, 7, 0.4375, 27142, 16],
  },
  {
    name: "vLLM with data-parallel ranks: sums, usage weighted by blocks",
    engine: "vllm",
    page: `vllm:num_requests_running{engine="0"} 7
vllm:num_requests_running{engine="1"} 2
vllm:num_requests_waiting{engine="0"} 3
vllm:num_requests_waiting{engine="1"} 0
vllm:kv_cache_usage_perc{engine="0"} 0.9
vllm:kv_cache_usage_perc{engine="1"} 0.1
vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="1000"} 1
vllm:cache_config_info{engine="1",block_size="16",num_gpu_blocks="3000"} 1
`,
    want: [3, 9, (0.9 * 1000 + 0.1 * 3000) / 4000, 4000, 16],
  },
  {
    name: "vLLM whose ranks do not all report blocks: plain mean of usage",
    engine: "vllm",
    page: `vllm:num_requests_waiting{engine="0"} 1
vllm:kv_cache_usage_perc{engine="0"} 0.5
vllm:kv_cache_usage_perc{engine="1"} 0.25
vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="1000"} 1
vllm:cache_config_info{engine="1",block_size="None",num_gpu_blocks="None"} 1
`,
    want: [1, NaN, 0.375, 1000, 16],
  },
  {
    name: "older vLLM: the former name of the usage metric",
    engine: "vllm",
    page: `vllm:num_requests_waiting{model_name="m"} 0.0
vllm:num_requests_running{model_name="m"} 1.0
vllm:gpu_cache_usage_perc{model_name="m"} 0.25
`,
    want: [0, 1, 0.25, NaN, NaN],
  },
  {
    name: "vLLM with both names of the usage metric: the new one counts, whichever comes first",
    engine: "vllm",
    page: `vllm:gpu_cache_usage_perc{engine="0"} 0.75
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:gpu_cache_usage_perc{engine="1"} 0.75
`,
    want: [NaN, NaN, 0.25, NaN, NaN],
  },
  {
    name: "SGLang with the info metric",
    engine: "sglang",
    page: `sglang:num_running_reqs{model_name="m",engine_type="unified",tp_rank="0",pp_rank="0"} 5.0
sglang:num_queue_reqs{model_name="m",engine_type="unified",tp_rank="0",pp_rank="0"} 2.0
sglang:token_usage{model_name="m",engine_type="unified",tp_rank="0",pp_rank="0"} 0.28
sglang:cache_config_info{page_size="64",num_pages="5000"} 1.0
`,
    want: [2, 5, 0.28, 5000, 64],
  },
  {
    name: "SGLang with gauges and attention data parallelism",
    engine: "sglang",
    page: `sglang:num_running_reqs{model_name="m",dp_rank="0"} 5.0
sglang:num_running_reqs{model_name="m",dp_rank="1"} 6.0
sglang:num_queue_reqs{model_name="m",dp_rank="0"} 2.0
sglang:num_queue_reqs{model_name="m",dp_rank="1"} 1.0
sglang:token_usage{model_name="m",dp_rank="0"} 0.2
sglang:token_usage{model_name="m",dp_rank="1"} 0.4
sglang:page_size{model_name="m",dp_rank="0"} 64
sglang:page_size{model_name="m",dp_rank="1"} 64
sglang:num_pages{model_name="m",dp_rank="0"} 100
sglang:num_pages{model_name="m",dp_rank="1"} 300
`,
    want: [3, 11, (0.2 * 100 + 0.4 * 300) / 400, 400, 64],
  },
  {
    name: "SGLang that reports the cache in tokens",
    engine: "sglang",
    page: `sglang:num_queue_reqs 0
sglang:page_size 16
sglang:max_total_num_tokens 160010
`,
    want: [0, NaN, NaN, 10000, 16],
  },
  {
    name: "trtllm-serve",
    engine: "trtllm-serve",
    page: `trtllm_num_requests_waiting{model_name="m",engine_type="trtllm"} 4
trtllm_num_requests_running{model_name="m",engine_type="trtllm"} 8
trtllm_kv_cache_utilization{model_name="m",engine_type="trtllm"} 0.61
trtllm_kv_cache_tokens_per_block{model_name="m",engine_type="trtllm"} 32
trtllm_kv_cache_max_blocks{model_name="m",engine_type="trtllm"} 9000
`,
    want: [4, 8, 0.61, 9000, 32],
  },
  {
    name: "Triton with the TensorRT-LLM backend",
    engine: "triton-tensorrt-llm",
    page: `# HELP nv_trt_llm_request_metrics TRT LLM request metrics
# TYPE nv_trt_llm_request_metrics gauge
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="waiting",version="1"} 1
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="context",version="1"} 9
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="scheduled",version="1"} 6
nv_trt_llm_request_metrics{model="tensorrt_llm",request_type="max",version="1"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="tensorrt_llm",version="1"} 0.125
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="tensorrt_llm",version="1"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="tensorrt_llm",version="1"} 1
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="free",model="tensorrt_llm",version="1"} 6238
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="tensorrt_llm",version="1"} 6239
`,
    want: [1, 6, 0.125, 6239, 64],
  },
  {
    name: "plain Triton: pending summed over models, no count of running requests",
    engine: "triton",
    page: `nv_inference_pending_request_count{model="a",version="1"} 2
nv_inference_pending_request_count{model="b",version="1"} 3
nv_inference_exec_count{model="a",version="1"} 190000
`,
    want: [5, NaN, NaN, NaN, NaN],
  },
];

for (const { name, engine, page, want } of cases) {
  Deno.test(`read() takes ${name}`, () => deepStrictEqual(numbers(read(engine, page)), want));
}

Deno.test("read() leaves other ranks out where the endpoint is one rank", () => {
  const page = encoder.encode(
    ["0", "1"].map((engine) =>
      `vllm:num_requests_running{engine="${engine}"} ${3 + 4 * Number(engine)}\n` +
      `vllm:num_requests_waiting{engine="${engine}"} ${engine}\nvllm:kv_cache_usage_perc{engine="${engine}"} 0.5\n` +
      `vllm:cache_config_info{engine="${engine}",block_size="16",num_gpu_blocks="100"} 1\n`
    ).join(""),
  );
  const reader = new SampleReader(new Dialects().of({}, "vllm"));
  deepStrictEqual(numbers(reader.read(page)!), [1, 10, 0.5, 200, 16]);
  deepStrictEqual(numbers(reader.read(page, undefined, 1)!), [1, 7, 0.5, 100, 16]);
  equal(reader.read(page, undefined, 2), undefined, "nothing is told of it");
});

Deno.test("read() finds nothing in a page without load metrics", () => {
  const reader = new SampleReader(new Dialects().of({}));
  equal(reader.read(encoder.encode("vllm:prompt_tokens_total 5\nprocess_cpu_seconds_total 1\n")), undefined);
  equal(reader.read(encoder.encode("vllm:num_requests_waiting NaN\n")), undefined);
  equal(reader.read(new Uint8Array()), undefined);
});

Deno.test("read() takes the newest adapter series of each rank and joins the ranks", () => {
  const { adapters } = read(
    "vllm",
    `vllm:num_requests_waiting 0
vllm:lora_requests_info{engine="0",max_lora="4",running_lora_adapters="old",waiting_lora_adapters=""} 1.758e+09
vllm:lora_requests_info{engine="0",max_lora="4",running_lora_adapters="a, b",waiting_lora_adapters="c"} 1.7580001e+09
vllm:lora_requests_info{engine="0",max_lora="4",running_lora_adapters="older",waiting_lora_adapters="x"} 1.757e+09
vllm:lora_requests_info{engine="1",max_lora="4",running_lora_adapters="b",waiting_lora_adapters="d"} 1.7e+09
`,
  );
  deepStrictEqual(adapters, { running: new Set(["a", "b"]), waiting: new Set(["c", "d"]), max: 8 });
});

Deno.test("read() tells an engine without adapters from one whose adapters are idle", () => {
  equal(read("vllm", "vllm:num_requests_waiting 0\n").adapters, undefined);
  const idle = `vllm:num_requests_waiting 0
vllm:lora_requests_info{max_lora="2",running_lora_adapters="",waiting_lora_adapters=""} 1.7e+09
`;
  deepStrictEqual(read("vllm", idle).adapters, { running: new Set(), waiting: new Set(), max: 2 });
});

Deno.test("read() reads engines and attributes described by configuration", () => {
  const sample = read(
    "mine",
    `my_queue_depth{tier="gpu"} 4
my_queue_depth{tier="cpu"} 90
my_running 2
my_kv_ratio 0.5
my_info{bs="32",n="100"} 1
my_power_watts{gpu="0"} 300
my_power_watts{gpu="1"} 310
my_temperature{gpu="0"} 60
my_temperature{gpu="1"} 71
`,
    {
      engineConfigs: [{
        name: "mine",
        queuedRequestsSpec: "my_queue_depth{tier=gpu}",
        runningRequestsSpec: "my_running",
        kvUsageSpec: "my_kv_ratio",
        cacheInfoSpec: "my_info",
        cacheBlockSizeLabelName: "bs",
        cacheNumBlocksLabelName: "n",
        customMetrics: [
          { attributeKey: "power-watts", metricSpec: "my_power_watts" },
          { attributeKey: "temperature", metricSpec: "my_temperature", combine: "max" },
          { attributeKey: "mean-temperature", metricSpec: "my_temperature", combine: "mean" },
          { attributeKey: "absent", metricSpec: "my_absent" },
        ],
      }],
    },
  );
  deepStrictEqual(numbers(sample), [4, 2, 0.5, 100, 32]);
  deepStrictEqual(sample.attributes, [["power-watts", 610], ["temperature", 71], ["mean-temperature", 65.5]]);
});

Deno.test("Dialects lets a configured engine extend the built-in one of its name", () => {
  const dialects = new Dialects({
    engineConfigs: [{ name: "vllm", customMetrics: [{ attributeKey: "k", metricSpec: "x" }] }],
  });
  const sample = new SampleReader(dialects.of({})).read(encoder.encode("vllm:num_requests_waiting 1\nx 5\n"))!;
  equal(sample.waiting, 1);
  deepStrictEqual(sample.attributes, [["k", 5]]);
});

Deno.test("Dialects chooses by label, by old label, by discovery's word, else the default", () => {
  const dialects = new Dialects({ defaultEngine: "triton" });
  equal(dialects.of({ "llm-d.ai/engine-type": "sglang" }).name, "sglang");
  equal(dialects.of({ "inference.networking.k8s.io/engine-type": "sglang" }).name, "sglang");
  equal(dialects.of({}, "vllm").name, "vllm");
  equal(dialects.of({}).name, "triton");
  equal(dialects.of({ "llm-d.ai/engine-type": "unheard-of" }).name, "triton");
});

Deno.test("Dialects refuses what it cannot use, with the key at fault", () => {
  const refused = (options: Partial<DialectOptions>, key: string) =>
    throws(() => new Dialects(options, "router.yaml:4"), (error) => {
      ok(error instanceof ConfigError);
      equal(error.where, "router.yaml:4");
      equal(error.key, key);
      return true;
    });
  refused({ engineConfigs: [{ name: "default" }] }, "engineConfigs[0].name");
  refused({ engineConfigs: [{ name: "a" }, { name: "a" }] }, "engineConfigs[1].name");
  refused({ engineConfigs: [{ name: "a", kvUsageSpec: "x{" }] }, "engineConfigs[0].kvUsageSpec");
  refused(
    { engineConfigs: [{ name: "a", customMetrics: [{ attributeKey: "k", metricSpec: "" }] }] },
    "engineConfigs[0].customMetrics[0].metricSpec",
  );
  refused({ defaultEngine: "nothing" }, "defaultEngine");
});

Deno.test("read() takes the load out of a whole vLLM page", () => {
  const page = vllmPage({ engines: 2 });
  ok(page.length > 60_000, `${page.length}`);
  const sample = new SampleReader(new Dialects().of({})).read(page)!;
  deepStrictEqual(numbers(sample), [3, 11, 0.5, 40_000, 16]);
  equal(sample.scan.malformed, 0);
});
