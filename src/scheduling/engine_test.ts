import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Prng, Reservation } from "../core/mod.ts";
import { Scheduler } from "./engine.ts";
import { importEndpointPickerConfig } from "./import_config.ts";
import { defaultPlan, llmdDefaultPlan, onePlan, planFromPolicy, policies } from "./plan.ts";
import { registry } from "./registry.ts";
import {
  type TestEndpoint,
  testLatency,
  testMatch,
  testNowMs,
  type TestPool,
  testPool,
  type TestRequest,
  testView,
} from "./testing.ts";
import type { DecisionContext, LatencySource, SchedulingPlan } from "./types.ts";

function scheduler(plan: SchedulingPlan, pool: TestPool, seed = 1): Scheduler {
  const latency = { predict: ({ view }: DecisionContext) => testLatency(pool, view), chosen() {} };
  return new Scheduler(plan, { table: pool.table, seed, sessionKey: new Uint8Array(32), latency });
}

function decide(scheduler: Scheduler, pool: TestPool, request: TestRequest = {}) {
  return scheduler.decide(testView(request), testMatch(pool, request), pool.slots, pool.n, testNowMs);
}

function explain(scheduler: Scheduler, pool: TestPool, request: TestRequest = {}) {
  return scheduler.explain(testView(request), testMatch(pool, request), pool.slots, pool.n, testNowMs);
}

Deno.test("decide() sums clamped scores by weight", () => {
  // llm-d's default on two endpoints: 2×queue + 2×kv + 3×prefix.
  const pool = testPool([{ waiting: 0, kv: 0.5, matched: 0 }, { waiting: 10, kv: 0.5, matched: 8 }]);
  const { explanation, result } = explain(scheduler(llmdDefaultPlan(), pool), pool, { totalBlocks: 10 });
  const totals = explanation.candidates.map((candidate) => candidate.total!);
  ok(Math.abs(totals[0] - 3) < 1e-12);
  ok(Math.abs(totals[1] - 3.4) < 1e-12);
  deepStrictEqual(result, { slot: 1, fallbacks: [0], profile: "default", matchedBlocks: 8, totalBlocks: 10 });
});

Deno.test("explain() shows what each candidate holds by tier, when tiers are known", () => {
  const pool = testPool([{ matched: 9, tiers: [3, 2, 1, 1] }, { matched: 4 }]);
  const { explanation } = explain(scheduler(defaultPlan(), pool), pool, { totalBlocks: 10 });
  deepStrictEqual(explanation.candidates.map(({ held }) => held), [
    { gpu: 3, cpu: 2, disk: 1, shared: 1, routed: 2 },
    { gpu: 0, cpu: 0, disk: 0, shared: 0, routed: 4 },
  ]);
  const blind = testPool([{ matched: 9 }]);
  const { explanation: unknown } = explain(scheduler(defaultPlan(), blind), blind, { totalBlocks: 10 });
  ok(!("held" in unknown.candidates[0]));
});

Deno.test("explain() shows what each candidate is predicted to take, whatever the plan reads of it", () => {
  const pool = testPool([{ predicted: { ttftMs: 200, tpotMs: 10, meets: 0.75, e2eMs: 400, harmMs: 3 } }, {}]);
  const latency: LatencySource = { predict: ({ view }) => testLatency(pool, view), chosen() {} };
  const explained = (request: TestRequest, source?: LatencySource) => {
    const engine = new Scheduler(llmdDefaultPlan(), { table: pool.table, seed: 1, latency: source });
    return explain(engine, pool, request).explanation.candidates.map(({ prediction }) => prediction);
  };
  const ttft = { medianMs: 200, highMs: 200, priorMs: 200, residual: 0 };
  const tpot = { medianMs: 10, highMs: 10, priorMs: 10, residual: 0 };
  const rest = { meets: 0.75, e2eMs: 400, harmMs: 3, harmMisses: 0, likelyMisses: 0 };
  deepStrictEqual(explained({}, latency), [{ ttft, tpot, ...rest }, null]);
  const slo = { ttftMs: 150.5, tpotMs: 30 };
  deepStrictEqual(explained({ slo, stream: true }, latency), [
    { ttft: { ...ttft, headroomMs: -49.5 }, tpot: { ...tpot, headroomMs: 20 }, ...rest },
    null,
  ]);
  // A plain answer shows no single token.
  deepStrictEqual(explained({ slo }, latency)[0]?.tpot, tpot);
  deepStrictEqual(explained({ slo }), [null, null]);
});

