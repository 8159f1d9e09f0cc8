import { ok } from "node:assert/strict";
import { defaultCost, stepMs } from "./cost.ts";

Deno.test("stepMs() adds base, requests, prompt tokens and attention", () => {
  const work = { requests: 10, prefillTokens: 800, prefillPairs: 1_000_000, decodeContext: 500_000 };
  // 6 + 3.5 + 100, and with attention 1.3 ns and 40 ns: 1.3 + 20 ms more.
  ok(Math.abs(stepMs(defaultCost, work) - 109.5) < 1e-9);
  const cost = { ...defaultCost, prefillAttentionNs: 1.3, decodeAttentionNs: 40 };
  ok(Math.abs(stepMs(cost, work) - 130.8) < 1e-9);
});
