import { deepStrictEqual, equal } from "node:assert/strict";
import { testContext, testPool } from "./testing.ts";

Deno.test("refresh() takes a fresh sample and counts at once what was sent since", () => {
  const { load } = testContext(testPool([
    { waiting: 2, running: 5, kv: 0.4, requests: 3 },
    { waiting: 2, running: 5, kv: 0.4, requests: 12 },
  ]));
  deepStrictEqual([...load.running.subarray(0, 2)], [5, 10]);
  deepStrictEqual([...load.waiting.subarray(0, 2)], [2, 2]);
});

Deno.test("refresh() gives an unseen or stale endpoint the mean of the fresh ones, or its own requests when more", () => {
  const { load } = testContext(testPool([
    { waiting: 4, running: 10, kv: 0.2 },
    { waiting: 0, running: 20, kv: 0.6 },
    { ageMs: null },
    { ageMs: 10_001, waiting: 99, running: 99, kv: 0.99 },
    { ageMs: null, requests: 40 },
    { ageMs: 10_000, waiting: 2, running: 15, kv: 0.4 },
  ]));
  deepStrictEqual([...load.fresh.subarray(0, 6)], [1, 1, 0, 0, 0, 1]);
  deepStrictEqual([...load.waiting.subarray(0, 6)], [4, 0, 2, 2, 2, 2]);
  deepStrictEqual([...load.running.subarray(0, 6)], [10, 20, 15, 15, 38, 15]);
  equal(Math.round(load.kvUsage[2] * 1e9), 400_000_000);
});

Deno.test("refresh() falls back to our own requests when no endpoint was ever seen", () => {
  const { load } = testContext(testPool([{ ageMs: null, requests: 7 }, { ageMs: null }]));
  deepStrictEqual([...load.running.subarray(0, 2)], [7, 0]);
  deepStrictEqual([...load.waiting.subarray(0, 2)], [7, 0]);
  deepStrictEqual([...load.kvUsage.subarray(0, 2)], [0, 0]);
});
