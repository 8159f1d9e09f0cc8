import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { outcomes, systemClock } from "../core/mod.ts";
import { catalogue, type MetricDefinition } from "./catalogue.ts";
import type { EndpointSample } from "./gauges.ts";
import { Metrics } from "./metrics.ts";
import { errorCodes } from "./record.ts";
import {
  flowSample,
  latencySample,
  type ParsedText,
  parsePrometheus,
  predictionRecord,
  requestRecord,
} from "./testing.ts";

const metrics = () => new Metrics({ version: "1.2.3", commit: "abc", buildRef: "main" });

async function scrape(subject: Metrics): Promise<ParsedText> {
  return parsePrometheus(await subject.render(systemClock));
}

/** The value of the one sample with this name and at least these labels; undefined when there is none. */
function value(text: ParsedText, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  const found = text.samples.filter((sample) =>
    sample.name === name && Object.entries(labels).every(([key, wanted]) => sample.labels[key] === wanted)
  );
  ok(found.length <= 1, `${found.length} samples of ${name}`);
  return found[0]?.value;
}

const endpoint = (part: Partial<EndpointSample> = {}): EndpointSample => ({
  name: "a",
  namespace: "default",
  state: "ready",
  waiting: 2,
  running: 4,
  kvUsageRatio: 0.5,
  sampleAgeMs: 40,
  fresh: true,
  requests: 3,
  prefillTokens: 100,
  decodeTokens: 900,
  circuit: "closed",
  slowness: 1.5,
  cache: {
    blocks: { gpu: 7, routed: 2 },
    predictedTokens: 640,
    reportedTokens: 600,
    feed: {
      state: "SUSPECT",
      lagMs: 12,
      batches: 5,
      events: 9,
      incidents: { gap: 1 },
      skipped: { malformed: 2 },
    },
  },
  ...part,
});

/** Touches every family of the catalogue. */
function recordEverything(subject: Metrics): void {
  const series = subject.requestStarted(requestRecord());
  series.itl(20);
  subject.requestEnded(requestRecord(), series);
  subject.requestStarted(requestRecord({ targetModel: "llama-v2" }));
  subject.requestEnded(
    requestRecord({ outcome: "rejected-saturated", status: 429, ttftMs: undefined, endpoint: undefined }),
  );
  subject.decision(0.2, "llama", { name: "a", namespace: "default", port: 8000 });
  subject.decision(0.1, "llama");
  subject.prefixMatched(640, 800);
  subject.promptHashed("text", "busy");
  subject.modelRewritten("canary", "llama", "llama-v2");
  subject.upstreamRetried("connect");
  subject.retryRefused();
  subject.hedged("begun");
  subject.continued("continued");
  subject.shed("requests", "negative");
  subject.clientDisconnected("streaming");
  subject.endpointEjected({ name: "a", namespace: "default" }, "failures");
  subject.polled("metrics", 3, false);
  subject.configReloaded(true);
  subject.eventLoopLag(2);
  subject.keyRefused({ key: "a", tenant: "t", reason: "tokens", shadow: false });
  subject.keyRefused({ key: "a", tenant: "t", reason: "tokens", shadow: true });
  subject.tokensCharged({ key: "a", tenant: "t", prompt: 3, completion: 4 });
  const waiting = { tenant: "t", priority: 0, model: "llama" };
  subject.flow.enqueued(waiting, "NotYetFinalized", 0.1);
  subject.flow.ended(waiting, "Dispatched", 20);
  subject.flow.looked(0.01);
  subject.flow.revocationIssued(0);
  subject.flow.revocationEnded("confirmed", 0.02);
  subject.latency.outcome(predictionRecord());
  subject.latency.outcome(predictionRecord({ target: "tpot" }));
  subject.latency.predicted({ model: "llama", requestedModel: "alias" }, 0.02);
  subject.latency.trained("ttft", "promoted", 300);
  subject.requestEnded(requestRecord({ slo: { ttftMs: 10 } }));
  subject.onCollect(() => ({ flow: flowSample(), latency: latencySample() }));
  subject.onCollect(() => ({ pool: { name: "pool", endpoints: [endpoint()] } }));
  subject.onCollect(() => ({
    prefix: { blocks: 12, evicted: 3 },
    overloaded: 0,
    process: { rssBytes: 1, heapUsedBytes: 2, externalBytes: 3 },
  }));
}

