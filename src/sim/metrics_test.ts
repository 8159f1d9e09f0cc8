import { equal, ok } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { SimMetrics } from "./metrics.ts";
import { engineOptions, resolveSimOptions, type SimOptions } from "./options.ts";
import { promptFromTokens } from "./prompt.ts";
import { SimEndpoint } from "./sim_endpoint.ts";

function make(partial: Partial<SimOptions>) {
  const options = resolveSimOptions(partial);
  const clock = new VirtualClock();
  const ranks = Array.from(
    { length: options.dataParallelSize },
    (_, i) => new SimEndpoint(clock, `r${i}`, engineOptions(options)),
  );
  return { clock, ranks, metrics: new SimMetrics(options, "m", ranks, { wallMs: () => 5000, startedMs: () => 4500 }) };
}

const prompt = promptFromTokens(new Uint32Array(32), { blockSize: 16 });

Deno.test("text() shows vLLM's series for each rank as they are now", async () => {
  const { clock, ranks, metrics } = make({ dataParallelSize: 2, maxLoras: 2 });
  ranks[1].submit({ prompt, outputTokens: 100, adapter: "sql" }, { onFinish: () => {} });
  clock.advance(20);
  const page = await metrics.text();
  for (
    const line of [
      'vllm:num_requests_running{model_name="m",engine="0"} 0',
      'vllm:num_requests_running{model_name="m",engine="1"} 1',
      'vllm:num_requests_waiting{model_name="m",engine="1"} 0',
      `vllm:kv_cache_usage_perc{model_name="m",engine="1"} ${1 - 32765 / 32768}`,
      'vllm:prompt_tokens_total{model_name="m",engine="1"} 32',
      'vllm:generation_tokens_total{model_name="m",engine="1"} 2',
      'vllm:prefix_cache_queries_total{model_name="m",engine="1"} 32',
      'vllm:cache_config_info{model_name="m",engine="1",block_size="16",num_gpu_blocks="32768"} 1',
      'vllm:lora_requests_info{max_lora="2",running_lora_adapters="sql",waiting_lora_adapters=""} 5',
      'vllm:request_success_total{model_name="m",engine="0",finished_reason="length"} 0',
      'vllm:time_to_first_token_seconds_count{model_name="m",engine="0"} 0',
      "process_start_time_seconds 4.5",
    ]
  ) ok(page.split("\n").includes(line), `${line} not in\n${page}`);
  ok(page.includes("# TYPE vllm:prompt_tokens_total counter"));
  equal(await metrics.text(), page);
});

Deno.test("finished() fills the histograms in seconds, in vLLM's buckets", async () => {
  const { metrics } = make({});
  const times = {
    arrivedMs: 0,
    scheduledMs: 100,
    firstTokenMs: 500,
    finishedMs: 2500,
    cachedTokens: 0,
    preemptions: 0,
  };
  metrics.firstToken(0, 500);
  metrics.tokenGap(0, 20);
  metrics.finished(0, { times, promptTokens: 70, outputTokens: 101, finishReason: "length" });
  const page = await metrics.text();
  const value = (series: string) => Number(page.split("\n").find((line) => line.startsWith(series))?.split(" ").at(-1));
  const labels = 'model_name="m",engine="0"';
  equal(value(`vllm:time_to_first_token_seconds_sum{${labels}}`), 0.5);
  equal(value(`vllm:time_to_first_token_seconds_bucket{le="0.25",${labels}}`), 0);
  equal(value(`vllm:time_to_first_token_seconds_bucket{le="0.5",${labels}}`), 1);
  equal(value(`vllm:inter_token_latency_seconds_bucket{le="0.025",${labels}}`), 1);
  equal(value(`vllm:e2e_request_latency_seconds_sum{${labels}}`), 2.5);
  equal(value(`vllm:request_queue_time_seconds_sum{${labels}}`), 0.1);
  equal(value(`vllm:request_prefill_time_seconds_sum{${labels}}`), 0.4);
  equal(value(`vllm:request_decode_time_seconds_sum{${labels}}`), 2);
  equal(value(`vllm:request_time_per_output_token_seconds_sum{${labels}}`), 0.02);
  equal(value(`vllm:request_prompt_tokens_bucket{le="50",${labels}}`), 0);
  equal(value(`vllm:request_prompt_tokens_bucket{le="100",${labels}}`), 1);
  equal(value(`vllm:request_success_total{${labels},finished_reason="length"}`), 1);
});

Deno.test("text() speaks SGLang's names when told", async () => {
  const { clock, ranks, metrics } = make({ dialect: "sglang", dataParallelSize: 2 });
  ranks[0].submit({ prompt, outputTokens: 100 }, { onFinish: () => {} });
  clock.advance(20);
  const lines = (await metrics.text()).split("\n");
  for (
    const line of [
      'sglang:num_running_reqs{model_name="m",dp_rank="0"} 1',
      'sglang:num_queue_reqs{model_name="m",dp_rank="0"} 0',
      'sglang:page_size{model_name="m",dp_rank="1"} 16',
      'sglang:num_pages{model_name="m",dp_rank="1"} 32768',
      'sglang:max_total_num_tokens{model_name="m",dp_rank="1"} 524288',
      'sglang:num_used_tokens{model_name="m",dp_rank="0"} 48',
    ]
  ) ok(lines.includes(line), `${line} not in\n${lines.join("\n")}`);
  ok(!lines.some((line) => line.includes("vllm:")));
});
