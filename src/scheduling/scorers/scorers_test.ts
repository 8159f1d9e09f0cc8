import { deepStrictEqual, ok, throws } from "node:assert/strict";
import { ConfigError } from "../../core/mod.ts";
import { builtIn } from "../definition.ts";
import { type PluginEntry, PluginSet } from "../plugin_set.ts";
import { near, scoresOf, testContext, type TestEndpoint, testPlugin, testPool, type TestRequest } from "../testing.ts";

interface Case {
  readonly name: string;
  readonly type: string;
  readonly params?: unknown;
  readonly request?: TestRequest;
  readonly endpoints: readonly TestEndpoint[];
  /** Plugins it may refer to. */
  readonly others?: readonly PluginEntry[];
  readonly scores: readonly number[];
}

const adapters = (running: string[], waiting: string[], max: number) => ({
  adapters: { running: new Set(running), waiting: new Set(waiting), max },
});
const range = (value: string) => ({ labels: { "llm-d.ai/context-length-range": value } });
const watts = (value: number) => ({ attributes: new Map([["watts", value]]) });
const place = (hostname: string, rack: string, zone: string, region: string) => ({
  labels: {
    "kubernetes.io/hostname": hostname,
    "topology.kubernetes.io/rack": rack,
    "topology.kubernetes.io/zone": zone,
    "topology.kubernetes.io/region": region,
  },
});

const exactProducer = (weights: Readonly<Record<string, number>>): PluginEntry => ({
  type: "precise-prefix-cache-producer",
  parameters: {
    indexerConfig: { kvCacheBackendConfigs: Object.entries(weights).map(([name, weight]) => ({ name, weight })) },
  },
});

