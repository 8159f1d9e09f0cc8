import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { LatencyBias } from "./latency_bias.ts";
import { failingOutlier, SlowStreak } from "./outliers.ts";

/** Endpoints that take `msPerToken[slot]` for each token, with their own mix of work. */
function observed(msPerToken: readonly number[], workOf: (slot: number, prng: Prng) => number, samples = 200) {
  const bias = new LatencyBias();
  const prng = new Prng(3);
  for (let i = 0; i < samples; i++) {
    msPerToken.forEach((ms, slot) => {
      const work = workOf(slot, prng);
      bias.observe(slot, work, work * ms * (0.7 + 0.6 * prng.float()));
    });
  }
  return bias;
}

const slots = [0, 1, 2, 3];

Deno.test("LatencyBias tells how many times slower an endpoint is, whatever the size of the work", () => {
  const bias = observed([1, 1, 1, 6], (_, prng) => 256 + prng.below(50_000));
  const slowness = slots.map(bias.against(slots, 30));
  ok(slowness[3] > 4.5 && slowness[3] < 8, `${slowness}`);
  ok(slowness.slice(0, 3).every((times) => times > 0.6 && times < 1.6), `${slowness}`);
});

Deno.test("LatencyBias does not take an endpoint that is given the long prompts for a slow one", () => {
  const bias = observed([1, 1, 1, 1], (slot, prng) => (slot === 3 ? 32_000 : 500) + prng.below(200));
  ok(bias.against(slots, 30)(3) < 1.6, `${bias.against(slots, 30)(3)}`);
});

Deno.test("LatencyBias says nothing while too little is known, and forgets", () => {
  const bias = observed([1, 1, 1, 6], () => 1000, 29);
  ok(Number.isNaN(bias.against(slots, 30)(3)));
  ok(!Number.isNaN(bias.against(slots, 29)(3)));
  ok(Number.isNaN(bias.against([0, 3], 29)(3)), "between two nobody can say which is the odd one");
  bias.forget(3);
  equal(bias.samples(3), 0);
  ok(Number.isNaN(bias.typicalMs(3)));
  bias.observe(3, 10, NaN);
  bias.observe(3, 10, 0);
  equal(bias.samples(3), 0);
});

Deno.test("failingOutlier() finds the one far below the others, in a pool of three as in one of many", () => {
  const rated = (...rates: number[]) => rates.map((rate, slot) => ({ slot, rate }));
  equal(failingOutlier(rated(1, 0.5, 1), 0.2)?.slot, 1);
  equal(failingOutlier(rated(1, 0.5), 0.2), undefined);
  equal(failingOutlier(rated(1, 0.85, 1, 1), 0.2), undefined, "within the gap");
  equal(failingOutlier(rated(0.9, 0.4, 0.5, 1, 0.6), 0.2), undefined, "within the spread of the others");
  equal(failingOutlier(rated(...Array(50).fill(0.99), 0.7), 0.2)?.slot, 50);
});

Deno.test("SlowStreak needs three judgements in a row, each with new samples, and forgives only well below the factor", () => {
  const streak = new SlowStreak();
  const judge = (slowness: number, samples: number, noticeable = true) =>
    streak.judge(slowness, samples, 4, noticeable);
  equal([judge(5, 30), judge(5, 30), judge(5, 30), judge(5, 40)].includes(true), false);
  equal(judge(3.5, 45), false, "neither slow nor well again");
  equal(judge(5, 50), true);
  equal([judge(2, 60), judge(5, 70), judge(5, 80)].includes(true), false);
  equal(judge(9, 90, false), false, "nobody minds");
  equal([judge(5, 100), judge(5, 110), judge(NaN, 120), judge(5, 130)].at(-1), true);
});

Deno.test("LatencyBias judges each endpoint against the median of the others, whoever is asked about", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 9 }), fc.nat(9), (ms, left) => {
      const bias = observed(ms, () => 1000, 3);
      const among = [...ms.keys()].filter((slot) => slot !== left);
      const alone = (slot: number) => bias.against(among.filter((other) => other !== slot), 3)(slot);
      deepStrictEqual([...ms.keys()].map(bias.against(among, 3)), [...ms.keys()].map(alone));
    }),
  );
});
