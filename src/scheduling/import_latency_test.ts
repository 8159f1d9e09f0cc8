/** llm-d's configurations for routing by predicted latency, read and run. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Scheduler } from "./engine.ts";
import { importEndpointPickerConfig } from "./import_config.ts";
import {
  type TestEndpoint,
  testLatency,
  testMatch,
  testNowMs,
  testPool,
  type TestRequest,
  testView,
} from "./testing.ts";
import type { DecisionContext } from "./types.ts";

const head = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n";

/** The SLO pipeline of llm-d's guide. */
const slo = `${head}plugins:
- type: approx-prefix-cache-producer
  parameters: {maxPrefixTokensToMatch: 262144}
- type: predicted-latency-producer
  parameters: {streamingMode: true}
- type: prefix-cache-affinity-filter
  name: strict-affinity-filter
  parameters: {affinityThreshold: 0.99, ttftSource: latencyPredictor, maxTTFTPenaltyMs: 5000}
- type: prefix-cache-affinity-filter
  name: loose-affinity-filter
  parameters: {affinityThreshold: 0.8, ttftSource: latencyPredictor, maxTTFTPenaltyMs: 5000}
- type: latency-scorer
- type: weighted-random-picker
- type: slo-headroom-tier-filter
- type: latency-slo-admitter
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: strict-affinity-filter
  - pluginRef: slo-headroom-tier-filter
  - pluginRef: loose-affinity-filter
  - pluginRef: latency-scorer
  - pluginRef: weighted-random-picker
`;

/** The routing-only pipeline of llm-d's guide. */
const routing = `${head}plugins:
- type: predicted-latency-producer
- type: prefix-cache-affinity-filter
  name: loose-affinity-filter
  parameters: {affinityThreshold: 0.8, ttftSource: latencyPredictor, maxTTFTPenaltyMs: 5000}
- type: latency-scorer
- type: weighted-random-picker
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: loose-affinity-filter
  - pluginRef: latency-scorer
  - pluginRef: weighted-random-picker
`;

/** As llm-d keeps it among its well-known configurations: a profile that names its producer, and scorers nobody uses. */
const wellKnown = `${head}plugins:
- type: queue-scorer
- type: kv-cache-utilization-scorer
- type: prefix-cache-scorer
- type: metrics-data-source
  parameters: {insecureSkipVerify: true, path: /metrics, scheme: http}
- type: core-metrics-extractor
- type: predicted-latency-producer
  parameters: {streamingMode: true}
- type: prefix-cache-affinity-filter
  name: strict-affinity-filter
  parameters: {affinityThreshold: 0.99}
- type: latency-scorer
- type: weighted-random-picker
- type: slo-headroom-tier-filter
- type: latency-slo-admitter
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: predicted-latency-producer
  - pluginRef: latency-slo-admitter
  - pluginRef: strict-affinity-filter
  - pluginRef: slo-headroom-tier-filter
  - pluginRef: latency-scorer
  - pluginRef: weighted-random-picker
`;

const decisions = 10_000;

/** Shares of the endpoints in many decisions, and of refusals. */
function run(text: string, endpoints: readonly TestEndpoint[], request: TestRequest) {
  const { plan } = importEndpointPickerConfig(text, "epp.yaml");
  const pool = testPool(endpoints);
  const latency = { predict: ({ view }: DecisionContext) => testLatency(pool, view), chosen() {} };
  const engine = new Scheduler(plan, { table: pool.table, seed: 5, latency });
  const view = testView(request), match = testMatch(pool, request);
  const shares = endpoints.map(() => 0);
  let refusals = 0;
  for (let i = 0; i < decisions; i++) {
    const result = engine.decide(view, match, pool.slots, pool.n, testNowMs);
    if ("slot" in result) shares[result.slot] += 1 / decisions;
    else refusals += result.refused === "slo-unmet" ? 1 : NaN;
  }
  return { shares, refused: refusals / decisions };
}

/** 0.02 is four standard deviations of a half in 10,000 draws. */
function nearly(shares: readonly number[], expected: readonly number[]): void {
  ok(shares.every((share, i) => Math.abs(share - expected[i]) < 0.02), `[${shares}] is not about [${expected}]`);
}

const busy = (ttftMs: number, tpotMs: number, rest: TestEndpoint = {}): TestEndpoint => ({
  requests: 2,
  running: 2,
  kv: 0.5,
  predicted: { ttftMs, tpotMs },
  ...rest,
});
const both = { ttftMs: 500, tpotMs: 50 };

