import { equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { RetryBudget, type RetryBudgetOptions } from "./retry_budget.ts";

const options = { ratio: 0.1, minPerSecond: 1, burst: 5 };

Deno.test("a budget is spent, and earned by requests and by time", () => {
  const budget = new RetryBudget(0, options);
  for (let i = 0; i < 5; i++) ok(budget.take(0, options));
  equal(budget.take(0, options), false);
  for (let i = 0; i < 9; i++) budget.deposit(0, options);
  equal(budget.has(0, options), false);
  budget.deposit(0, options);
  budget.deposit(0, options);
  equal(budget.take(0, options), true);
  equal(budget.take(500, options), false);
  equal(budget.take(1000, options), true);
  equal(budget.take(1_000_000, options), true);
  equal([1, 2, 3, 4, 5].filter(() => budget.take(1_000_000, options)).length, 4, "no more is saved than the burst");
});

Deno.test("whatever storm of failures comes, further attempts stay within the share and the floor, over any time", () => {
  const arbitrary = fc.record({
    ratio: fc.double({ min: 0, max: 1, noNaN: true }),
    minPerSecond: fc.double({ min: 0, max: 20, noNaN: true }),
    burst: fc.integer({ min: 0, max: 50 }),
  });
  fc.assert(fc.property(fc.integer(), arbitrary, storm));
});

function storm(seed: number, options: RetryBudgetOptions): void {
  const prng = new Prng(seed);
  const budget = new RetryBudget(0, options);
  let now = 0, requests = 0, extra = 0, failing = 0;
  /** Time, requests and further attempts so far, at random moments. */
  const marks: [ms: number, requests: number, extra: number][] = [[0, 0, 0]];
  for (let i = 0; i < 600; i++) {
    now += prng.exponential(prng.below(30) === 0 ? 2000 : 3);
    if (prng.below(50) === 0) failing = prng.float();
    requests++;
    budget.deposit(now, options);
    for (let attempt = 1; attempt < 16 && prng.float() < failing; attempt++) {
      if (!budget.take(now, options)) break;
      extra++;
    }
    if (prng.below(20) === 0) marks.push([now, requests, extra]);
  }
  marks.push([now, requests, extra]);
  for (const [fromMs, before, extraBefore] of marks) {
    for (const [toMs, after, extraAfter] of marks) {
      if (toMs <= fromMs) continue;
      const allowed = options.burst + options.ratio * (after - before) + options.minPerSecond * (toMs - fromMs) / 1000;
      ok(extraAfter - extraBefore <= allowed + 1e-6, `${extraAfter - extraBefore} attempts, ${allowed} allowed`);
    }
  }
}
