import { deepStrictEqual, throws } from "node:assert/strict";
import { ConfigError } from "../../core/mod.ts";
import type { PluginEntry } from "../plugin_set.ts";
import { keptBy, type TestEndpoint, testPlugin, testPool, type TestRequest } from "../testing.ts";

interface Case {
  readonly name: string;
  readonly type: string;
  readonly params?: unknown;
  readonly request?: TestRequest;
  readonly endpoints: readonly TestEndpoint[];
  /** Plugins it may refer to. */
  readonly others?: readonly PluginEntry[];
  readonly kept: readonly number[];
}

const role = (value: string) => ({ labels: { "llm-d.ai/role": value } });
const roles = [
  "decode",
  "prefill",
  "encode",
  "prefill-decode",
  "encode-prefill",
  "both",
  "encode-prefill-decode",
  "other",
]
  .map(role);
const gpu = (value: string) => ({ labels: { gpu: value } });
const watts = (value: number) => ({ attributes: new Map([["watts", value]]) });
const threshold = (operator: string, value: number) => ({ type: "threshold", threshold: { operator, value } });
const zone = (value: string) => ({ labels: { "topology.kubernetes.io/zone": value } });
const range = (value: string) => ({ labels: { "llm-d.ai/context-length-range": value } });
const utilization = (metric: string, maxValue: number) => ({ conditions: [{ metric, maxValue }] });