Deno.test("render() documents and fills every metric of the catalogue, under each of its names", async () => {
  const subject = metrics();
  recordEverything(subject);
  const { help, type, samples } = await scrape(subject);
  const sampled = new Set(samples.map(({ name }) => name));
  for (const [name, definition] of Object.entries<MetricDefinition>(catalogue)) {
    for (const prefix of definition.alias ? ["warmpath_", "llm_d_epp_"] : ["warmpath_"]) {
      equal(help.get(prefix + name), definition.help);
      equal(type.get(prefix + name), definition.type);
      ok(sampled.has(prefix + name + (definition.type === "histogram" ? "_count" : "")), `${prefix}${name} is empty`);
    }
  }
  equal(help.size, type.size);
  ok(samples.every(({ name }) => /^(warmpath|llm_d_epp)_/.test(name)));
});

Deno.test("keys beyond the first 200 share one label, and what they did is not lost", async () => {
  const subject = metrics();
  for (let i = 0; i < 300; i++) {
    subject.tokensCharged({ key: `k${i}`, tenant: `t${i}`, prompt: 2, completion: 1 });
    subject.keyRefused({ key: `k${i}`, tenant: `t${i}`, reason: "requests", shadow: i % 2 === 0 });
  }
  const { samples } = await scrape(subject);
  const of = (name: string) => samples.filter((sample) => sample.name === name);
  const tokens = of("warmpath_key_tokens_total");
  equal(tokens.reduce((sum, { value }) => sum + value, 0), 900);
  ok(tokens.length <= 404, `${tokens.length} series`);
  const other = tokens.find(({ labels }) => labels.key === "other" && labels.kind === "prompt")!;
  deepStrictEqual([other.labels.tenant, other.value], ["other", 202]);
  equal(of("warmpath_key_refusals_total").reduce((sum, { value }) => sum + value, 0), 150);
  equal(of("warmpath_key_shadow_refusals_total").reduce((sum, { value }) => sum + value, 0), 150);
});

Deno.test("render() shows llm-d's names with the same values as ours, in buckets that add up", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          model: fc.constantFrom("a", "b", 'quote" \\ and\nline'),
          stream: fc.boolean(),
          outcome: fc.constantFrom(...outcomes),
          ttftMs: fc.option(fc.integer({ min: 0, max: 200_000 }), { nil: undefined }),
          outputTokens: fc.option(fc.nat(20_000), { nil: undefined }),
          priority: fc.integer({ min: -1, max: 1 }),
        }),
        { maxLength: 20 },
      ),
      async (parts) => {
        const subject = metrics();
        for (const part of parts) {
          const record = requestRecord({ ...part, targetModel: part.model });
          const series = subject.requestStarted(record);
          series.itl(part.priority + 5);
          subject.requestEnded(record, series);
        }
        const { samples } = await scrape(subject);
        const shown = (prefix: string) =>
          samples.filter(({ name }) => name.startsWith(`${prefix}request_`))
            .map(({ name, labels, value }) => ({ name: name.slice(prefix.length), labels, value }))
            .filter(({ name }) => name !== "request_outcome_total");
        deepStrictEqual(shown("llm_d_epp_"), shown("warmpath_"));
        const total = samples.filter(({ name }) => name === "warmpath_request_total");
        equal(total.reduce((sum, { value }) => sum + value, 0), parts.length);
        const expected = new Set(parts.map(({ model }) => model));
        deepStrictEqual(new Set(total.map(({ labels }) => labels.model_name)), expected);
        let last = 0;
        for (const { name, labels, value } of samples) {
          if (!name.endsWith("_bucket")) continue;
          ok(
            labels.le !== undefined && (value >= last || labels.le === catalogueFirstBound(name)),
            `${name} ${labels.le}`,
          );
          last = value;
        }
      },
    ),
    { seed: 11, numRuns: 40 },
  );
});

function catalogueFirstBound(bucketName: string): string {
  const name = bucketName.replace(/^(warmpath|llm_d_epp)_/, "").replace(/_bucket$/, "") as keyof typeof catalogue;
  return String((catalogue[name] as MetricDefinition).buckets![0]);
}

