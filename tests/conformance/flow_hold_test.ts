/** A request whose prefix lies at a full endpoint waits for it where that is quicker than computing it elsewhere. */
import { equal, ok } from "node:assert/strict";
import { type RequestView, VirtualClock } from "../../src/core/mod.ts";
import { flowDefaults, fusedDefaults } from "../../src/config/mod.ts";
import { FlowDesk } from "../../src/commands/flow_desk.ts";
import { Ceilings } from "../../src/flow/mod.ts";
import { FlowDispatch } from "../../src/pipeline/flow_dispatch.ts";
import { Placed } from "../../src/pipeline/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { benchParts, benchRouter } from "../../bench/lib/router.ts";

const promptTokens = 6_400;
const prefixWaitMs = 2_000;

/** Two endpoints of one place; the first request's prompt took a millisecond a token, and it is still there. */
async function scene(serviceMs: number) {
  const clock = new VirtualClock();
  const plan = planFromPolicy("default"), endpoints = 2;
  const router = await benchRouter({
    clock,
    endpoints,
    plan,
    seed: 1,
    blockTreeBytes: 1 << 20,
    bodyBytesMax: 1 << 16,
    cacheBlocks: 4_096,
    cacheBlockTokens: 16,
  });
  const { table, hotpath, claims } = router;
  const flow = { ...flowDefaults, saturation: { ...fusedDefaults, maxConcurrency: 1 }, prefixWaitMs };
  const desk = new FlowDesk({ clock, table, setup: { flow, priorities: [] }, observer: {}, revoke: () => {} });
  for (const slot of table.slots()) desk.slotAdded(slot);
  const parts = benchParts({ clock, hotpath, index: claims, plan, seed: 1, endpoints });
  const options = {
    ceilings: new Ceilings(flow.ceiling, [0]),
    prefixWaitMs,
    holdModels: [],
    fairnessHeaders: [],
    eviction: false,
  };
  const dispatch = new FlowDispatch({ ...parts, flow: desk.door(0), options: { ...parts.options, flow: options } });
  const first = await dispatch.place(view(clock), []);
  clock.advance(promptTokens);
  first.answered(promptTokens, 200, true);
  table.serviceMs[first.slot] = serviceMs;
  return { clock, table, desk, dispatch, first, stop: () => router.caches.stop() };
}

function view(clock: VirtualClock): RequestView {
  return {
    id: "hold",
    api: "chat",
    receivedAtMs: clock.now(),
    model: "bench",
    requestedModel: "bench",
    stream: true,
    maxOutputTokens: 10,
    promptTokens,
    bodyBytes: promptTokens * 4,
    blocks: { hashes: BigUint64Array.from({ length: promptTokens / 64 }, (_, i) => BigInt(i + 1)), blockTokens: 64 },
    fairnessId: "default-flow",
    objective: "",
    priority: 0,
    slo: {},
    mediaParts: 0,
    headers: { get: () => undefined },
  };
}

async function turns(): Promise<void> {
  for (let i = 0; i < 6; i++) await Promise.resolve();
}

Deno.test("a full endpoint that holds the prefix is waited for while others have room, and taken when it has", async () => {
  const { clock, table, desk, dispatch, first, stop } = await scene(500);
  const placing = dispatch.place(view(clock), []);
  ok(placing instanceof Promise, "it waits");
  equal(desk.controller.size, 1);
  clock.advance(400);
  first.release();
  const placed = await placing;
  equal(placed.slot, first.slot);
  ok(placed.cachedTokens > promptTokens / 2);
  equal(placed.waited?.ms, 400);
  placed.release();
  equal(table.requests[placed.slot], 0);
  await stop();
});

Deno.test("it is waited for no longer than configured, then the others count", async () => {
  const { clock, desk, dispatch, first, stop } = await scene(500);
  const placing = dispatch.place(view(clock), []);
  clock.advance(prefixWaitMs - 1);
  await turns();
  equal(desk.controller.size, 1);
  clock.advance(1);
  const placed = await placing;
  equal(placed.slot, 1 - first.slot);
  await stop();
});

Deno.test("what takes longer than computing the prefix elsewhere is not waited for, nor where somebody waits already", async () => {
  const slow = await scene(1e6);
  const elsewhere = slow.dispatch.place(view(slow.clock), []);
  ok(elsewhere instanceof Placed);
  equal(elsewhere.slot, 1 - slow.first.slot);
  await slow.stop();

  const { clock, dispatch, first, stop } = await scene(500);
  ok(dispatch.place(view(clock), []) instanceof Promise);
  const second = dispatch.place(view(clock), []);
  ok(second instanceof Placed);
  equal(second.slot, 1 - first.slot);
  await stop();
});
