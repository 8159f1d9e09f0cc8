import { equal, ok } from "node:assert/strict";
import { PrefillRate } from "./prefill_rate.ts";

Deno.test("PrefillRate predicts nothing before it has seen a prompt computed", () => {
  const rate = new PrefillRate();
  equal(rate.predictMs(1000), undefined);
  rate.observe(10, 500);
  equal(rate.predictMs(1000), undefined, "a cached prompt says nothing");
  rate.observe(8000, 1000);
  equal(rate.predictMs(4000), 500);
});

Deno.test("PrefillRate follows a pool that becomes slower", () => {
  const rate = new PrefillRate();
  rate.observe(8000, 1000);
  for (let i = 0; i < 100; i++) rate.observe(2000, 1000);
  const predicted = rate.predictMs(2000)!;
  ok(predicted > 950 && predicted < 1001, String(predicted));
});
