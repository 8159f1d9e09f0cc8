import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { systemClock } from "../core/mod.ts";
import type { FlowSample } from "./flow_series.ts";
import { Metrics } from "./metrics.ts";
import { flowSample, type ParsedSample, parsePrometheus } from "./testing.ts";

const request = { tenant: "t", priority: 1, model: "llama", requestedModel: "alias" };

/** Samples of flow control at a scrape, by name without ours or llm-d's prefix. */
async function scrape(metrics: Metrics, prefix = "warmpath_"): Promise<(name: string) => ParsedSample[]> {
  const { samples } = parsePrometheus(await metrics.render(systemClock));
  return (name) => samples.filter((sample) => sample.name === `${prefix}flow_control_${name}`);
}

/** Metrics that are asked for `sample` at each scrape. */
function collecting(sample: () => FlowSample): Metrics {
  const metrics = new Metrics({ version: "1" });
  metrics.onCollect(() => ({ flow: sample(), pool: { name: "pool", endpoints: [] } }));
  return metrics;
}

const shown = (samples: readonly ParsedSample[]) => samples.map(({ labels, value }) => ({ ...labels, value }));

Deno.test("ended() counts a wait by its outcome and keeps its time, under both names", async () => {
  const metrics = new Metrics({ version: "1" });
  metrics.flow.ended(request, "Dispatched", 20);
  metrics.flow.ended(request, "EvictedTTL", 2_000);
  for (const prefix of ["warmpath_", "llm_d_epp_"]) {
    const of = await scrape(metrics, prefix);
    deepStrictEqual(shown(of("requests_total")), [
      { outcome: "Dispatched", priority: "1", inference_pool: "default", value: 1 },
      { outcome: "EvictedTTL", priority: "1", inference_pool: "default", value: 1 },
    ]);
    const labels = {
      fairness_id: "t",
      priority: "1",
      inference_pool: "default",
      model_name: "alias",
      target_model_name: "llama",
    };
    deepStrictEqual(shown(of("request_queue_duration_seconds_sum")), [
      { ...labels, outcome: "Dispatched", value: 0.02 },
      { ...labels, outcome: "EvictedTTL", value: 2 },
    ]);
  }
});

Deno.test("enqueued(), looked() and revocations are recorded in seconds and by what became of them", async () => {
  const metrics = new Metrics({ version: "1" });
  metrics.flow.ended(request, "Dispatched", 1);
  metrics.flow.enqueued(request, "NotYetFinalized", 0.25);
  metrics.flow.looked(0.5);
  metrics.flow.revocationIssued(1);
  metrics.flow.revocationEnded("confirmed", 0.04);
  metrics.flow.revocationEnded("timed_out", 10);
  const of = await scrape(metrics);
  deepStrictEqual(shown(of("request_enqueue_duration_seconds_sum")), [
    { fairness_id: "t", priority: "1", outcome: "NotYetFinalized", value: 0.00025 },
  ]);
  equal(of("dispatch_cycle_duration_seconds_sum")[0].value, 0.0005);
  deepStrictEqual(shown(of("revocations_issued_total")), [{ priority: "1", inference_pool: "default", value: 1 }]);
  deepStrictEqual(shown(of("revocations_total")), [
    { outcome: "confirmed", inference_pool: "default", value: 1 },
    { outcome: "timed_out", inference_pool: "default", value: 1 },
  ]);
  deepStrictEqual(shown(of("revocation_confirmation_seconds_sum")), [{ inference_pool: "default", value: 0.04 }]);
});