Deno.test("llm-d's SLO pipeline is read in full", () => {
  const { plan, latency, warnings } = importEndpointPickerConfig(slo, "epp.yaml");
  deepStrictEqual(plan.profiles, [{
    name: "default",
    filters: ["strict-affinity-filter", "slo-headroom-tier-filter", "loose-affinity-filter"],
    scorers: [{ plugin: "latency-scorer", weight: 1 }],
    picker: "weighted-random-picker",
  }]);
  deepStrictEqual(latency, { predicts: true });
  deepStrictEqual(warnings, []);
  ok(plan.plugins.some(({ type }) => type === "latency-slo-admitter"));
});

Deno.test("the SLO pipeline packs towards the target among those that meet it, and explores the others now and then", () => {
  // Scores 0.08, 1 and 0.58 of 1.66; one time in a hundred 3.
  const { shares, refused } = run(
    slo,
    [busy(200, 30), busy(450, 45), busy(380, 20), busy(900, 90)],
    { slo: both },
  );
  nearly(shares, [0.05, 0.6, 0.34, 0.01]);
  equal(refused, 0);
});

Deno.test("the SLO pipeline stays with a warm endpoint, and leaves it where it would be too late", () => {
  const request = { slo: { ttftMs: 20_000 }, totalBlocks: 10 };
  nearly(run(slo, [busy(3000, 9, { matched: 10 }), busy(100, 9)], request).shares, [1, 0]);
  nearly(run(slo, [busy(3000, 9, { matched: 8 }), busy(100, 9)], request).shares, [1, 0]);
  ok(run(slo, [busy(9000, 9, { matched: 10 }), busy(100, 9)], request).shares[1] < 0.1, "least headroom first");
  nearly(run(slo, [busy(9000, 9, { matched: 10 }), busy(100, 9)], { totalBlocks: 10 }).shares, [0.01, 0.99]);
});

Deno.test("the SLO pipeline refuses sheddable requests that would miss everywhere, and no others", () => {
  const late = [busy(900, 90), busy(800, 10)];
  equal(run(slo, late, { slo: both, priority: -1 }).refused, 1);
  equal(run(slo, late, { slo: both }).refused, 0);
  equal(run(slo, late, { priority: -1 }).refused, 0);
  equal(run(slo, [...late, busy(900, 90, { running: 0, requests: 0 })], { slo: both, priority: -1 }).refused, 0);
});

Deno.test("the routing pipeline takes who is predicted to be fastest, warm ones first, without any target", () => {
  // Scores 1, 0.01 and 0.29 of 1.3.
  const pool = [busy(200, 0), busy(450, 0), busy(380, 0)];
  const { shares } = run(routing, pool, {});
  nearly(shares, [0.77, 0.01, 0.22]);
  nearly(run(routing, [...pool, busy(4000, 0, { matched: 8 })], { totalBlocks: 10 }).shares, [0, 0, 0, 1]);
});

Deno.test("both pipelines go by load and prefix while nothing is predicted", () => {
  const pool = [{ kv: 0.9, waiting: 9, running: 9 }, { kv: 0.1, running: 1 }];
  for (const text of [slo, routing]) {
    // Scores (0.1 + 0 + 0)/3 and (0.9 + 1 + 0)/3.
    const { shares, refused } = run(text, pool, { slo: both, priority: -1 });
    nearly(shares, [0.05, 0.95]);
    equal(refused, 0);
  }
});

Deno.test("a profile may name its producer and its admitter, which work for every profile", () => {
  const { plan, warnings } = importEndpointPickerConfig(wellKnown, "epp.yaml");
  deepStrictEqual(plan.profiles[0].filters, ["strict-affinity-filter", "slo-headroom-tier-filter"]);
  deepStrictEqual(plan.profiles[0].scorers.map(({ plugin }) => plugin), ["latency-scorer"]);
  deepStrictEqual(warnings.map((warning) => warning.replace(/^\S+ /, "")), [
    'plugin "queue-scorer" is used by no profile',
    'plugin "kv-cache-utilization-scorer" is used by no profile',
    'plugin "prefix-cache-scorer" is used by no profile',
  ]);
  equal(run(wellKnown, [busy(900, 90)], { slo: both, priority: -1 }).refused, 1);
});