/** Scores worked out by hand from the formula at the head of each plugin's file. */
const cases: readonly Case[] = [
  {
    name: "spreads queues between the longest and the shortest",
    type: "queue-scorer",
    endpoints: [{ waiting: 0 }, { waiting: 5 }, { waiting: 20 }],
    scores: [1, 0.75, 0],
  },
  { name: "rates equal queues 1", type: "queue-scorer", endpoints: [{ waiting: 3 }, { waiting: 3 }], scores: [1, 1] },
  {
    name: "takes the mean queue for an endpoint never seen",
    type: "queue-scorer",
    endpoints: [{ waiting: 0 }, { waiting: 10 }, { ageMs: null }],
    scores: [1, 0, 0.5],
  },
  {
    name: "spreads running requests, our own unseen ones included",
    type: "running-requests-size-scorer",
    endpoints: [{ running: 2 }, { running: 4 }, { running: 1, requests: 10 }],
    scores: [1, 0.75, 0],
  },
  {
    name: "rates free KV cache",
    type: "kv-cache-utilization-scorer",
    endpoints: [{ kv: 0 }, { kv: 0.25 }, { kv: 1 }],
    scores: [1, 0.75, 0],
  },
  {
    name: "takes the mean KV usage for a stale endpoint",
    type: "kv-cache-utilization-scorer",
    endpoints: [{ kv: 0.5 }, { kv: 0.25 }, { kv: 0, ageMs: 60_000 }],
    scores: [0.5, 0.75, 0.625],
  },
  {
    name: "prefers running, then room, then waiting adapters",
    type: "lora-affinity-scorer",
    request: { model: "sql" },
    endpoints: [
      adapters(["sql"], [], 1),
      adapters(["chat"], [], 2),
      adapters(["chat"], ["sql"], 2),
      adapters(["chat"], ["law"], 2),
      {},
    ],
    scores: [1, 0.8, 0.6, 0, 0],
  },
  {
    name: "halves with the queue against the threshold",
    type: "load-aware-scorer",
    endpoints: [{ waiting: 0 }, { waiting: 32 }, { waiting: 128 }, { waiting: 500 }],
    scores: [0.5, 0.375, 0, 0],
  },
  {
    name: "takes its threshold",
    type: "load-aware-scorer",
    params: { threshold: 10 },
    endpoints: [{ waiting: 4 }],
    scores: [0.3],
  },
  {
    name: "rates idle 1 and the busiest 0",
    type: "active-request-scorer",
    endpoints: [{ requests: 0 }, { requests: 2 }, { requests: 8 }],
    scores: [1, 0.75, 0],
  },
  {
    name: "caps busy endpoints below idle ones",
    type: "active-request-scorer",
    params: { idleThreshold: 1, maxBusyScore: 0.8 },
    endpoints: [{ requests: 1 }, { requests: 3 }, { requests: 4 }],
    scores: [1, 0.2, 0],
  },
  {
    name: "adds uncached tokens of the request to those in flight",
    type: "token-load-scorer",
    params: { queueThresholdTokens: 2000 },
    request: { promptTokens: 1000, totalBlocks: 10, blockTokens: 100 },
    endpoints: [
      { prefillTokens: 0 },
      { prefillTokens: 300, matched: 8 },
      { prefillTokens: 5000 },
    ],
    scores: [0.5, 0.75, 0],
  },
  {
    name: "rates a request without tokens on an idle endpoint 1",
    type: "token-load-scorer",
    request: { promptTokens: 0 },
    endpoints: [{}, { prefillTokens: 2_097_152 }],
    scores: [1, 0.5],
  },
  {
    name: "is the matched share by default",
    type: "prefix-cache-scorer",
    request: { totalBlocks: 8 },
    endpoints: [{ matched: 0 }, { matched: 2 }, { matched: 8 }],
    scores: [0, 0.25, 1],
  },
  {
    name: "mixes in the squared match length",
    type: "prefix-cache-scorer",
    params: { matchLengthWeight: 0.2 },
    request: { totalBlocks: 160, blockTokens: 64 },
    endpoints: [{ matched: 64 }, { matched: 128 }, { matched: 160 }],
    scores: [0.37, 0.84, 1],
  },
  {
    name: "weighs blocks by their tier when the producer is exact, rounded down, routed ones in full",
    type: "prefix-cache-scorer",
    request: { totalBlocks: 10 },
    others: [exactProducer({ cpu: 0.8, disk: 0.35 })],
    endpoints: [
      { matched: 10, tiers: [10, 0, 0, 0] },
      { matched: 10, tiers: [5, 5, 0, 0] }, // 5 + 4
      { matched: 10, tiers: [2, 0, 4, 0] }, // 2 + 1.4 + 4 routed = 7.4
      { matched: 10, tiers: [0, 0, 0, 10] }, // without a weight: 1
      { matched: 4, tiers: [0, 0, 0, 0] },
    ],
    scores: [1, 0.9, 0.7, 1, 0.4],
  },
  {
    name: "counts blocks alike whatever their tier when the producer is approximate",
    type: "prefix-cache-scorer",
    params: { prefixMatchInfoProducerName: "approx-prefix-cache-producer" },
    request: { totalBlocks: 10 },
    others: [exactProducer({ cpu: 0.1 }), { type: "approx-prefix-cache-producer" }],
    endpoints: [{ matched: 5, tiers: [0, 5, 0, 0] }],
    scores: [0.5],
  },
  {
    name: "is an exact producer with llm-d's weights and its scorer in one",
    type: "precise-prefix-cache-scorer",
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 10, tiers: [0, 10, 0, 0] }, { matched: 5, tiers: [5, 0, 0, 0] }],
    scores: [0.8, 0.5],
  },
  {
    name: "counts tokens a slow tier holds by its weight",
    type: "token-load-scorer",
    params: { queueThresholdTokens: 2000 },
    request: { promptTokens: 1001, totalBlocks: 10, blockTokens: 100 },
    others: [exactProducer({ cpu: 0.5 })],
    endpoints: [{ matched: 10, tiers: [10, 0, 0, 0] }, { matched: 10, tiers: [0, 10, 0, 0] }],
    scores: [1 - 1 / 2000, 1 - 501 / 2000],
  },
  { name: "rates a prompt without blocks 0", type: "prefix-cache-scorer", endpoints: [{ matched: 3 }], scores: [0] },
  {
    name: "rates the range a prompt falls in",
    type: "context-length-aware",
    request: { promptTokens: 4000 },
    endpoints: [
      range("0-10000"),
      range("4000-4000"),
      range("5000-9000"),
      range("0-1000"),
      {},
      range("short"),
      range("9-3"),
    ],
    scores: [0.671, 1, 0.15, 0.075, 0.5, 0, 0],
  },
  {
    name: "rates by attribute between fixed bounds",
    type: "endpoint-attribute-scorer",
    params: {
      attributeKey: "watts",
      algorithm: { type: "linear_lower_is_better", normalization: { fixedRange: { min: 100, max: 500 } } },
    },
    endpoints: [watts(100), watts(200), watts(500), {}, { ...watts(100), ageMs: null }],
    scores: [1, 0.75, 0, 0, 0],
  },
  {
    name: "rates by attribute between those present",
    type: "endpoint-attribute-scorer",
    params: {
      attributeKey: "watts",
      producer: "",
      algorithm: { type: "linear_higher_is_better", normalization: { adaptiveRange: {} } },
    },
    endpoints: [watts(10), watts(20), watts(50), {}],
    scores: [0, 0.25, 1, 0],
  },
  {
    name: "rates equal attributes 1",
    type: "endpoint-attribute-scorer",
    params: {
      attributeKey: "watts",
      algorithm: { type: "linear_higher_is_better", normalization: { adaptiveRange: {} } },
    },
    endpoints: [watts(10), watts(10), {}],
    scores: [1, 1, 0],
  },
  {
    name: "rates a label that equals a header",
    type: "header-label-affinity-scorer",
    params: { headerName: "X-Tier", labelKey: "tier" },
    request: { headers: { "x-tier": "gold" } },
    endpoints: [{ labels: { tier: "gold" } }, { labels: { tier: "iron" } }, {}],
    scores: [1, 0, 0],
  },
  {
    name: "rates nobody without the header",
    type: "header-label-affinity-scorer",
    params: { headerName: "X-Tier", labelKey: "tier" },
    endpoints: [{ labels: { tier: "gold" } }, { labels: { tier: "" } }],
    scores: [0, 0],
  },
  {
    name: "falls with distance to the peer",
    type: "topology-affinity-scorer",
    request: { peer: 0 },
    endpoints: [
      place("a", "r1", "z1", "g1"),
      place("b", "r1", "z1", "g1"),
      place("c", "r2", "z1", "g1"),
      place("d", "r3", "z2", "g1"),
      place("e", "r4", "z3", "g2"),
      {},
    ],
    scores: [1, 0.2, 0.05, 0.02, 0, 0],
  },
  {
    name: "rates nobody without a peer",
    type: "topology-affinity-scorer",
    endpoints: [place("a", "r1", "z1", "g1"), place("a", "r1", "z1", "g1")],
    scores: [0, 0],
  },
  {
    name: "weighs the work ahead with the work the request brings",
    type: "token-work-scorer",
    params: { requestTokens: 100, computeWeight: 2, arrivalTokens: 1000 },
    request: { promptTokens: 900, totalBlocks: 10, blockTokens: 90 },
    endpoints: [
      {}, // 100 + 0 + 900 × (2 + 0.9)
      { prefillTokens: 500, matched: 8, running: 3, waiting: 1 }, // 100 + 900 + 180 × (2 + 1.08)
      { matched: 8, running: 1 }, // 100 + 100 + 180 × (2 + 0.28)
      { matched: 10, running: 99 }, // 100 + 9900 + 1 × (2 + 9.901), the last token is always computed
    ],
    scores: [610.4 / 2710, 610.4 / 1554.4, 1, 610.4 / 10_011.901],
  },
  {
    name: "counts what lies off the GPU by the time to load it, a tier slower than computing as not held",
    type: "token-work-scorer",
    params: { requestTokens: 100, computeWeight: 1, arrivalTokens: 1000, tierLoadShares: { disk: 0.5, shared: 3 } },
    request: { promptTokens: 1900, totalBlocks: 10, blockTokens: 180 },
    endpoints: [
      { matched: 10, tiers: [10, 0, 0, 0] }, // own 100: 100 + 100 × 1.1
      { matched: 10, tiers: [0, 10, 0, 0] }, // own 100 + 0.05 × 1800: 100 + 190 × 1.19
      { matched: 10, tiers: [4, 0, 4, 0] }, // own 100 + 0.5 × 720, two are routed: 100 + 460 × 1.46
      { matched: 10, tiers: [0, 0, 0, 10] }, // own 1900: 100 + 1900 × 2.9
      {},
    ],
    scores: [1, 210 / 326.1, 210 / 771.6, 210 / 5610, 210 / 5610],
  },
  {
    name: "takes what a LIVE feed has not told as stored for the prompt tokens ahead, where that is less",
    type: "token-work-scorer",
    params: { requestTokens: 500 },
    request: { promptTokens: 0 },
    endpoints: [
      { prefillTokens: 5000, pending: 1000 },
      { prefillTokens: 1000, pending: 5000 },
      { prefillTokens: 2000 },
      { prefillTokens: 2000, pending: 0 },
    ],
    scores: [500 / 1500, 500 / 1500, 500 / 2500, 1],
  },
  {
    name: "counts a request as 1024 tokens, computing 12 times and an arrival every 10,000 tokens",
    type: "token-work-scorer",
    request: { promptTokens: 10_000, totalBlocks: 10, blockTokens: 500 },
    endpoints: [
      {}, // 1024 + 10,000 × (12 + 1)
      { matched: 10, running: 4, waiting: 6 }, // 1024 + 10,240 + 5000 × (12 + 1.524)
    ],
    scores: [78_884 / 131_024, 1],
  },
  {
    name: "rates all one half when anyone has a block",
    type: "no-hit-lru-scorer",
    request: { totalBlocks: 4 },
    endpoints: [{ matched: 1 }, {}, {}],
    scores: [0.5, 0.5, 0.5],
  },
  { name: "rates a lone cold endpoint 1", type: "no-hit-lru-scorer", endpoints: [{}], scores: [1] },
];

