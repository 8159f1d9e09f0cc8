/** A `/metrics` page in the shape vLLM writes: gauges, counters and the many histogram buckets around them. */

const histograms: readonly [name: string, buckets: number][] = [
  ["vllm:time_to_first_token_seconds", 22],
  ["vllm:inter_token_latency_seconds", 18],
  ["vllm:request_time_per_output_token_seconds", 18],
  ["vllm:e2e_request_latency_seconds", 21],
  ["vllm:request_queue_time_seconds", 21],
  ["vllm:request_inference_time_seconds", 21],
  ["vllm:request_prefill_time_seconds", 21],
  ["vllm:request_decode_time_seconds", 21],
  ["vllm:request_prompt_tokens", 18],
  ["vllm:request_generation_tokens", 18],
  ["vllm:request_max_num_generation_tokens", 18],
  ["vllm:request_params_n", 6],
  ["vllm:request_params_max_tokens", 18],
  ["vllm:iteration_tokens_total", 16],
  ["vllm:request_prefill_kv_computed_tokens", 18],
];
const counters = [
  "vllm:prefix_cache_queries_total",
  "vllm:prefix_cache_hits_total",
  "vllm:num_preemptions_total",
  "vllm:prompt_tokens_total",
  "vllm:generation_tokens_total",
];
const handlers = ["/v1/chat/completions", "/v1/completions", "/v1/models", "/metrics", "/health", "/tokenize"];

/** Engine 0 runs 7, queues 3, uses 0.25 of its blocks; engine 1 runs 4, queues none, uses 0.75. */
export function vllmPage({ engines = 1, model = "meta-llama/Llama-3.3-70B-Instruct" } = {}): Uint8Array {
  const lines: string[] = [];
  const head = (name: string, kind: string) =>
    lines.push(`# HELP ${name} What ${name} measures, in a sentence.`, `# TYPE ${name} ${kind}`);
  const each = (name: string, value: (engine: number) => string, more = "") => {
    for (let e = 0; e < engines; e++) lines.push(`${name}{${more}engine="${e}",model_name="${model}"} ${value(e)}`);
  };
  for (const name of ["python_gc_objects_collected_total", "process_cpu_seconds_total", "process_open_fds"]) {
    head(name, "gauge");
    lines.push(`${name} 1.6777216e+07`);
  }
  const gauge = (name: string, value: (engine: number) => string) => (head(name, "gauge"), each(name, value));
  gauge("vllm:num_requests_running", (e) => e === 0 ? "7.0" : "4.0");
  gauge("vllm:num_requests_waiting", (e) => e === 0 ? "3.0" : "0.0");
  gauge("vllm:kv_cache_usage_perc", (e) => e === 0 ? "0.25" : "0.75");
  for (const name of counters) {
    head(name, "counter");
    each(name, () => "1.234567e+06");
  }
  for (const [name, buckets] of histograms) {
    head(name, "histogram");
    for (let b = 0; b <= buckets; b++) {
      each(`${name}_bucket`, () => "12345.0", `le="${b === buckets ? "+Inf" : 0.001 * 2 ** b}",`);
    }
    each(`${name}_count`, () => "12345.0");
    each(`${name}_sum`, () => "98765.4321");
  }
  head("vllm:cache_config_info", "gauge");
  for (let e = 0; e < engines; e++) {
    lines.push(
      `vllm:cache_config_info{block_size="16",cache_dtype="auto",calculate_kv_scales="False",cpu_kvcache_space_bytes="None",` +
        `enable_prefix_caching="True",engine="${e}",gpu_memory_utilization="0.9",is_attention_free="False",` +
        `num_cpu_blocks="None",num_gpu_blocks="20000",prefix_caching_hash_algo="sha256",sliding_window="None"} 1.0`,
    );
  }
  head("http_request_duration_seconds", "histogram");
  for (const handler of handlers) {
    for (const le of ["0.1", "0.5", "1.0", "+Inf"]) {
      lines.push(`http_request_duration_seconds_bucket{handler="${handler}",le="${le}",method="POST"} 42.0`);
    }
  }
  return new TextEncoder().encode(lines.join("\n") + "\n");
}