Deno.test("requestEnded() records a completed stream as the formulas say", async () => {
  const subject = metrics();
  const series = subject.requestStarted(requestRecord());
  equal(value(await scrape(subject), "warmpath_request_running"), 1);
  subject.requestEnded(requestRecord(), series);
  const text = await scrape(subject);
  equal(value(text, "warmpath_request_running"), 0);
  equal(value(text, "warmpath_request_duration_seconds_sum"), 2.1);
  equal(value(text, "warmpath_request_ntpot_seconds_sum"), 2.1 / 101);
  equal(value(text, "warmpath_request_streaming_tpot_seconds_sum"), 0.02);
  equal(value(text, "warmpath_request_ttft_seconds_sum", { streaming: "true" }), 0.1);
  equal(value(text, "warmpath_request_ttft_seconds_sum", { streaming: "false" }), undefined);
  equal(value(text, "llm_d_epp_request_cached_tokens_sum"), 640);
  equal(value(text, "warmpath_request_processing_duration_seconds_sum"), 0.0015);
  equal(value(text, "warmpath_endpoint_request_total", { endpoint_name: "a", outcome: "completed" }), 1);
  equal(value(text, "warmpath_request_error_total"), undefined);
});

for (const outcome of outcomes) {
  if (outcome === "completed") continue;
  Deno.test(`requestEnded() counts ${outcome} as ${errorCodes[outcome]} and leaves latency alone`, async () => {
    const subject = metrics();
    const record = requestRecord({ outcome, ttftMs: undefined });
    subject.requestEnded(record, subject.requestStarted(record));
    const text = await scrape(subject);
    equal(value(text, "llm_d_epp_request_error_total", { error_code: errorCodes[outcome]! }), 1);
    equal(value(text, "llm_d_epp_request_total"), 1);
    equal(value(text, "warmpath_request_outcome_total", { api: "chat", outcome }), 1);
    equal(value(text, "warmpath_request_duration_seconds_count"), undefined);
    equal(value(text, "warmpath_request_running"), 0);
  });
}

Deno.test("requestStarted() keeps 1,000 model names, the pinned ones always, and calls the rest other", async () => {
  const subject = new Metrics({ version: "1", pinnedModels: ["pinned"] });
  const request = (model: string) => {
    const record = requestRecord({ model, targetModel: model });
    subject.requestEnded(record, subject.requestStarted(record));
  };
  for (let i = 0; i < 1200; i++) request(`model-${i}`);
  request("pinned");
  const text = await scrape(subject);
  const totals = text.samples.filter(({ name }) => name === "warmpath_request_total");
  equal(totals.reduce((sum, { value }) => sum + value, 0), 1201);
  equal(value(text, "warmpath_request_total", { model_name: "model-998" }), 1);
  equal(value(text, "warmpath_request_total", { model_name: "model-999" }), undefined);
  const others = totals.filter(({ labels }) => labels.model_name === "other");
  equal(others.reduce((sum, { value }) => sum + value, 0), 1201 - 999 - 1);
  for (let i = 0; i < 1200; i++) request(`further-${i}`);
  equal((await scrape(subject)).samples.length, text.samples.length);
});

Deno.test("requestStarted() bounds label sets when tenants and priorities multiply", async () => {
  const subject = metrics();
  for (let i = 0; i < 5000; i++) subject.requestStarted(requestRecord({ fairnessId: `t${i % 900}`, priority: i % 7 }));
  const running = (await scrape(subject)).samples.filter(({ name }) => name === "warmpath_request_running");
  equal(running.length, 1001);
  equal(running.reduce((sum, { value }) => sum + value, 0), 5000);
});

Deno.test("requestEnded() of a refused request teaches no label", async () => {
  const subject = metrics();
  for (let i = 0; i < 2000; i++) {
    subject.requestEnded(
      requestRecord({ model: `x${i}`, targetModel: `x${i}`, fairnessId: `y${i}`, outcome: "model-not-found" }),
    );
  }
  subject.requestStarted(requestRecord({ model: "real", targetModel: "real", fairnessId: "tenant" }));
  const text = await scrape(subject);
  equal(value(text, "warmpath_request_total", { model_name: "other", fairness_id: "other" }), 2000);
  equal(value(text, "warmpath_request_running", { model_name: "real", fairness_id: "tenant" }), 1);
});

Deno.test("requestStarted() cuts names that are texts", async () => {
  const subject = metrics();
  subject.requestStarted(requestRecord({ model: "m".repeat(1_000_000) }));
  ok((await subject.render(systemClock)).length < 100_000);
});