Deno.test("requestHeaders() gives what the plan's decorators add, for the chosen slot only", () => {
  const pool = testPool([{ matched: 2, waiting: 0 }, { matched: 9, waiting: 5 }]);
  const plan = onePlan({ scorers: [{ type: "queue-scorer" }], picker: { type: "max-score-picker" } });
  const { plugins } = importEndpointPickerConfig(
    "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins: [{type: p2p-source-producer}]\n",
    "epp.yaml",
  ).plan;
  const headersOf = (engine: Scheduler, slot: number) => {
    const result = decide(engine, pool, { totalBlocks: 10 });
    ok("slot" in result && result.slot === 0);
    return engine.requestHeaders(testView(), result, slot);
  };
  const engine = scheduler({ ...plan, plugins: [...plan.plugins, ...plugins] }, pool);
  deepStrictEqual(headersOf(engine, 0), [["x-kv-cache-source-host-port", "10.0.0.2:8000"]]);
  deepStrictEqual(headersOf(engine, 1), []);
  deepStrictEqual(headersOf(scheduler(plan, pool), 0), []);
});

Deno.test("decide() gives the best of the rest as fallbacks, up to the plan's number", () => {
  const pool = testPool([5, 1, 4, 2, 3, 6].map((waiting) => ({ waiting })));
  const plan = onePlan({ scorers: [{ type: "queue-scorer" }], picker: { type: "max-score-picker" } });
  const result = decide(scheduler(plan, pool), pool);
  ok("slot" in result);
  deepStrictEqual([result.slot, ...result.fallbacks], [1, 3, 4, 2]);
  const none = decide(scheduler({ ...plan, fallbacksMax: 0 }, pool), pool);
  ok("slot" in none);
  deepStrictEqual([none.slot, ...none.fallbacks], [1]);
});

Deno.test("decide() keeps a picker's own order before the fallbacks", () => {
  const pool = testPool([5, 1, 4, 2].map((waiting) => ({ waiting })));
  const plan = onePlan({
    scorers: [{ type: "queue-scorer" }],
    picker: { type: "random-picker", parameters: { maxNumOfEndpoints: 2 } },
  });
  const byScore = [1, 3, 2, 0];
  for (let seed = 0; seed < 20; seed++) {
    const result = decide(scheduler(plan, pool, seed), pool);
    ok("slot" in result);
    const order = [result.slot, ...result.fallbacks];
    deepStrictEqual(order.slice(2), byScore.filter((slot) => !order.slice(0, 2).includes(slot)));
  }
});

Deno.test("decide() stops at the filter that leaves none and says which profile it was", () => {
  const pool = testPool([{ labels: { gpu: "l4" } }, {}]);
  const plan = onePlan({
    filters: [{ type: "label-selector-filter", parameters: { matchLabels: { gpu: "h100" } } }, {
      type: "prefill-filter",
    }],
    picker: { type: "max-score-picker" },
  });
  const { explanation, result } = explain(scheduler(plan, pool), pool);
  deepStrictEqual(result, {
    refused: "filtered",
    message: 'No endpoint passes the filters of scheduling profile "default"',
  });
  deepStrictEqual(explanation.filters, [{ plugin: "label-selector-filter", before: 2, after: 0 }]);
  deepStrictEqual(
    explanation.candidates.map((candidate) => candidate.droppedBy),
    Array(2).fill("label-selector-filter"),
  );
});

Deno.test("decide() refuses when there is no candidate", () => {
  const pool = testPool([]);
  const result = decide(scheduler(defaultPlan(), pool), pool);
  ok("refused" in result);
  equal(result.refused, "no-endpoints");
});

