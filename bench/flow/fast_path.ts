/** What a decision costs with flow control on, beside the same without it, where nobody has to wait. */
import { systemClock } from "../../src/core/mod.ts";
import { flowDefaults } from "../../src/config/mod.ts";
import { FlowDispatch } from "../../src/pipeline/flow_dispatch.ts";
import type { Dispatch } from "../../src/pipeline/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { benchFlow, benchRouter, benchView } from "../lib/router.ts";
import { orderOf } from "../lib/measure.ts";
import type { Figures } from "../lib/stats.ts";

/** As many at once, so that endpoints have requests and room. */
const atOnce = 400;

const view = benchView({ maxOutputTokens: 100 });

/** Adds `fast_path_us` at 100 endpoints, and what the two ways take. */
export async function measureFastPath(decisions: number, rounds: number, figures: Figures): Promise<void> {
  const router = await benchRouter({
    clock: systemClock,
    endpoints: 100,
    plan: planFromPolicy("default"),
    seed: 1,
    blockTreeBytes: 16 << 20,
    bodyBytesMax: 1 << 16,
    cacheBlocks: 32_768,
    cacheBlockTokens: 16,
  });
  const ways: readonly (readonly [string, Dispatch])[] = [
    ["direct_decision_us", new FlowDispatch(router.parts)],
    ["flow_decision_us", benchFlow(router, flowDefaults).dispatch],
  ];
  for (const [, dispatch] of ways) perDecisionUs(dispatch, decisions);
  for (let round = 0; round < rounds; round++) {
    const us: Record<string, number> = {};
    for (const [name, dispatch] of orderOf(ways, round)) {
      figures.add(name, us[name] = perDecisionUs(dispatch, decisions));
    }
    figures.add("fast_path_us", us.flow_decision_us - us.direct_decision_us);
  }
  await router.caches.stop();
}

function perDecisionUs(dispatch: Dispatch, decisions: number): number {
  const running: { release(): void }[] = [];
  const startMs = performance.now();
  for (let i = 0; i < decisions; i++) {
    const placed = dispatch.place(view, []);
    if (placed instanceof Promise) throw new Error("A request waits");
    running.push(placed);
    if (running.length === atOnce) { for (const one of running.splice(0)) one.release(); }
  }
  const us = (performance.now() - startMs) * 1000 / decisions;
  for (const one of running) one.release();
  return us;
}
