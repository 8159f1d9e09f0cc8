import { equal, ok } from "node:assert/strict";
import { DrainRate } from "./drain_rate.ts";

function dispatches(rate: DrainRate, count: number, fromMs: number, gapMs: number): number {
  for (let i = 1; i <= count; i++) rate.dispatched(fromMs + i * gapMs);
  return fromMs + count * gapMs;
}

Deno.test("a rate is known after eight dispatches and a second of waiting", () => {
  const rate = new DrainRate();
  rate.began(0);
  dispatches(rate, 50, 0, 10);
  equal(rate.perMs(500), undefined, "what comes first is what just had room");
  dispatches(rate, 80, 500, 10);
  ok(Math.abs(rate.perMs(1300)! - 0.1) < 0.01);
  const slow = new DrainRate();
  slow.began(0);
  dispatches(slow, 8, 0, 300);
  equal(slow.perMs(2400), undefined);
  dispatches(slow, 12, 2400, 300);
  ok(slow.perMs(6000)! > 0);
});

Deno.test("a steady rate is told as it is, and a change within a few seconds", () => {
  const rate = new DrainRate();
  rate.began(0);
  const atMs = dispatches(rate, 1000, 0, 20);
  ok(Math.abs(rate.perMs(atMs)! * 20 - 1) < 0.02);
  const laterMs = dispatches(rate, 1500, atMs, 4);
  ok(rate.perMs(laterMs)! * 4 > 0.8);
});

Deno.test("the time in which nothing waits does not count; a silence while something does, does", () => {
  const rate = new DrainRate();
  rate.began(0);
  const atMs = dispatches(rate, 300, 0, 10);
  rate.ended(atMs);
  const before = rate.perMs(atMs)!;
  equal(rate.perMs(atMs + 1e6), before);
  rate.began(atMs + 1e6);
  equal(rate.perMs(atMs + 1e6), before);
  ok(rate.perMs(atMs + 1e6 + 1000)! < before);
  equal(rate.perMs(atMs + 1e6 + 60_000), undefined);
});