Deno.test("decide() stays within the subset, ports compared", () => {
  const pool = testPool([{}, { port: 8001 }, { host: "[fd00::1]" }]);
  const engine = scheduler(defaultPlan(), pool);
  const slotsFor = (subset: string[]) => {
    const result = decide(engine, pool, { subset });
    return "slot" in result ? [result.slot, ...result.fallbacks].sort() : result.refused;
  };
  deepStrictEqual(slotsFor(["10.0.0.1:8000", "[fd00::1]:8000"]), [0, 2]);
  deepStrictEqual(slotsFor(["10.0.0.2"]), [1]);
  deepStrictEqual(slotsFor(["10.0.0.2:8000"]), "no-endpoints");
  deepStrictEqual(slotsFor([]), "no-endpoints");
  const { explanation } = explain(engine, pool, { subset: ["10.0.0.2"] });
  deepStrictEqual(explanation.candidates.map((candidate) => candidate.droppedBy), [
    "subset-hint",
    undefined,
    "subset-hint",
  ]);
});

Deno.test("decide() honours Prefer: if-available", () => {
  const pool = testPool([{ matched: 0 }, { matched: 3, waiting: 1 }]);
  const plan = onePlan({ scorers: [{ type: "queue-scorer" }], picker: { type: "max-score-picker" } });
  const headers = { prefer: "respond-async, If-Available;q=1" };
  const refused = decide(scheduler(plan, pool), pool, { headers, totalBlocks: 4 });
  ok("refused" in refused);
  equal(refused.refused, "not-cached");
  pool.table.waiting[0] = 2;
  const placed = decide(scheduler(plan, pool), pool, { headers, totalBlocks: 4 });
  ok("slot" in placed);
  equal(placed.slot, 1);
  pool.table.waiting[0] = 0;
  ok("slot" in decide(scheduler(plan, pool), pool, { headers: { prefer: "not-if-available" }, totalBlocks: 4 }));
});

Deno.test("decide() refuses a profile that does not exist", () => {
  const pool = testPool([{}]);
  const plan = onePlan({ picker: { type: "max-score-picker" } });
  const handler = {
    ...registry.get("header-profile-handler")!.load("h", {}, { where: () => "" }, [], {
      find: () => undefined,
      warn: () => {},
    }),
  };
  const two = {
    ...plan,
    plugins: [...plan.plugins, handler],
    handler: "h",
    profiles: [plan.profiles[0], { ...plan.profiles[0], name: "batch" }],
  };
  const engine = scheduler(two, pool);
  const result = decide(engine, pool);
  ok("refused" in result);
  equal(result.refused, "unknown-profile");
  const batch = decide(engine, pool, { headers: { "epp-profile": "batch" } });
  ok("slot" in batch);
  equal(batch.profile, "batch");
});

Deno.test("decide() turns NaN scores into 0 and clamps the rest", () => {
  const pool = testPool([{ kv: NaN }, { kv: -3 }, { kv: 0.5 }]);
  const plan = onePlan({ scorers: [{ type: "kv-cache-utilization-scorer" }], picker: { type: "max-score-picker" } });
  const { explanation } = explain(scheduler(plan, pool), pool);
  deepStrictEqual(explanation.candidates.map((candidate) => candidate.total), [0, 1, 0.5]);
});

Deno.test("a burst between two load samples spreads, as reservations count at once", () => {
  const pool = testPool([{}, {}, {}, {}]);
  const engine = scheduler(defaultPlan(), pool);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 40; i++) {
    const result = decide(engine, pool);
    ok("slot" in result);
    new Reservation(pool.table, result.slot, { prefillTokens: 1000, decodeTokens: 1000 });
    counts[result.slot]++;
  }
  deepStrictEqual(counts, [10, 10, 10, 10]);
});

const endpointArbitrary: fc.Arbitrary<TestEndpoint> = fc.record({
  waiting: fc.nat(50),
  running: fc.nat(200),
  kv: fc.double({ min: 0, max: 1, noNaN: true }),
  ageMs: fc.option(fc.nat(20_000)),
  requests: fc.nat(100),
  prefillTokens: fc.nat(100_000),
  decodeTokens: fc.nat(200_000),
  matched: fc.nat(40),
  labels: fc.record({
    "llm-d.ai/role": fc.constantFrom("decode", "prefill", "both", "encode"),
    "llm-d.ai/context-length-range": fc.constantFrom("0-1000", "500-50000", "x", "7-7"),
    "topology.kubernetes.io/zone": fc.constantFrom("a", "b"),
    tier: fc.constantFrom("gold", "iron"),
  }, { requiredKeys: [] }),
  predicted: fc.option(fc.record({ ttftMs: fc.nat(2000), tpotMs: fc.nat(100), e2eMs: fc.nat(9000) }), {
    nil: undefined,
  }),
  attributes: fc.option(fc.integer().map((value) => new Map([["watts", value]])), { nil: undefined }),
});

