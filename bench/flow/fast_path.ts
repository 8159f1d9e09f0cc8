/** What a decision costs with flow control on, beside the same without it, where nobody has to wait. */
import { type RequestView, systemClock } from "../../src/core/mod.ts";
import { flowDefaults } from "../../src/config/mod.ts";
import { FlowDesk } from "../../src/commands/flow_desk.ts";
import { Ceilings } from "../../src/flow/mod.ts";
import { FlowDispatch } from "../../src/pipeline/flow_dispatch.ts";
import type { Dispatch } from "../../src/pipeline/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { benchParts, benchRouter } from "../lib/router.ts";
import { orderOf } from "../lib/measure.ts";
import type { Figures } from "../lib/stats.ts";

/** As many at once, so that endpoints have requests and room. */
const atOnce = 400;

const view: RequestView = {
  id: "bench",
  api: "chat",
  receivedAtMs: 0,
  model: "bench",
  requestedModel: "bench",
  stream: true,
  maxOutputTokens: 100,
  promptTokens: 500,
  bodyBytes: 2000,
  blocks: { hashes: new BigUint64Array(0), blockTokens: 64 },
  fairnessId: "default-flow",
  objective: "",
  priority: 0,
  slo: {},
  mediaParts: 0,
  headers: { get: () => undefined },
};

/** Adds `fast_path_us` at 100 endpoints, and what the two ways take. */
export async function measureFastPath(decisions: number, rounds: number, figures: Figures): Promise<void> {
  const endpoints = 100, plan = planFromPolicy("default"), clock = systemClock;
  const router = await benchRouter({
    clock,
    endpoints,
    plan,
    seed: 1,
    blockTreeBytes: 16 << 20,
    bodyBytesMax: 1 << 16,
    cacheBlocks: 32_768,
    cacheBlockTokens: 16,
  });
  const { table, hotpath, claims: index } = router;
  const parts = benchParts({ clock, hotpath, index, plan, seed: 1, endpoints });
  const setup = { flow: flowDefaults, priorities: [] };
  const desk = new FlowDesk({ clock, table, setup, observer: {}, revoke: () => {} });
  for (const slot of table.slots()) desk.slotAdded(slot);
  const flow = {
    ceilings: new Ceilings(flowDefaults.ceiling, [0]),
    prefixWaitMs: flowDefaults.prefixWaitMs,
    holdModels: [],
    fairnessHeaders: [],
    eviction: false,
  };
  const ways: readonly (readonly [string, Dispatch])[] = [
    ["direct_decision_us", new FlowDispatch(parts)],
    ["flow_decision_us", new FlowDispatch({ ...parts, flow: desk.door(0), options: { ...parts.options, flow } })],
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
