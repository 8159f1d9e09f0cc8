import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../core/mod.ts";
import { type Beside, NonNegativeFit } from "./fit.ts";

function solved(fit: NonNegativeFit, ...others: readonly Beside[]): number[] {
  const out = new Float64Array(fit.width).fill(-1);
  return fit.solve(out, ...others) ? [...out] : [];
}

const beside = (fit: NonNegativeFit, labels: number): Beside => ({ fit, labels, coefficients: solved(fit) });

const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, x, i) => sum + x * b[i], 0);

function near(actual: readonly number[], expected: readonly number[], share: number): void {
  equal(actual.length, expected.length);
  for (const [i, value] of expected.entries()) {
    ok(Math.abs(actual[i] - value) <= share * Math.max(1e-6, Math.abs(value)), `[${actual}] is not [${expected}]`);
  }
}

Deno.test("NonNegativeFit finds the coefficients that labels were made of, zeros among them", () => {
  const coefficient = fc.oneof(fc.constant(0), fc.double({ min: 0.01, max: 50, noNaN: true }));
  fc.assert(fc.property(fc.tuple(coefficient, coefficient, coefficient), fc.nat(1e6), (truth, seed) => {
    fc.pre(truth.some((c) => c > 0));
    const rng = new Prng(seed), fit = new NonNegativeFit(3);
    for (let i = 0; i < 100; i++) {
      const x = [1, 1 + rng.below(60), 20 * rng.float()];
      const label = dot(truth, x);
      if (label > 0) fit.add(x, label);
    }
    const found = solved(fit);
    for (const x of [[1, 5, 3], [1, 500, 0], [1, 0, 90]]) {
      ok(Math.abs(dot(found, x) - dot(truth, x)) <= 1e-3 * (dot(truth, x) + 1e-3), `[${found}] is not [${truth}]`);
    }
  }));
});

Deno.test("NonNegativeFit finds them among noise that grows with the label", () => {
  const rng = new Prng(3), fit = new NonNegativeFit(2);
  for (let i = 0; i < 400; i++) {
    const tokens = 10 + rng.below(8000);
    fit.add([1, tokens], (20 + 0.1 * tokens) * Math.exp(rng.normal(0, 0.15)));
  }
  near(solved(fit), [20, 0.1], 0.15);
});

Deno.test("NonNegativeFit never gives a negative number or none at all, whatever came", () => {
  const x = fc.oneof(fc.constant(0), fc.double({ min: 1e-3, max: 1e7, noNaN: true }));
  const label = fc.tuple(
    fc.tuple(fc.constant(1), x, x),
    fc.double({ min: 1e-3, max: 1e7, noNaN: true }),
    fc.integer({ min: 1, max: 4 }),
  );
  fc.assert(fc.property(fc.array(label, { minLength: 1, maxLength: 60 }), (labels) => {
    const fit = new NonNegativeFit(3), prior = new NonNegativeFit(3);
    prior.add([1, 1, 0], 10);
    for (const [regressors, ms, weight] of labels) fit.add(regressors, ms, { weight });
    const found = solved(fit, beside(prior, 8));
    equal(found.length, 3);
    ok(found.every((value) => value >= 0 && Number.isFinite(value)), `[${found}]`);
  }));
});

Deno.test("NonNegativeFit counts errors relative to the label", () => {
  const fit = new NonNegativeFit(1);
  // 10,000 of each, so that fading is even: the constant c that makes (1 − c/10)² + (1 − c/1000)² least.
  for (let i = 0; i < 10_000; i++) {
    fit.add([1], 10);
    fit.add([1], 1000);
  }
  near(solved(fit), [(1 / 10 + 1 / 1000) / (1 / 100 + 1 / 1_000_000)], 0.02);
});

Deno.test("NonNegativeFit forgets: what was before 500 labels is gone, and no more than 96 count", () => {
  const rng = new Prng(5), fit = new NonNegativeFit(2);
  const labels = (base: number, perToken: number) => {
    for (let i = 0; i < 500; i++) {
      const tokens = rng.below(4000);
      fit.add([1, tokens], base + perToken * tokens);
    }
  };
  labels(200, 1);
  labels(10, 0.05);
  near(solved(fit), [10, 0.05], 0.05);
  ok(fit.weight <= 96.001 && fit.weight > 95, `${fit.weight}`);
});