const requestArbitrary: fc.Arbitrary<TestRequest> = fc.record({
  promptTokens: fc.nat(100_000),
  totalBlocks: fc.constant(40),
  model: fc.constantFrom("base", "sql"),
  peer: fc.constantFrom(-1, 0),
  slo: fc.record({ ttftMs: fc.constant(1000), tpotMs: fc.constant(50) }, { requiredKeys: [] }),
  headers: fc.record({
    "x-tier": fc.constantFrom("gold", "iron"),
    "x-session-id": fc.constantFrom("s1", "s2"),
    "test-epp-endpoint-selection": fc.constant("10.0.0.1,10.0.0.3:8000"),
    prefer: fc.constant("if-available"),
  }, { requiredKeys: [] }),
  subset: fc.option(fc.constant(["10.0.0.1", "10.0.0.2:8000", "10.0.0.4"]), { nil: undefined }),
});

const algorithm = { type: "linear_lower_is_better", normalization: { adaptiveRange: {} } };
const parametersOf: Record<string, unknown> = {
  "by-label": { label: "tier", validValues: ["gold"] },
  "label-selector-filter": { matchExpressions: [{ key: "tier", operator: "NotIn", values: ["iron"] }] },
  "endpoint-attribute-filter": {
    attribute: "watts",
    algorithm: { type: "threshold", threshold: { operator: "LessThan", value: 0 } },
  },
  "utilization-filter": { conditions: [{ metric: "waiting-queue", maxValue: 20 }], fallbackOnEmpty: true },
  "context-length-aware": { enableFiltering: true },
  "session-affinity-filter": { strategy: "session_id" },
  "session-affinity-scorer": { strategy: "session_id" },
  "header-label-affinity-scorer": { headerName: "x-tier", labelKey: "tier" },
  "endpoint-attribute-scorer": { attributeKey: "watts", algorithm },
};
const named = (kind: "filter" | "scorer" | "picker") =>
  [...registry.values()].filter((plugin) => plugin.kinds.includes(kind))
    .map(({ type }) => ({ type, parameters: parametersOf[type] }));

const planArbitrary: fc.Arbitrary<SchedulingPlan> = fc.tuple(
  fc.subarray(named("filter").filter(({ type }) => type !== "context-length-aware"), { maxLength: 3 }),
  fc.subarray(named("scorer")),
  fc.constantFrom(...named("picker")),
  fc.constantFrom(1, 2, 9),
).map(([filters, scorers, picker, k]) =>
  onePlan({ filters, scorers, picker: { ...picker, parameters: { maxNumOfEndpoints: k } } })
);

Deno.test("property: filters only shrink, scores lie in [0, 1], picks are distinct candidates, explain() is what decide() does", () => {
  let placed = 0, narrowed = 0;
  fc.assert(
    fc.property(
      fc.array(endpointArbitrary, { maxLength: 8 }),
      planArbitrary,
      fc.array(requestArbitrary, { minLength: 1, maxLength: 5 }),
      fc.integer(),
      (endpoints, plan, requests, seed) => {
        const pool = testPool(endpoints);
        const engine = scheduler(plan, pool, seed);
        for (const request of requests.map((request) => endpoints.length > 0 ? request : { ...request, peer: -1 })) {
          const { explanation, result } = explain(engine, pool, request);
          for (const { before, after } of explanation.filters) {
            ok(after >= 0 && after <= before && before <= pool.n);
            if (after < before) narrowed++;
          }
          for (const candidate of explanation.candidates) {
            for (const { score } of candidate.scores) ok(score >= 0 && score <= 1, `${score}`);
            if (candidate.droppedBy === undefined) continue;
            equal(candidate.rank, undefined);
          }
          const decided = engine.decide(testView(request), testMatch(pool, request), pool.slots, pool.n, testNowMs);
          deepStrictEqual(decided, result);
          if ("refused" in decided) continue;
          placed++;
          const order = [decided.slot, ...decided.fallbacks];
          equal(new Set(order).size, order.length);
          ok(order.every((slot) => slot < pool.n));
          deepStrictEqual(order.map((slot) => pool.table.meta(slot).id), [...explanation.picked]);
        }
      },
    ),
    { numRuns: 300, seed: 42 },
  );
  ok(placed > 100 && narrowed > 100, `${placed} placed, ${narrowed} narrowed`);
});

