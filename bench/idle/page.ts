/** A metrics page with the series an engine reports, of which a router reads five. */

const histograms = [
  "time_to_first_token_seconds",
  "request_time_per_output_token_seconds",
  "e2e_request_latency_seconds",
];
const bounds = [
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

/** vLLM's names and labels, about 7 KiB. */
export function idlePage(running: number): string {
  const labels = `engine="0",model_name="sim/model-8b"`;
  const lines = [
    "# TYPE vllm:num_requests_running gauge",
    `vllm:num_requests_running{${labels}} ${running}.0`,
    "# TYPE vllm:num_requests_waiting gauge",
    `vllm:num_requests_waiting{${labels}} 0.0`,
    "# TYPE vllm:kv_cache_usage_perc gauge",
    `vllm:kv_cache_usage_perc{${labels}} 0.0`,
    "# TYPE vllm:cache_config_info gauge",
    `vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="1000"} 1.0`,
  ];
  for (const name of histograms) {
    lines.push(`# TYPE vllm:${name} histogram`);
    for (const bound of [...bounds, "+Inf"]) lines.push(`vllm:${name}_bucket{${labels},le="${bound}"} 0.0`);
    lines.push(`vllm:${name}_count{${labels}} 0.0`, `vllm:${name}_sum{${labels}} 0.0`);
  }
  return lines.join("\n") + "\n";
}