Deno.test("NonNegativeFit predicts rightly where two regressors are always in step", () => {
  const rng = new Prng(7), fit = new NonNegativeFit(3);
  for (let i = 0; i < 100; i++) {
    const requests = 1 + rng.below(30);
    fit.add([1, requests, 512 * requests], 5 + 0.4 * requests);
  }
  const found = solved(fit);
  near([dot(found, [1, 10, 5120])], [9], 1e-3);
});

Deno.test("NonNegativeFit is pulled to another one as if that had so many labels, less as its own come", () => {
  const prior = new NonNegativeFit(1), fit = new NonNegativeFit(1);
  for (let i = 0; i < 50; i++) prior.add([1], 20);
  near(solved(fit, beside(prior, 8)), [20], 1e-9);
  for (let i = 0; i < 8; i++) fit.add([1], 100);
  // As many of each, but for what has faded.
  near(solved(fit, beside(prior, 8)), [60], 0.03);
  for (let i = 0; i < 500; i++) fit.add([1], 100);
  near(solved(fit, beside(prior, 8)), [(96 * 100 + 8 * 20) / 104], 0.01);
});

Deno.test("NonNegativeFit does not sweep away what it knows for one label of next to nothing, where more was expected", () => {
  const rng = new Prng(17), fit = new NonNegativeFit(2);
  for (let i = 0; i < 100; i++) {
    const tokens = rng.below(3000);
    fit.add([1, tokens], 20 + 0.1 * tokens, { expected: 20 + 0.1 * tokens });
  }
  fit.add([1, 1000], 1e-6, { expected: 120 });
  near(solved(fit), [20, 0.1], 0.05);
});

Deno.test("NonNegativeFit leaves the caller's numbers where it knows nothing", () => {
  const out = Float64Array.of(3, 4);
  equal(new NonNegativeFit(2).solve(out), false);
  equal(new NonNegativeFit(2).solve(out, beside(new NonNegativeFit(2), 8)), false);
  deepStrictEqual([...out], [3, 4]);
});

Deno.test("NonNegativeFit goes on from its dump as if nothing had been between", () => {
  const rng = new Prng(11), fit = new NonNegativeFit(3), copy = new NonNegativeFit(3);
  const add = (...fits: NonNegativeFit[]) => {
    const x = [1, rng.below(20), rng.below(9000)], label = 4 + 0.3 * x[1] + 0.001 * x[2];
    for (const each of fits) each.add(x, label);
  };
  for (let i = 0; i < 30; i++) add(fit);
  equal(copy.restore(JSON.parse(JSON.stringify(fit.dump()))), true);
  deepStrictEqual(copy.dump(), fit.dump());
  for (let i = 0; i < 30; i++) add(fit, copy);
  deepStrictEqual(solved(copy), solved(fit));
});

Deno.test("NonNegativeFit refuses what no labels can have made, and is as it was", () => {
  const rng = new Prng(13), fit = new NonNegativeFit(2);
  for (let i = 0; i < 20; i++) {
    const tokens = rng.below(3000);
    fit.add([1, tokens], 20 + 0.1 * tokens);
  }
  const before = fit.dump();
  const [weight, ...rest] = before;
  const hostile: unknown[] = [
    undefined,
    null,
    "1234567",
    {},
    [],
    before.slice(1),
    [...before, 0],
    [NaN, ...rest],
    [weight, Infinity, ...rest.slice(1)],
    [-weight, ...rest],
    [0, ...rest],
    [weight, -1, ...rest.slice(1)],
    // Not symmetric; further apart than their squares allow; a mean beyond its mean square.
    [weight, rest[0], rest[1], rest[2], rest[3] * 2, rest[4], rest[5]],
    [weight, rest[0], rest[1], rest[2], rest[3] * 50, rest[4] * 50, rest[5]],
    [weight, rest[0] * 50, ...rest.slice(1)],
    before.map(String),
  ];
  for (const dump of hostile) {
    equal(fit.restore(dump as number[]), false, JSON.stringify(dump));
    deepStrictEqual(fit.dump(), before);
  }
  fc.assert(fc.property(fc.array(fc.double(), { minLength: 7, maxLength: 7 }), (dump) => {
    const victim = new NonNegativeFit(2);
    victim.restore(dump);
    for (let i = 0; i < 3; i++) victim.add([1, 1000 * i], 20 + 100 * i);
    ok(solved(victim).every((value) => value >= 0 && Number.isFinite(value)));
  }));
});
