import { deepStrictEqual, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { ConfigError } from "../../core/mod.ts";
import {
  near,
  scoresOf,
  type TestEndpoint,
  testPlugin,
  testPool,
  type TestPrediction,
  type TestRequest,
} from "../testing.ts";

const predicted = (ttftMs: number, tpotMs = 0, requests = 1): TestEndpoint => ({
  requests,
  predicted: { ttftMs, tpotMs },
});

interface Case {
  readonly name: string;
  readonly params?: unknown;
  readonly slo?: TestRequest["slo"];
  readonly request?: TestRequest;
  readonly endpoints: readonly TestEndpoint[];
  readonly scores: readonly number[];
}

const both = { ttftMs: 500, tpotMs: 50 };
const three = [predicted(200, 30), predicted(450, 45), predicted(380, 20)];
const most = { headroomSelectionStrategy: "most" };

/** Worked out by hand from the formula at the head of the plugin's file; the first three are llm-d's own figures. */
const latencyCases: readonly Case[] = [
  { name: "prefers least headroom, at most 1", slo: both, endpoints: three, scores: [0.08, 1, 0.58] },
  { name: "prefers most headroom when told", params: most, slo: both, endpoints: three, scores: [0.93, 0.01, 0.43] },
  {
    name: "prefers the lowest prediction without a target, one dimension alone telling them apart",
    endpoints: [predicted(200), predicted(450), predicted(380)],
    scores: [1, 0.01, 0.29],
  },
  {
    name: "prefers the lowest prediction without a target under any strategy",
    params: most,
    endpoints: [predicted(200, 10), predicted(450, 60), predicted(325, 35)],
    scores: [1, 0.01, 0.51],
  },
  {
    // As if idle, 0 would be first of those that miss a target.
    name: "takes an absent target for none, not for one of 0 ms",
    endpoints: [predicted(400, 0, 0), predicted(200, 0, 3)],
    scores: [0.01, 1],
  },
  {
    name: "lets an absent TPOT target count for nothing beside a TTFT target",
    slo: { ttftMs: 500 },
    endpoints: [predicted(100, 900), predicted(400, 10), predicted(600, 5)],
    scores: [0.01, 1, 0],
  },
  {
    name: "lets an absent TTFT target count for nothing beside a TPOT target",
    slo: { tpotMs: 50 },
    endpoints: [predicted(9000, 40), predicted(10, 20), predicted(5, 60)],
    scores: [1, 0.01, 0],
  },
  {
    name: "goes by its own dimension where the target is another's",
    params: { ttftWeight: 0, tpotWeight: 1, ...most },
    slo: { ttftMs: 500 },
    endpoints: [predicted(100, 20), predicted(400, 60), predicted(300, 40)],
    scores: [1, 0.01, 0.51],
  },
  {
    name: "gives 0 to those that miss a target while others miss none",
    slo: both,
    endpoints: [predicted(600, 10, 0), predicted(100, 60), predicted(300, 30)],
    scores: [0, 0, 0.51],
  },
  {
    name: "goes to those without our requests first when all miss a target",
    slo: both,
    endpoints: [predicted(510, 10, 2), predicted(900, 90, 0), predicted(700, 70, 0)],
    scores: [0, 0.01, 1],
  },
  {
    name: "takes a missed TPOT for the lesser evil",
    slo: both,
    endpoints: [predicted(510, 10), predicted(100, 90), predicted(700, 70)],
    scores: [0, 0.51, 0],
  },
  {
    name: "takes a missed TTFT for less than both, and the least deficit whatever the strategy",
    params: most,
    slo: both,
    endpoints: [predicted(700, 10), predicted(510, 10), predicted(501, 51)],
    scores: [0.01, 1, 0],
  },
  {
    name: "counts an endpoint without a prediction as headroom 0",
    slo: both,
    endpoints: [{ requests: 5 }, predicted(300, 50), predicted(600, 10)],
    scores: [1, 0.01, 0],
  },
  {
    name: "rates equals in the middle",
    slo: both,
    endpoints: [predicted(9, 9), predicted(9, 9)],
    scores: [0.51, 0.51],
  },
  {
    name: "takes TTFT alone when both weights are 0",
    params: { ttftWeight: 0, tpotWeight: 0 },
    slo: both,
    endpoints: [predicted(100, 40), predicted(300, 10)],
    scores: [0.01, 1],
  },
  {
    // (0.5 + 0 + 0.25)/3, (0 + 1 + 0)/3, (0.9 + 0.6 + 1)/3
    name: "goes by load and prefix while nothing is predicted",
    request: { totalBlocks: 8 },
    endpoints: [{ kv: 0.5, waiting: 10, matched: 2 }, { kv: 1 }, { kv: 0.1, waiting: 4, matched: 8 }],
    scores: [0.25, 0.33, 0.83],
  },
  {
    name: "weighs load and prefix as told, no queue anywhere being the best queue",
    params: { compositeKVWeight: 2, compositeQueueWeight: 1, compositePrefixWeight: 0 },
    endpoints: [{ kv: 0.5 }, { kv: 1 }],
    scores: [0.67, 0.33],
  },
  {
    name: "goes by KV usage when load and prefix weigh nothing",
    params: { compositeKVWeight: 0, compositeQueueWeight: 0, compositePrefixWeight: 0 },
    endpoints: [{ kv: 0.5, waiting: 3 }, { kv: 0.25 }],
    scores: [0.5, 0.75],
  },
];

for (const { name, params, slo, request, endpoints, scores } of latencyCases) {
  Deno.test(`latency-scorer ${name}`, () => {
    const pool = testPool(endpoints);
    near(scoresOf(testPlugin("latency-scorer", params, pool), pool, { ...request, ...(slo && { slo }) }), scores);
  });
}

/** Half of the whole time counts, as all of it is after the first token. */
const cost = (e2eMs: number, harmMs = 0, rest: TestPrediction = {}): TestEndpoint => ({
  predicted: { e2eMs, harmMs, ...rest },
});

/** Worked out by hand from the formula at the head of the plugin's file. */
const leastCases: readonly Case[] = [
  {
    // 400 + 600/2 + 500, 100 + 1000/2, 2400.
    name: "goes by the least cost over the endpoint's, what others lose included",
    endpoints: [cost(1000, 500, { ttftMs: 400 }), cost(1100, 0, { ttftMs: 100 }), cost(2400, 1200)],
    scores: [0.75, 1, 0.625],
  },
  {
    // 1000 and 500; were it half, 600 and 450.
    name: "counts as much of the time after the first token as told",
    params: { outputShare: 1 },
    endpoints: [cost(1000, 0, { ttftMs: 200 }), cost(500, 0, { ttftMs: 400 })],
    scores: [0.75, 1],
  },
  { name: "takes a millisecond for the least cost", endpoints: [cost(0), cost(0.5), cost(8)], scores: [1, 1, 0.625] },
  {
    name: "prefers where targets are met to any cost, and tells more from less of the others",
    slo: both,
    endpoints: [cost(100, 0, { meets: 0.89 }), cost(9000, 0, { meets: 0.9 }), cost(100, 0, { meets: 0.7 })],
    scores: [0.5 / 1.01, 1, 0.5 / 1.2],
  },
  {
    name: "takes the cheaper of two that meet the targets, however surely",
    slo: both,
    endpoints: [cost(400, 0, { meets: 1 }), cost(200, 0, { meets: 0.9 })],
    scores: [0.75, 1],
  },
  {
    name: "asks for the probability that is told",
    params: { meetsProbability: 0.5 },
    slo: both,
    endpoints: [cost(400, 0, { meets: 0.9 }), cost(200, 0, { meets: 0.5 })],
    scores: [0.75, 1],
  },
  {
    // Values 0.8 − 1.9 and 0.5 − 0.1.
    name: "goes where least is lost when targets are met nowhere, others' included, without a bound",
    slo: both,
    endpoints: [cost(100, 0, { meets: 0.8, harmMisses: 1.9 }), cost(200, 0, { meets: 0.5, harmMisses: 0.1 })],
    scores: [0.2, 0.5],
  },
  {
    name: "spares those that would miss a target when the request has none",
    endpoints: [cost(100, 0, { likelyMisses: 1, harmMisses: 1 }), cost(1000)],
    scores: [0.25, 1],
  },
  {
    name: "minds no one as long as none is expected to miss",
    endpoints: [cost(100, 0, { likelyMisses: 0.99, harmMisses: 0.9 }), cost(200)],
    scores: [1, 0.75],
  },
  {
    name: "takes the mean cost for an endpoint without a prediction, where targets are taken to be met",
    slo: both,
    endpoints: [cost(200), {}, cost(400, 0, { meets: 0.5 })],
    scores: [1, (1 + 100 / 150) / 2, 0.5 / 1.5],
  },
];

for (const { name, params, slo, endpoints, scores } of leastCases) {
  Deno.test(`least-latency-scorer ${name}`, () => {
    const pool = testPool(endpoints);
    near(scoresOf(testPlugin("least-latency-scorer", params, pool), pool, slo && { slo }), scores);
  });
}

Deno.test("least-latency-scorer is token-work-scorer while nothing is predicted", () => {
  const pool = testPool([{}, { prefillTokens: 5000, matched: 8 }, { running: 9, waiting: 2 }]);
  const request = { promptTokens: 900, totalBlocks: 10, blockTokens: 90, slo: both };
  const scores = scoresOf(testPlugin("least-latency-scorer", {}, pool), pool, request);
  deepStrictEqual(scores, scoresOf(testPlugin("token-work-scorer", {}, pool), pool, request));
  ok(new Set(scores).size === 3);
});

const refusing = (key: string) => (error: unknown) =>
  error instanceof ConfigError && error.key === `plugins[0].parameters.${key}`;

Deno.test("scorers by latency refuse parameters that cannot be", () => {
  const pool = testPool([{}]);
  const bad: readonly [unknown, string][] = [
    [{ ttftWeight: -1 }, "ttftWeight"],
    [{ headroomSelectionStrategy: "composite-only" }, "headroomSelectionStrategy"],
    [{ latencyPredictionInfoProducerName: "mine" }, "latencyPredictionInfoProducerName"],
    [{ prefixMatchInfoProducerName: "mine" }, "prefixMatchInfoProducerName"],
  ];
  for (const [params, key] of bad) throws(() => testPlugin("latency-scorer", params, pool), refusing(key), key);
  for (const key of ["outputShare", "meetsProbability"]) {
    for (const value of [-0.1, 1.1]) {
      throws(() => testPlugin("least-latency-scorer", { [key]: value }, pool), refusing(key), key);
    }
  }
});

const time = fc.double({ min: 0, max: 1e6, noNaN: true });
const share = fc.double({ min: 0, max: 1, noNaN: true });
const endpoints = fc.array(
  fc.record({
    requests: fc.nat(3),
    predicted: fc.option(
      fc.record({ ttftMs: time, tpotMs: time, meets: share, e2eMs: time, harmMs: time, harmMisses: time }),
      { nil: undefined },
    ),
  }),
  { minLength: 1, maxLength: 8 },
);
const slos = fc.record({ ttftMs: time.map((ms) => ms + 1), tpotMs: time.map((ms) => ms + 1) }, { requiredKeys: [] });

Deno.test("property: scores by latency lie in [0, 1], and someone scores", () => {
  fc.assert(
    fc.property(endpoints, slos, fc.constantFrom("least", "most"), (endpoints, slo, strategy) => {
      const pool = testPool(endpoints);
      for (const type of ["latency-scorer", "least-latency-scorer"]) {
        const params = type === "latency-scorer" ? { headroomSelectionStrategy: strategy } : {};
        const scores = scoresOf(testPlugin(type, params, pool), pool, { slo });
        ok(scores.every((score) => score >= 0 && score <= 1), `${type}: ${scores}`);
        ok(scores.some((score) => score > 0), `${type}: ${scores}`);
      }
    }),
    { numRuns: 300, seed: 42 },
  );
});

Deno.test("property: least-latency-scorer prefers what is no worse in anything and better in something", () => {
  fc.assert(
    fc.property(endpoints, slos, time, (endpoints, slo, extra) => {
      const [{ predicted = { e2eMs: 10, harmMs: 10, meets: 0.5, harmMisses: 0 } }] = endpoints;
      const worse = {
        ...predicted,
        e2eMs: predicted.e2eMs! + extra + 10,
        meets: predicted.meets! / 2,
        harmMisses: predicted.harmMisses! + 1,
      };
      const pool = testPool([{ predicted }, { predicted: worse }, ...endpoints]);
      const [first, second] = scoresOf(testPlugin("least-latency-scorer", {}, pool), pool, { slo });
      ok(first > second, `${first} against ${second}`);
    }),
    { numRuns: 300, seed: 42 },
  );
});