Deno.test("render() averages endpoints with a fresh sample only", async () => {
  const subject = metrics();
  const endpoints = [
    endpoint({ name: "a", waiting: 2, running: 4, kvUsageRatio: 0.2 }),
    endpoint({ name: "b", waiting: 6, running: 8, kvUsageRatio: 0.6 }),
    endpoint({ name: "c", waiting: 100, fresh: false, state: "unhealthy" }),
    endpoint({
      name: "d",
      waiting: NaN,
      running: NaN,
      kvUsageRatio: NaN,
      sampleAgeMs: NaN,
      fresh: false,
      state: "starting",
    }),
  ];
  subject.onCollect(() => ({ pool: { name: "pool", endpoints } }));
  const text = await scrape(subject);
  equal(value(text, "llm_d_epp_average_queue_size", { name: "pool" }), 4);
  equal(value(text, "llm_d_epp_std_dev_queue_size"), 2);
  equal(value(text, "llm_d_epp_average_running_requests"), 6);
  equal(value(text, "llm_d_epp_average_kv_cache_utilization"), 0.4);
  equal(value(text, "llm_d_epp_ready_endpoints"), 2);
  equal(value(text, "llm_d_epp_per_endpoint_queue_size", { model_server_endpoint: "c" }), 100);
  equal(value(text, "llm_d_epp_per_endpoint_queue_size", { model_server_endpoint: "d" }), undefined);
  equal(value(text, "warmpath_endpoint_sample_age_seconds", { endpoint_name: "a" }), 0.04);
  equal(value(text, "warmpath_endpoint_state", { endpoint_name: "d", state: "starting" }), 1);
  equal(value(text, "llm_d_epp_inflight_tokens", { endpoint_name: "a", producer_name: "inflight-load-producer" }), 100);
  ok(text.samples.every(({ value }) => !Number.isNaN(value)));
});

Deno.test("render() forgets gauges of endpoints that are gone, and no average stands for none fresh", async () => {
  const subject = metrics();
  let endpoints = [endpoint({ name: "a" }), endpoint({ name: "b" })];
  subject.onCollect(() => ({ pool: { name: "pool", endpoints } }));
  equal(value(await scrape(subject), "warmpath_inflight_requests", { endpoint_name: "b" }), 3);
  endpoints = [endpoint({ name: "a", fresh: false })];
  const text = await scrape(subject);
  equal(value(text, "warmpath_inflight_requests", { endpoint_name: "b" }), undefined);
  equal(value(text, "llm_d_epp_average_queue_size"), undefined);
  equal(value(text, "llm_d_epp_ready_endpoints"), 1);
});

Deno.test("forgetEndpoint() drops the counters of one endpoint", async () => {
  const subject = metrics();
  recordEverything(subject);
  subject.endpointEjected({ name: "b", namespace: "default" }, "health");
  subject.forgetEndpoint("a");
  const text = await scrape(subject);
  equal(value(text, "warmpath_endpoint_ejections_total", { endpoint_name: "a" }), undefined);
  equal(value(text, "warmpath_endpoint_ejections_total", { endpoint_name: "b" }), 1);
  equal(value(text, "llm_d_epp_scheduler_attempts_total", { status: "failure" }), 1);
  equal(value(text, "llm_d_epp_scheduler_attempts_total", { status: "success" }), undefined);
});

Deno.test("render() shows the build under both names", async () => {
  const { samples } = await scrape(metrics());
  deepStrictEqual(samples.filter(({ name }) => name.endsWith("_info")), [
    { name: "warmpath_info", labels: { version: "1.2.3", commit: "abc", build_ref: "main" }, value: 1 },
    { name: "llm_d_epp_info", labels: { commit: "abc", build_ref: "main" }, value: 1 },
  ]);
});

Deno.test("render() shows what an endpoint caches and how its feed is, until it is gone", async () => {
  const subject = metrics();
  let endpoints = [endpoint()];
  subject.onCollect(() => ({ pool: { name: "pool", endpoints } }));
  const text = await scrape(subject);
  equal(value(text, "warmpath_feed_state", { endpoint_name: "a", state: "SUSPECT" }), 1);
  equal(value(text, "warmpath_cached_blocks", { tier: "gpu" }), 7);
  equal(value(text, "warmpath_feed_incidents_total", { kind: "gap" }), 1);
  equal(value(text, "warmpath_feed_lag_seconds"), 0.012);
  equal(value(text, "warmpath_prefix_reported_tokens_total"), 600);
  endpoints = [endpoint({ cache: { blocks: {}, predictedTokens: 0, reportedTokens: 0 } })];
  const later = await scrape(subject);
  equal(value(later, "warmpath_feed_state"), undefined);
  equal(value(later, "warmpath_cached_blocks"), undefined);
});