/** Verdicts worked out by hand from the rule at the head of each plugin's file. */
const cases: readonly Case[] = [
  {
    name: "wants every label of matchLabels",
    type: "label-selector-filter",
    params: { matchLabels: { gpu: "h100", tier: "gold" } },
    endpoints: [{ labels: { gpu: "h100", tier: "gold" } }, gpu("h100"), {}],
    kept: [0],
  },
  {
    name: "knows In, NotIn, Exists and DoesNotExist",
    type: "label-selector-filter",
    params: {
      matchExpressions: [
        { key: "gpu", operator: "In", values: ["h100", "h200"] },
        { key: "tier", operator: "NotIn", values: ["iron"] },
        { key: "gpu", operator: "Exists" },
        { key: "cordoned", operator: "DoesNotExist" },
      ],
    },
    endpoints: [
      gpu("h100"),
      gpu("l4"),
      { labels: { gpu: "h200", tier: "iron" } },
      { labels: { gpu: "h200", tier: "gold" } },
      { labels: { gpu: "h200", cordoned: "" } },
      {},
    ],
    kept: [0, 3],
  },
  { name: "keeps all when empty", type: "label-selector-filter", endpoints: [{}, gpu("l4")], kept: [0, 1] },
  {
    name: "is the selector under its old name",
    type: "by-label-selector",
    params: { matchLabels: { gpu: "h100" } },
    endpoints: [gpu("h100"), gpu("l4")],
    kept: [0],
  },
  {
    name: "drops unlabelled endpoints unless allowed",
    type: "by-label",
    params: { label: "gpu", validValues: ["h100", "h200"] },
    endpoints: [gpu("h100"), gpu("l4"), {}],
    kept: [0],
  },
  {
    name: "keeps unlabelled endpoints when allowed",
    type: "by-label",
    params: { label: "gpu", validValues: ["h100"], allowsNoLabel: true },
    endpoints: [gpu("h100"), gpu("l4"), {}],
    kept: [0, 2],
  },
  { name: "keeps its roles and no role", type: "decode-filter", endpoints: [...roles, {}], kept: [0, 3, 5, 6, 8] },
  { name: "keeps its roles", type: "prefill-filter", endpoints: [...roles, {}], kept: [1, 3, 4, 5, 6] },
  { name: "keeps its roles", type: "encode-filter", endpoints: [...roles, {}], kept: [2, 4, 6] },
  {
    name: "keeps what compares and what is missing",
    type: "endpoint-attribute-filter",
    params: { attribute: "watts", algorithm: threshold("LessThan", 300) },
    endpoints: [watts(299), watts(300), {}],
    kept: [0, 2],
  },
  {
    name: "drops what is missing or stale when told",
    type: "endpoint-attribute-filter",
    params: { attribute: "watts", onMissing: "Fail", algorithm: threshold("GreaterThanOrEqual", 300) },
    endpoints: [watts(299), watts(300), {}, { ...watts(400), ageMs: null }],
    kept: [1],
  },
  {
    name: "may leave none",
    type: "endpoint-attribute-filter",
    params: { attribute: "watts", algorithm: threshold("Equal", 1) },
    endpoints: [watts(2), watts(3)],
    kept: [],
  },
  {
    name: "keeps all rather than none when told",
    type: "endpoint-attribute-filter",
    params: { attribute: "watts", fallbackOnEmpty: true, algorithm: threshold("Equal", 1) },
    endpoints: [watts(2), watts(3)],
    kept: [0, 1],
  },
  {
    name: "compares queues, bound included",
    type: "utilization-filter",
    params: utilization("waiting-queue", 3),
    endpoints: [{ waiting: 3 }, { waiting: 4 }],
    kept: [0],
  },
  {
    name: "compares running requests",
    type: "utilization-filter",
    params: utilization("running-requests", 3),
    endpoints: [{ running: 3 }, { running: 0, requests: 4 }],
    kept: [0],
  },
  {
    name: "compares our own requests",
    type: "utilization-filter",
    params: utilization("active-requests", 3),
    endpoints: [{ running: 9, requests: 3 }, { requests: 4 }],
    kept: [0],
  },
  {
    name: "does not take an unseen endpoint for empty",
    type: "utilization-filter",
    params: utilization("kv-cache-utilization", 0.5),
    endpoints: [{ kv: 0.5 }, { kv: 0.9 }, { ageMs: null }],
    kept: [0],
  },
  {
    name: "wants every condition and may leave none",
    type: "utilization-filter",
    params: {
      conditions: [...utilization("waiting-queue", 3).conditions, ...utilization("running-requests", 3).conditions],
    },
    endpoints: [{ waiting: 0, running: 4 }, { waiting: 4, running: 0 }],
    kept: [],
  },
  {
    name: "keeps all rather than none when told",
    type: "utilization-filter",
    params: { ...utilization("waiting-queue", 3), fallbackOnEmpty: true },
    endpoints: [{ waiting: 5 }, { waiting: 4 }],
    kept: [0, 1],
  },
  {
    name: "keeps those below both thresholds",
    type: "utilization-detector",
    endpoints: [{ waiting: 4, kv: 0.79 }, { waiting: 5, kv: 0 }, { waiting: 0, kv: 0.8 }],
    kept: [0],
  },
  {
    name: "adds its headroom",
    type: "utilization-detector",
    params: { headroom: 0.2 },
    endpoints: [{ waiting: 5, kv: 0.9 }, { waiting: 6, kv: 0 }, { waiting: 0, kv: 0.97 }],
    kept: [0],
  },
  {
    name: "keeps all rather than none",
    type: "utilization-detector",
    endpoints: [{ waiting: 9 }, { kv: 1 }],
    kept: [0, 1],
  },
  {
    name: "drops old samples of endpoints in use, not of idle ones",
    type: "utilization-detector",
    endpoints: [{ ageMs: 200 }, { ageMs: 201, requests: 1 }, { ageMs: 2000 }, { ageMs: 11_000 }, { ageMs: null }],
    kept: [0, 2],
  },
  {
    name: "takes a staleness threshold",
    type: "utilization-detector",
    params: { metricsStalenessThreshold: "1.5s" },
    endpoints: [{ ageMs: 1500, requests: 1 }, { ageMs: 1501, requests: 1 }],
    kept: [0],
  },
  {
    name: "limits requests",
    type: "concurrency-detector",
    endpoints: [{ requests: 99, prefillTokens: 9_000_000 }, { requests: 100 }],
    kept: [0],
  },
  {
    name: "limits tokens, headroom added",
    type: "concurrency-detector",
    params: { concurrencyMode: "tokens", maxTokenConcurrency: 1000, headroom: 0.5 },
    endpoints: [{ requests: 1000, prefillTokens: 1499 }, { prefillTokens: 1500 }],
    kept: [0],
  },
  {
    name: "limits both and may leave none",
    type: "concurrency-detector",
    params: { concurrencyMode: "hybrid", maxConcurrency: 2, maxTokenConcurrency: 1000 },
    endpoints: [{ requests: 2 }, { prefillTokens: 1000 }],
    kept: [],
  },
  {
    name: "keeps the sticky endpoints",
    type: "prefix-cache-affinity-filter",
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 8 }, { matched: 7 }, { matched: 10, prefillTokens: 200_000 }],
    kept: [0, 2],
  },
  {
    name: "keeps all without a sticky endpoint",
    type: "prefix-cache-affinity-filter",
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 7 }, {}],
    kept: [0, 1],
  },
  {
    name: "counts blocks by the weight of their tier when the producer is exact",
    type: "prefix-cache-affinity-filter",
    request: { totalBlocks: 10 },
    others: [{
      type: "precise-prefix-cache-producer",
      parameters: { indexerConfig: { kvCacheBackendConfigs: [{ name: "disk", weight: 0.5 }] } },
    }],
    endpoints: [{ matched: 9, tiers: [9, 0, 0, 0] }, { matched: 9, tiers: [6, 0, 3, 0] }],
    kept: [0],
  },
  {
    // 10,000 tokens at 1,000 tok/s are 10 s ahead of the other.
    name: "sticks up to the TTFT penalty",
    type: "prefix-cache-affinity-filter",
    params: { peakPrefillThroughput: 1000, maxTTFTPenaltyMs: 10_000 },
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 10, prefillTokens: 10_000 }, {}],
    kept: [0],
  },
  {
    name: "lets go beyond the TTFT penalty",
    type: "prefix-cache-affinity-filter",
    params: { peakPrefillThroughput: 1000, maxTTFTPenaltyMs: 9999 },
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 10, prefillTokens: 10_000 }, {}],
    kept: [0, 1],
  },
  {
    name: "sticks always with a penalty of 0",
    type: "prefix-cache-affinity-filter",
    params: { maxTTFTPenaltyMs: 0 },
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 10, prefillTokens: 2_000_000_000 }, {}],
    kept: [0],
  },
  {
    name: "explores when told",
    type: "prefix-cache-affinity-filter",
    params: { explorationProbability: 1 },
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 10 }, {}],
    kept: [0, 1],
  },
  {
    name: "keeps those close enough to the peer",
    type: "topology-affinity-filter",
    params: { minAffinity: "zone" },
    request: { peer: 0 },
    endpoints: [zone("a"), zone("b"), zone("a"), {}],
    kept: [0, 2],
  },
  {
    name: "keeps all when nobody is that close",
    type: "topology-affinity-filter",
    request: { peer: 0 },
    endpoints: [zone("a"), zone("a")],
    kept: [0, 1],
  },
  {
    name: "keeps all without a peer",
    type: "topology-affinity-filter",
    params: { minAffinity: "zone" },
    endpoints: [zone("a"), zone("b")],
    kept: [0, 1],
  },
  {
    name: "keeps the named endpoints",
    type: "header-based-testing-filter",
    request: { headers: { "test-epp-endpoint-selection": "10.0.0.2, 10.0.0.3:8000,10.0.0.1:9" } },
    endpoints: [{}, {}, {}, {}],
    kept: [1, 2],
  },
  {
    name: "keeps none when nobody is named",
    type: "header-based-testing-filter",
    request: { headers: { "test-epp-endpoint-selection": "10.9.9.9" } },
    endpoints: [{}],
    kept: [],
  },
  { name: "keeps all without the header", type: "header-based-testing-filter", endpoints: [{}, {}], kept: [0, 1] },
  {
    name: "filters only when told",
    type: "context-length-aware",
    endpoints: [range("0-10"), range("0-2000")],
    kept: [0, 1],
  },
  {
    name: "keeps ranges that hold the prompt, and no range",
    type: "context-length-aware",
    params: { enableFiltering: true },
    request: { promptTokens: 1000 },
    endpoints: [range("0-999"), range("1000-1000"), range("1001-5000"), range("x"), {}],
    kept: [1, 4],
  },
];

