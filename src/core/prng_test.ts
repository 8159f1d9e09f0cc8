import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Prng } from "./prng.ts";

const draw = (prng: Prng, n: number) => Array.from({ length: n }, () => prng.u32());

Deno.test("Prng gives the same numbers for the same seed and others for another", () => {
  deepStrictEqual(draw(new Prng(7), 50), draw(new Prng(7), 50));
  equal(draw(new Prng(7), 50).filter((value, i) => value === draw(new Prng(8), 50)[i]).length, 0);
  const prng = new Prng(7);
  const fork = prng.fork();
  ok(draw(fork, 5).join() !== draw(prng, 5).join());
});

Deno.test("Prng reseeded is as new", () => {
  const prng = new Prng(1);
  prng.u32();
  prng.reseed(7);
  deepStrictEqual(draw(prng, 20), draw(new Prng(7), 20));
});

Deno.test("Prng's distributions have their means", () => {
  const prng = new Prng(3);
  const n = 100_000;
  const mean = (next: () => number) => Array.from({ length: n }, next).reduce((sum, value) => sum + value, 0) / n;
  ok(Math.abs(mean(() => prng.float()) - 0.5) < 0.01);
  ok(Math.abs(mean(() => prng.below(7)) - 3) < 0.05);
  ok(Math.abs(mean(() => prng.exponential(20)) - 20) < 0.5);
  ok(Math.abs(mean(() => prng.normal(5, 2)) - 5) < 0.05);
});

Deno.test("Prng.below() reaches every value below its bound and no other", () => {
  const prng = new Prng(5);
  const seen = new Set(Array.from({ length: 1000 }, () => prng.below(6)));
  deepStrictEqual([...seen].sort(), [0, 1, 2, 3, 4, 5]);
});