for (const { name, type, params, request, endpoints, others, scores } of cases) {
  Deno.test(`${type} ${name}`, () => {
    const pool = testPool(endpoints);
    near(scoresOf(testPlugin(type, params, pool, others), pool, request), scores);
  });
}

Deno.test("no-hit-lru-scorer sends cold requests to those used longest ago", () => {
  const pool = testPool([{}, {}, {}, {}]);
  const plugin = testPlugin("no-hit-lru-scorer", {}, pool);
  near(scoresOf(plugin, pool), [1, 2 / 3, 1 / 3, 0]);
  plugin.placed!(testContext(pool), 0);
  near(scoresOf(plugin, pool), [0, 1, 2 / 3, 1 / 3]);
  plugin.placed!(testContext(pool), 1);
  near(scoresOf(plugin, pool), [1 / 3, 0, 1, 2 / 3]);
  pool.matched[2] = 1;
  near(scoresOf(plugin, pool, { totalBlocks: 4 }), [0.5, 0.5, 0.5, 0.5]);
  plugin.placed!(testContext(pool), 2);
  pool.matched[2] = 0;
  near(scoresOf(plugin, pool), [1 / 3, 0, 1, 2 / 3]);
});

Deno.test("no-hit-lru-scorer remembers at most lruSize endpoints", () => {
  const pool = testPool([{}, {}, {}]);
  const plugin = testPlugin("no-hit-lru-scorer", { lruSize: 1 }, pool);
  for (const slot of [0, 1]) {
    scoresOf(plugin, pool);
    plugin.placed!(testContext(pool), slot);
  }
  near(scoresOf(plugin, pool), [1, 0, 0.5]);
});

Deno.test("endpoint-attribute-scorer refuses a qualified attribute without a producer", () => {
  const algorithm = { type: "linear_higher_is_better", normalization: { adaptiveRange: {} } };
  const pool = testPool([{}]);
  throws(
    () => testPlugin("endpoint-attribute-scorer", { attributeKey: "a/b", algorithm }, pool),
    (error) => error instanceof ConfigError && error.key === "plugins[0].parameters.attributeKey",
  );
  ok(testPlugin("endpoint-attribute-scorer", { attributeKey: "a/b", producer: "", algorithm }, pool));
});

Deno.test("token-load-scorer counts prompt and output tokens when the producer adds them", () => {
  const pool = testPool([{ prefillTokens: 100, decodeTokens: 1000 }]);
  const set = new PluginSet(
    [
      { type: "token-load-scorer", parameters: { queueThresholdTokens: 2000 } },
      { type: "inflight-load-producer", parameters: { addEstimatedOutputTokens: true } },
    ],
    builtIn,
    ["plugins"],
  );
  const plugin = set.all()[0].create!({ table: pool.table, seed: 1, sessionKey: new Uint8Array(32) });
  deepStrictEqual(scoresOf(plugin, pool, { promptTokens: 200 }), [0.4]);
});