Deno.test("fill() shows the sample, and nothing of what it does not have", async () => {
  let sample = flowSample();
  const metrics = collecting(() => sample);
  const all = await scrape(metrics);
  const pool = { inference_pool: "pool" };
  deepStrictEqual(shown(all("pool_saturation")), [
    { ...pool, stage: "decode", value: 0.5 },
    { ...pool, stage: "effective", value: 0.5 },
  ]);
  deepStrictEqual(shown(all("stale_endpoints")), [{ detector: "fused", value: 1 }]);
  deepStrictEqual(shown(all("queue_bytes")), [
    { fairness_id: "t", priority: "0", ...pool, model_name: "alias", target_model_name: "llama", value: 100 },
  ]);
  deepStrictEqual(shown(all("capacity_utilization_requests")), [{ priority: "0", ...pool, value: 0.25 }]);
  deepStrictEqual(shown(all("capacity_utilization_bytes")), [{ priority: "0", ...pool, value: 0.125 }]);
  deepStrictEqual(shown(all("global_capacity_utilization_bytes")), [{ ...pool, value: 0.75 }]);
  deepStrictEqual(shown(all("queue_tokens")), [{ priority: "0", value: 15 }]);
  deepStrictEqual(shown(all("oldest_wait_seconds")), [{ priority: "0", value: 0.25 }]);
  deepStrictEqual(shown(all("estimated_wait_seconds")), [{ priority: "0", value: 1.5 }]);
  deepStrictEqual(shown(all("required_replicas")), [{ ...pool, value: 1.5 }]);
  deepStrictEqual(shown(all("promises")), [{ value: 2 }]);
  deepStrictEqual(shown(all("pending_reclaim")), [{ ...pool, value: 0.2 }]);
  sample = flowSample({
    saturation: { effective: 1 },
    bands: [{ priority: 0, tokens: 0, oldestWaitMs: 0, requestsRatio: 0, bytesRatio: 0 }],
    requestsRatio: undefined,
    bytesRatio: undefined,
    requiredReplicas: undefined,
    reclaim: undefined,
  });
  const less = await scrape(metrics);
  deepStrictEqual(shown(less("pool_saturation")), [{ ...pool, stage: "effective", value: 1 }]);
  for (
    const name of [
      "estimated_wait_seconds",
      "global_capacity_utilization_requests",
      "global_capacity_utilization_bytes",
      "required_replicas",
      "reclaim_target",
      "pending_reclaim",
    ]
  ) deepStrictEqual(less(name), [], name);
});

Deno.test("fill() shows 0 for a queue that waited lately, and adds up what has the same labels", async () => {
  let sample = flowSample({ queues: [...flowSample().queues, ...flowSample().queues] });
  const metrics = collecting(() => sample);
  deepStrictEqual((await scrape(metrics))("queue_size").map(({ value }) => value), [2]);
  sample = flowSample({ queues: [] });
  const later = await scrape(metrics);
  deepStrictEqual(later("queue_size").map(({ labels, value }) => [labels.fairness_id, value]), [["t", 0]]);
  deepStrictEqual(later("queue_bytes").map(({ value }) => value), [0]);
});

Deno.test("fill() tells the 20 tenants with most tokens apart at each scrape, the rest as other", async () => {
  const tenants = (from: number) =>
    Array.from({ length: 30 }, (_, i) => ({ tenant: `t${from + i}`, requests: 1, tokens: 100 - i }));
  let from = 0;
  const metrics = collecting(() => flowSample({ tenants: tenants(from) }));
  for (from of [0, 500, 1_000]) {
    const of = (await scrape(metrics))("tenant_queue_tokens");
    equal(of.length, 21);
    equal(of.find(({ labels }) => labels.fairness_id === `t${from + 19}`)?.value, 81);
    equal(of.find(({ labels }) => labels.fairness_id === "other")?.value, 10 * 80 - 45);
  }
  equal((await scrape(metrics))("tenant_queue_size").find(({ labels }) => labels.fairness_id === "other")?.value, 10);
});

Deno.test("series stay bounded whatever tenants, priorities and models clients name, and nothing is lost", async () => {
  const metrics = collecting(() => flowSample({ queues: [] }));
  for (let i = 0; i < 5_000; i++) {
    metrics.flow.ended({ tenant: `t${i}`, priority: i % 300, model: `m${i % 7}` }, "Dispatched", 1);
    metrics.flow.ended({ tenant: `u${i}`, priority: 0, model: "m0" }, "RejectedCapacity", 0);
  }
  const of = await scrape(metrics);
  const counts = of("request_queue_duration_seconds_count");
  ok(counts.length <= 2_000, `${counts.length} series`);
  equal(counts.reduce((sum, { value }) => sum + value, 0), 10_000);
  const totals = of("requests_total");
  ok(totals.length <= 260, `${totals.length} series`);
  equal(totals.reduce((sum, { value }) => sum + value, 0), 10_000);
  ok(counts.every(({ labels }) => !labels.fairness_id.startsWith("u")), "a refused request taught a label");
});
