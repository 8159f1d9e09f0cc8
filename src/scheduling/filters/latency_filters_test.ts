import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { ConfigError } from "../../core/mod.ts";
import {
  keptBy,
  testContext,
  type TestEndpoint,
  testPlugin,
  testPool,
  type TestPrediction,
  type TestRequest,
} from "../testing.ts";
import { isFilter } from "../types.ts";

const tier = "slo-headroom-tier-filter";
const affinity = "prefix-cache-affinity-filter";
const predicted = (ttftMs: number, tpotMs = 0): { predicted: TestPrediction } => ({ predicted: { ttftMs, tpotMs } });
const both = { ttftMs: 500, tpotMs: 50 };
const byPrediction = { ttftSource: "latencyPredictor", maxTTFTPenaltyMs: 5000 };

interface Case {
  readonly name: string;
  readonly type: string;
  readonly params?: unknown;
  readonly request?: TestRequest;
  readonly endpoints: readonly TestEndpoint[];
  readonly kept: readonly number[];
}

const never = { epsilonExploreNeg: 0 }, always = { epsilonExploreNeg: 1 };

const cases: readonly Case[] = [
  {
    name: "keeps those that meet both targets, just so included",
    type: tier,
    params: never,
    request: { slo: both },
    endpoints: [predicted(600, 10), predicted(500, 50), predicted(100, 51), predicted(100, 10)],
    kept: [1, 3],
  },
  {
    name: "keeps the others when it explores",
    type: tier,
    params: always,
    request: { slo: both },
    endpoints: [predicted(600, 10), predicted(500, 50), predicted(100, 51), {}],
    kept: [0, 2, 3],
  },
  {
    name: "keeps all when nobody meets the targets, also when it explores",
    type: tier,
    params: always,
    request: { slo: both },
    endpoints: [predicted(600), predicted(700), {}],
    kept: [0, 1, 2],
  },
  {
    name: "keeps all when everybody meets the targets, also when it explores",
    type: tier,
    params: always,
    request: { slo: both },
    endpoints: [predicted(100), predicted(200)],
    kept: [0, 1],
  },
  {
    name: "cannot tell that an endpoint without a prediction meets them",
    type: tier,
    params: never,
    request: { slo: both },
    endpoints: [{}, predicted(100), {}],
    kept: [1],
  },
  {
    name: "keeps all while nothing is predicted",
    type: tier,
    request: { slo: both },
    endpoints: [{}, {}],
    kept: [0, 1],
  },
  {
    name: "lets requests without a target pass by",
    type: tier,
    params: never,
    endpoints: [predicted(600, 90), predicted(1, 1), {}],
    kept: [0, 1, 2],
  },
  {
    name: "asks for nothing but the TTFT when that alone has a target",
    type: tier,
    params: never,
    request: { slo: { ttftMs: 500 } },
    endpoints: [predicted(100, 9000), predicted(600, 1)],
    kept: [0],
  },
  {
    name: "asks for nothing but the TPOT when that alone has a target",
    type: tier,
    params: never,
    request: { slo: { tpotMs: 50 } },
    endpoints: [predicted(100, 9000), predicted(6000, 1)],
    kept: [1],
  },
  {
    name: "sticks while the predicted TTFT is within the penalty, our tokens in flight counting for nothing",
    type: affinity,
    params: byPrediction,
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 9, prefillTokens: 9_000_000, ...predicted(5100) }, predicted(100)],
    kept: [0],
  },
  {
    name: "lets go beyond it",
    type: affinity,
    params: byPrediction,
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 9, ...predicted(5101) }, predicted(100)],
    kept: [0, 1],
  },
  {
    name: "compares the best of each side",
    type: affinity,
    params: byPrediction,
    request: { totalBlocks: 10 },
    endpoints: [
      { matched: 9, ...predicted(90_000) },
      { matched: 8, ...predicted(4000) },
      predicted(100),
      { matched: 9 },
    ],
    kept: [0, 1, 3],
  },
  {
    name: "lets go of endpoints none of which has a prediction where others have",
    type: affinity,
    params: byPrediction,
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 9 }, predicted(100)],
    kept: [0, 1],
  },
  {
    name: "sticks where the others have no prediction",
    type: affinity,
    params: byPrediction,
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 9, ...predicted(90_000) }, {}],
    kept: [0],
  },
  {
    name: "sticks while nothing is predicted",
    type: affinity,
    params: byPrediction,
    request: { totalBlocks: 10 },
    endpoints: [{ matched: 9, prefillTokens: 9_000_000 }, {}],
    kept: [0],
  },
];

for (const { name, type, params, request, endpoints, kept } of cases) {
  Deno.test(`${type} ${name}`, () => {
    const pool = testPool(endpoints);
    deepStrictEqual(keptBy(testPlugin(type, params, pool), pool, request), kept);
  });
}

Deno.test(`${tier} explores one time in a hundred, and draws nothing where there is nothing to choose`, () => {
  const pool = testPool([predicted(600), predicted(100)]);
  const plugin = testPlugin(tier, {}, pool);
  ok(isFilter(plugin) && plugin.transient);
  const ctx = testContext(pool, { slo: both });
  let explored = 0;
  for (let i = 0; i < 20_000; i++) {
    const slots = pool.slots.slice();
    equal(plugin.keep(ctx, slots, pool.n), 1);
    if (slots[0] === 0) explored++;
  }
  // 200 expected, standard deviation 14.
  ok(explored > 130 && explored < 270, `${explored}`);
  const alike = testPool([predicted(100), predicted(200)]);
  const [quiet, other] = [testContext(alike, { slo: both }), testContext(alike, { slo: both })];
  plugin.keep(quiet, alike.slots, alike.n);
  equal(quiet.rng.u32(), other.rng.u32());
});

Deno.test("filters by latency refuse parameters that cannot be", () => {
  const pool = testPool([{}]);
  const producer = { latencyPredictionInfoProducerName: "mine" };
  for (const [type, params] of [[tier, { epsilonExploreNeg: 1.5 }], [tier, producer], [affinity, producer]] as const) {
    throws(
      () => testPlugin(type, params, pool),
      (error) => error instanceof ConfigError && error.key === `plugins[0].parameters.${Object.keys(params)[0]}`,
    );
  }
  const named = [{ type: "predicted-latency-producer", name: "mine" }];
  ok(testPlugin(tier, producer, pool, named).needsLatency);
  ok(testPlugin(affinity, { ...byPrediction, ...producer }, pool, named).needsLatency);
  ok(!testPlugin(affinity, {}, pool).needsLatency);
});