for (const { name, type, params, request, endpoints, others, kept } of cases) {
  Deno.test(`${type} ${name}`, () => {
    const pool = testPool(endpoints);
    deepStrictEqual(keptBy(testPlugin(type, params, pool, others), pool, request), kept);
  });
}

Deno.test("label filters follow labels that change", () => {
  const pool = testPool([gpu("h100"), gpu("l4")]);
  const plugin = testPlugin("label-selector-filter", { matchLabels: { gpu: "h100" } }, pool);
  deepStrictEqual(keptBy(plugin, pool), [0]);
  pool.table.replaceMeta(1, { ...pool.table.meta(1), labels: { gpu: "h100" } });
  deepStrictEqual(keptBy(plugin, pool), [0, 1]);
});

Deno.test("filters refuse parameters that contradict themselves", () => {
  const pool = testPool([{}]);
  const bad: [string, unknown, string][] = [
    ["label-selector-filter", { matchExpressions: [{ key: "a", operator: "In" }] }, ".matchExpressions[0].values"],
    [
      "label-selector-filter",
      { matchExpressions: [{ key: "a", operator: "Exists", values: ["b"] }] },
      ".matchExpressions[0].values",
    ],
    ["by-label", { label: "gpu" }, ".validValues"],
    ["utilization-filter", { conditions: [] }, ".conditions"],
    ["utilization-filter", { conditions: [{ metric: "load", maxValue: 1 }] }, ".conditions[0].metric"],
    ["utilization-detector", { metricsStalenessThreshold: "soon" }, ".metricsStalenessThreshold"],
    ["prefix-cache-affinity-filter", { ttftSource: "guess" }, ".ttftSource"],
    ["concurrency-detector", { inFlightLoadProducerName: "mine" }, ".inFlightLoadProducerName"],
    ["endpoint-attribute-filter", { attribute: "a/b", algorithm: threshold("Equal", 1) }, ".attribute"],
  ];
  for (const [type, params, key] of bad) {
    throws(
      () => testPlugin(type, params, pool),
      (error) => error instanceof ConfigError && error.key === `plugins[0].parameters${key}`,
      `${type} ${JSON.stringify(params)}`,
    );
  }
});
