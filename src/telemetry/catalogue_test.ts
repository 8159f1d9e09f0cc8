import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { catalogue, type MetricDefinition, metricsReference } from "./catalogue.ts";

const M = ["model_name", "target_model_name", "fairness_id", "priority"];
// deno-fmt-ignore
const L = [.005, .025, .05, .1, .2, .4, .6, .8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600];
const S = [.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1];
// deno-fmt-ignore
const TTFT = [.005, .025, .05, .1, .2, .4, .6, .8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120];
// deno-fmt-ignore
const TPOT = [.0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125, .15, .2, .3, .4, .5, .6, .8, 1, 2];
// deno-fmt-ignore
const TOKENS = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32778, 65536, 131072, 262144, 524288, 1048576];
// deno-fmt-ignore
const PTPOT = [.0005, .00205, .005, .01, .02, .04, .06, .08, .1, .125, .15, .2, .3, .4, .5, .6, .8, 1, 1.5, 2, 3, 4.5, 6, 12, 18, 24, 30, 36, 48, 60, 90, 120, 180, 270, 360];
const PREDICTION = [.0001, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5];
const MODELS = ["model_name", "target_model_name"];
const PLUGIN = ["plugin_name", "plugin_type"];
const QUEUE = [.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60];
const FLOW = ["inference_pool", "model_name", "target_model_name"];
const requestBytes = Array.from({ length: 25 }, (_, n) => 64 * 2 ** n);
const INFLIGHT = ["endpoint_name", "namespace", "producer_name", "fairness_id", "priority"];

/** llm-d's table: name, type, labels, buckets. */
const llmD: readonly (readonly [string, string, readonly string[], (readonly number[])?])[] = [
  ["request_total", "counter", M],
  ["request_error_total", "counter", [...M, "error_code"]],
  ["request_duration_seconds", "histogram", M, L],
  ["request_size_bytes", "histogram", M, requestBytes],
  ["response_size_bytes", "histogram", M, TOKENS.filter((bound) => bound <= 65536)],
  ["request_input_tokens", "histogram", M, TOKENS],
  ["request_cached_tokens", "histogram", M, TOKENS],
  ["request_output_tokens", "histogram", M, TOKENS.filter((bound) => bound <= 8192)],
  ["request_running", "gauge", M],
  ["request_ntpot_seconds", "histogram", M, [.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10]],
  ["request_ttft_seconds", "histogram", [...M, "streaming"], TTFT],
  ["request_streaming_tpot_seconds", "histogram", M, TPOT],
  [
    "request_streaming_itl_seconds",
    "histogram",
    M,
    [.001, .005, .01, .02, .04, .06, .08, .1, .15, .2, .3, .5, .75, 1, 2],
  ],
  ["scheduler_e2e_duration_seconds", "histogram", [], S],
  ["scheduler_attempts_total", "counter", ["status", "target_model_name", "endpoint_name", "namespace", "port"]],
  [
    "request_processing_duration_seconds",
    "histogram",
    [],
    [.0005, .001, .002, .005, .01, .015, .025, .04, .06, .1, .25, .5, 1, 2.5, 5, 10],
  ],
  ["model_rewrite_decisions_total", "counter", ["model_rewrite_name", "model_name", "target_model"]],
  ["prefix_indexer_size", "gauge", ["plugin_name", "plugin_type"]],
  ["prefix_indexer_hit_ratio", "histogram", ["plugin_name", "plugin_type"], [0, .1, .2, .3, .4, .5, .6, .7, .8, .9, 1]],
  ["prefix_indexer_hit_bytes", "histogram", ["plugin_name", "plugin_type"], [
    ...[0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536],
  ]],
  ["average_kv_cache_utilization", "gauge", ["name"]],
  ["average_queue_size", "gauge", ["name"]],
  ["average_running_requests", "gauge", ["name"]],
  ["std_dev_kv_cache_utilization", "gauge", ["name"]],
  ["std_dev_queue_size", "gauge", ["name"]],
  ["std_dev_running_requests", "gauge", ["name"]],
  ["ready_endpoints", "gauge", ["name"]],
  ["per_endpoint_queue_size", "gauge", ["name", "model_server_endpoint"]],
  ["inflight_requests", "gauge", INFLIGHT],
  ["inflight_tokens", "gauge", INFLIGHT],
  ["flow_control_request_queue_duration_seconds", "histogram", ["fairness_id", "priority", "outcome", ...FLOW], QUEUE],
  ["flow_control_dispatch_cycle_duration_seconds", "histogram", [], S],
  ["flow_control_request_enqueue_duration_seconds", "histogram", ["fairness_id", "priority", "outcome"], S],
  ["flow_control_requests_total", "counter", ["outcome", "priority", "inference_pool"]],
  ["flow_control_queue_size", "gauge", ["fairness_id", "priority", ...FLOW]],
  ["flow_control_queue_bytes", "gauge", ["fairness_id", "priority", ...FLOW]],
  ["flow_control_pool_saturation", "gauge", ["inference_pool", "stage"]],
  ["flow_control_stale_endpoints", "gauge", ["detector"]],
  ["flow_control_capacity_utilization_requests", "gauge", ["priority", "inference_pool"]],
  ["flow_control_capacity_utilization_bytes", "gauge", ["priority", "inference_pool"]],
  ["flow_control_global_capacity_utilization_requests", "gauge", ["inference_pool"]],
  ["flow_control_global_capacity_utilization_bytes", "gauge", ["inference_pool"]],
  ["flow_control_revocations_issued_total", "counter", ["priority", "inference_pool"]],
  ["flow_control_revocations_total", "counter", ["outcome", "inference_pool"]],
  ["flow_control_reclaim_target", "gauge", ["inference_pool"]],
  ["flow_control_pending_reclaim", "gauge", ["inference_pool"]],
  [
    "flow_control_revocation_confirmation_seconds",
    "histogram",
    ["inference_pool"],
    [.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10],
  ],
  ["request_predicted_ttft_seconds", "histogram", [...MODELS, ...PLUGIN], L],
  ["request_predicted_tpot_seconds", "histogram", [...MODELS, ...PLUGIN], PTPOT],
  ["request_ttft_prediction_duration_seconds", "histogram", [...MODELS, ...PLUGIN], PREDICTION],
  ["request_tpot_prediction_duration_seconds", "histogram", [...MODELS, ...PLUGIN], PREDICTION],
  ["inference_request_metric", "gauge", [...MODELS, "type", ...PLUGIN]],
  ["request_slo_violation_total", "counter", [...MODELS, "type", ...PLUGIN]],
  ["datalayer_poll_errors_total", "counter", ["source_type"]],
  ["info", "gauge", ["commit", "build_ref"]],
];

