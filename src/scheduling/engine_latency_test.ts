/** What the engine does with predictions and with plugins that admit. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Scheduler } from "./engine.ts";
import { onePlan, planFromPolicy } from "./plan.ts";
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

/** A predictor that knows the pool and keeps what it was asked. */
class Predictor implements LatencySource {
  readonly asked: number[] = [];
  readonly chose: number[] = [];

  constructor(readonly pool: TestPool) {}

  predict({ view, load, nowMs }: DecisionContext, slots: Uint16Array, n: number) {
    equal(nowMs, testNowMs);
    ok(load.waiting.length > 0);
    this.asked.push(n);
    deepStrictEqual([...slots.subarray(0, n)], [...slots.subarray(0, n)].sort((a, b) => a - b));
    return testLatency(this.pool, view);
  }

  chosen(_ctx: DecisionContext, slot: number) {
    this.chose.push(slot);
  }
}

function stage(plan: SchedulingPlan, endpoints: readonly TestEndpoint[]) {
  const pool = testPool(endpoints);
  const predictor = new Predictor(pool);
  const engine = new Scheduler(plan, { table: pool.table, seed: 1, latency: predictor });
  const parts = (request: TestRequest) => [testView(request), testMatch(pool, request), pool.slots, pool.n] as const;
  return {
    predictor,
    decide: (request: TestRequest = {}, options = {}) => engine.decide(...parts(request), testNowMs, options),
    explain: (request: TestRequest = {}) => engine.explain(...parts(request), testNowMs),
    eligible: (request: TestRequest = {}) => engine.eligible(...parts(request), testNowMs),
  };
}

const fast = { running: 1, kv: 0.5, predicted: { e2eMs: 100, ttftMs: 50, meets: 0.99 } };
const slow = { running: 1, kv: 0.5, predicted: { e2eMs: 900, ttftMs: 800, meets: 0.2 } };
const sheddable = { priority: -1, slo: { ttftMs: 300 } };
const unmet = "No endpoint is predicted to meet the latency targets of the request";

Deno.test("decide() asks for predictions once, over all candidates, and tells of the choice", () => {
  const { predictor, decide } = stage(planFromPolicy("predicted"), [slow, fast]);
  const result = decide(sheddable);
  ok("slot" in result);
  deepStrictEqual([result.slot, ...result.fallbacks], [1, 0]);
  deepStrictEqual([predictor.asked, predictor.chose], [[2], [1]]);
});

Deno.test("decide() asks for no predictions where no plugin reads them, and tells of the choice all the same", () => {
  for (const policy of ["default", "llm-d", "random"] as const) {
    const { predictor, decide } = stage(planFromPolicy(policy), [slow, fast]);
    ok("slot" in decide(sheddable));
    deepStrictEqual([predictor.asked, predictor.chose.length], [[], 1], policy);
  }
});

Deno.test("decide() hands an admitter's refusal on, and nothing is chosen", () => {
  const { predictor, decide } = stage(planFromPolicy("predicted"), [slow, slow]);
  deepStrictEqual(decide(sheddable), { refused: "slo-unmet", message: unmet, retryAfterS: 1 });
  deepStrictEqual(predictor.chose, []);
  ok("slot" in decide({ ...sheddable, priority: 0 }));
  ok("slot" in decide(sheddable, { admitted: true }), "what was taken is not judged again");
});

Deno.test("the policy predicted refuses as its configuration says", () => {
  const admit = (admission: "off" | "sheddable" | "all", admitProbability: number, priority: number) => {
    const plan = planFromPolicy("predicted", { admission, admitProbability, tpotBufferFactor: 1 });
    return "slot" in stage(plan, [slow, slow]).decide({ ...sheddable, priority });
  };
  deepStrictEqual([admit("off", 1, -1), admit("sheddable", 0.5, -1), admit("sheddable", 0.5, 0)], [true, false, true]);
  deepStrictEqual([admit("all", 0.5, 5), admit("all", 0.2, 5)], [false, true]);
});

Deno.test("admitters see all candidates, before filters, and the first that refuses ends it", () => {
  const filters = [{ type: "label-selector-filter", parameters: { matchLabels: { gpu: "l4" } } }];
  const admitters = [{ type: "slo-probability-admitter", name: "first" }, { type: "latency-slo-admitter" }];
  const plan = onePlan({ admitters, filters, picker: { type: "max-score-picker" } });
  // The filter leaves 0 alone, where the target is missed: it is met at 1.
  const { result } = stage(plan, [{ ...slow, labels: { gpu: "l4" } }, fast]).explain(sheddable);
  ok("slot" in result && result.slot === 0);
  const { explanation, result: refused } = stage(plan, [slow, slow]).explain(sheddable);
  ok("refused" in refused && refused.refused === "slo-unmet");
  deepStrictEqual(explanation.filters, [{ plugin: "first", before: 2, after: 0 }]);
  deepStrictEqual(explanation.candidates.map(({ droppedBy }) => droppedBy), ["first", "first"]);
  const { explanation: admitted } = stage(plan, [{ ...fast, labels: { gpu: "l4" } }, slow]).explain(sheddable);
  deepStrictEqual(admitted.filters, [
    { plugin: "first", before: 2, after: 2 },
    { plugin: "latency-slo-admitter", before: 2, after: 2 },
    { plugin: "label-selector-filter", before: 2, after: 1 },
  ]);
});

Deno.test("eligible() neither admits nor goes by predictions that change with load", () => {
  const filters = [{ type: "slo-headroom-tier-filter", parameters: { epsilonExploreNeg: 0 } }];
  const admitters = [{ type: "slo-probability-admitter" }];
  const scorers = [{ type: "latency-scorer" }];
  const plan = onePlan({ admitters, filters, scorers, picker: { type: "max-score-picker" } });
  const { predictor, eligible } = stage(plan, [slow, slow, fast]);
  equal(eligible(sheddable), 3);
  deepStrictEqual(predictor.asked, []);
  const sticky = { type: "prefix-cache-affinity-filter", parameters: { ttftSource: "latencyPredictor" } };
  const held = stage(onePlan({ filters: [sticky], picker: { type: "max-score-picker" } }), [
    { ...slow, matched: 9 },
    fast,
  ]);
  equal(held.eligible({ totalBlocks: 10 }), 1);
  deepStrictEqual(held.predictor.asked, [2]);
});

Deno.test("a policy that predicts decides as the default one while nothing is predicted", () => {
  const endpoints = [{ prefillTokens: 9000 }, { matched: 3 }, { running: 4 }];
  const request = { ...sheddable, totalBlocks: 10 };
  deepStrictEqual(
    stage(planFromPolicy("predicted"), endpoints).decide(request),
    stage(planFromPolicy("default"), endpoints).decide(request),
  );
});
