import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { pickedBy, testContext, testPlugin, testPool } from "../testing.ts";

const picker = (type: string, n: number, seed = 1) => {
  const pool = testPool(new Array(n).fill({}));
  const context = testContext(pool);
  context.rng.reseed(seed);
  return {
    pick: (scores: number[], k: number) => pickedBy(testPlugin(type, {}, pool), pool, context, scores, k),
    record: (slot: number) => context.record(slot),
  };
};

Deno.test("max-score-picker orders by score", () => {
  const { pick } = picker("max-score-picker", 4);
  deepStrictEqual(pick([0.1, 0.9, 0.4, 0.6], 4), [1, 3, 2, 0]);
  deepStrictEqual(pick([0.1, 0.9, 0.4, 0.6], 2), [1, 3]);
  deepStrictEqual(pick([0.1, 0.9, 0.4, 0.6], 9), [1, 3, 2, 0]);
});

Deno.test("max-score-picker rotates over the top tie, whatever happens between", () => {
  const { pick, record } = picker("max-score-picker", 4);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 300; i++) {
    const slot = pick([1, 1, 0.5, 1], 1)[0];
    record(slot);
    counts[slot]++;
    record(2);
  }
  deepStrictEqual(counts, [100, 100, 0, 100]);
});

Deno.test("max-score-picker rotates within each of two tied groups that alternate", () => {
  const { pick, record } = picker("max-score-picker", 4);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 400; i++) {
    const slot = pick(i % 2 === 0 ? [1, 1, 0, 0] : [0, 0, 1, 1], 1)[0];
    record(slot);
    counts[slot]++;
  }
  deepStrictEqual(counts, [100, 100, 100, 100]);
});

Deno.test("round-robin-picker ignores scores and stays even while candidates come and go", () => {
  const { pick, record } = picker("round-robin-picker", 3);
  const order: number[] = [];
  for (let i = 0; i < 6; i++) {
    const slot = pick([1, 0.5, 0], 1)[0];
    record(slot);
    order.push(slot);
  }
  deepStrictEqual(new Set(order.slice(0, 3)), new Set([0, 1, 2]));
  deepStrictEqual(order.slice(3), order.slice(0, 3));
});

Deno.test("random-picker gives every endpoint its share", () => {
  const { pick } = picker("random-picker", 4);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 20_000; i++) counts[pick([1, 0, 0, 0], 1)[0]]++;
  for (const count of counts) ok(Math.abs(count - 5000) < 250, String(counts));
  equal(new Set(pick([0, 0, 0, 0], 4)).size, 4);
});

Deno.test("weighted-random-picker draws in proportion to the scores, never a 0 before a positive", () => {
  const { pick } = picker("weighted-random-picker", 4);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 20_000; i++) counts[pick([0.1, 0.3, 0, 0.6], 1)[0]]++;
  deepStrictEqual(counts[2], 0);
  [2000, 6000, 0, 12_000].forEach((expected, i) =>
    ok(Math.abs(counts[i] - expected) <= expected * 0.06, String(counts))
  );
  equal(pick([0.1, 0.3, 0, 0.6], 4)[3], 2);
});

Deno.test("weighted-random-picker tells tiny scores apart", () => {
  const { pick } = picker("weighted-random-picker", 2);
  let first = 0;
  for (let i = 0; i < 4000; i++) if (pick([3e-300, 1e-300], 1)[0] === 0) first++;
  ok(Math.abs(first - 3000) < 150, String(first));
});

Deno.test("weighted-random-picker draws uniformly when all scores are 0", () => {
  const { pick } = picker("weighted-random-picker", 2);
  let first = 0;
  for (let i = 0; i < 4000; i++) if (pick([0, -1], 1)[0] === 0) first++;
  ok(Math.abs(first - 2000) < 150, String(first));
});