Deno.test("property: filters keep a subset in order, with any peer", () => {
  fc.assert(
    fc.property(fc.array(endpointArbitrary, { minLength: 1, maxLength: 8 }), requestArbitrary, (endpoints, request) => {
      for (const filter of named("filter")) {
        const pool = testPool(endpoints);
        const plan = onePlan({
          filters: [filter],
          picker: { type: "max-score-picker", parameters: { maxNumOfEndpoints: 8 } },
        });
        const engine = scheduler(plan, pool);
        const view = testView({ ...request, headers: {}, subset: undefined });
        const result = engine.decide(view, testMatch(pool, request), pool.slots, pool.n, testNowMs, request);
        if ("slot" in result) ok([result.slot, ...result.fallbacks].every((slot) => slot < endpoints.length));
        deepStrictEqual([...pool.slots.subarray(0, pool.n)], endpoints.map((_, i) => i));
      }
    }),
    { numRuns: 50, seed: 42 },
  );
});

Deno.test("the same seed makes the same decisions and another seed others, for every policy with chance in it", () => {
  const endpoints = new Array(16).fill({});
  const run = (policy: (typeof policies)[number], seed: number): number[] => {
    const pool = testPool(endpoints);
    const engine = scheduler(planFromPolicy(policy), pool, seed);
    return Array.from({ length: 50 }, () => {
      const result = decide(engine, pool);
      return "slot" in result ? result.slot : -1;
    });
  };
  for (const policy of policies) {
    deepStrictEqual(run(policy, 7), run(policy, 7), policy);
    ok(String(run(policy, 7)) !== String(run(policy, 8)), policy);
  }
});

Deno.test("the random policy is even, also from one decision to the next", () => {
  const pool = testPool(new Array(4).fill({}));
  const engine = scheduler(planFromPolicy("random"), pool, 3);
  const pairs = new Int32Array(16);
  let last = 0;
  for (let i = 0; i < 32_000; i++) {
    const result = decide(engine, pool);
    ok("slot" in result);
    pairs[last * 4 + result.slot]++;
    last = result.slot;
  }
  // 2000 expected a pair, standard deviation 43.
  for (const count of pairs) ok(Math.abs(count - 2000) < 200, String(pairs));
});

Deno.test("explain() between decisions changes none of them", () => {
  for (const policy of policies) {
    const [plain, asked] = [false, true].map((asks) => {
      const pool = testPool(new Array(5).fill({}));
      const engine = scheduler(planFromPolicy(policy), pool, 11);
      return Array.from({ length: 30 }, () => {
        if (asks) { for (let i = 0; i < 3; i++) explain(engine, pool); }
        const result = decide(engine, pool);
        return "slot" in result ? result.slot : -1;
      });
    });
    deepStrictEqual(asked, plain, policy);
  }
});

Deno.test("decide() with 100 endpoints allocates little more than its answer", () => {
  const rng = new Prng(5);
  const endpoints = Array.from(
    { length: 100 },
    () => ({ waiting: rng.below(9), running: rng.below(50), kv: rng.float() }),
  );
  for (const plan of [defaultPlan(), llmdDefaultPlan()]) {
    const pool = testPool(endpoints);
    const engine = scheduler(plan, pool);
    const view = testView(), match = testMatch(pool, { totalBlocks: 4 });
    const round = () => {
      const before = Deno.memoryUsage().heapUsed;
      for (let i = 0; i < 500; i++) engine.decide(view, match, pool.slots, pool.n, testNowMs);
      return (Deno.memoryUsage().heapUsed - before) / 500;
    };
    for (let i = 0; i < 20; i++) round();
    // A collection makes a round negative; the others show what a decision costs. An answer is two small objects.
    const rounds = Array.from({ length: 10 }, round).filter((bytes) => bytes > 0).sort((a, b) => a - b);
    ok(rounds.length > 0);
    ok(rounds[rounds.length >> 1] < 1024, `${rounds[rounds.length >> 1]} bytes a decision`);
  }
});