const entries = Object.entries<MetricDefinition>(catalogue);

Deno.test("catalogue shows llm-d's metrics under exactly llm-d's labels and buckets", () => {
  const shown = entries.filter(([, { alias }]) => alias).map(([name, { type, alias, buckets }]) => {
    const labels = alias!.map((label) => typeof label === "string" ? label : label[0]);
    return [name, type, labels, ...(buckets ? [buckets] : [])];
  });
  deepStrictEqual(shown, llmD.toSorted((a, b) => order(a[0]) - order(b[0])));
});

function order(name: string): number {
  return entries.findIndex(([known]) => known === name);
}

Deno.test("catalogue gives every metric a meaning, a unit its name agrees with, and valid labels", () => {
  for (const [name, { type, unit, labels, buckets, help, alias }] of entries) {
    ok(/^[a-z][a-z0-9_]*$/.test(name), name);
    ok(help.length > 10 && help.endsWith("."), `${name}: ${help}`);
    equal(name.endsWith("_total"), type === "counter", name);
    if (unit === "seconds" || unit === "bytes") ok(name.endsWith(`_${unit}`), name);
    equal(new Set(labels).size, labels.length, name);
    ok(labels.every((label) => /^[a-z][a-z_]*$/.test(label) && label !== "le"), name);
    equal(buckets !== undefined, type === "histogram", name);
    ok((buckets ?? []).every((bound, i, all) => i === 0 || bound > all[i - 1]), name);
    ok((alias ?? []).every((label) => typeof label !== "string" || labels.includes(label)), name);
  }
});

Deno.test("metricsReference() has one row a metric", () => {
  const text = metricsReference();
  equal(text.split("\n").length, entries.length + 3);
  ok(text.includes("| `warmpath_request_total` | counter | requests | `model_name`"));
});
