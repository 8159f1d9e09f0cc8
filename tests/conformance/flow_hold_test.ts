/** A request whose prefix lies at a full endpoint waits for it where that is quicker than computing it elsewhere. */
import { equal, ok } from "node:assert/strict";
import { RecordRing, type RequestView, VirtualClock } from "../../src/core/mod.ts";
import { type EdgeLatency, edgeLatency } from "../../src/commands/latency_desk.ts";
import { flowDefaults, fusedDefaults } from "../../src/config/mod.ts";
import { latencyDefaults } from "../../src/config/latency_defaults.ts";
import type { Hotpath } from "../../src/hotpath/mod.ts";
import { LatencyState } from "../../src/latency/mod.ts";
import { Placed } from "../../src/pipeline/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { benchFlow, benchRouter, benchView, turns } from "../../bench/lib/router.ts";

const promptTokens = 6_400;
const prefixWaitMs = 2_000;

/** What predicts, once it has learned so much. */
function millisecondAToken(hotpath: Hotpath): EdgeLatency {
  const state = new LatencyState(hotpath.table.capacity, 1);
  state.ttftTokenMs.fill(1);
  for (let i = 0; i < 8; i++) state.labelled(0, 0, 0);
  const setup = { ...latencyDefaults, predicts: true };
  return edgeLatency({ hotpath, state, ring: new RecordRing(1 << 10), rung() {}, isolate: 0, setup });
}

/** Two endpoints of one place; the first request's prompt took a millisecond a token, and it is still there. */
async function scene(serviceMs: number) {
  const clock = new VirtualClock();
  const router = await benchRouter({
    clock,
    endpoints: 2,
    plan: planFromPolicy("default"),
    seed: 1,
    blockTreeBytes: 1 << 20,
    bodyBytesMax: 1 << 16,
    cacheBlocks: 4_096,
    cacheBlockTokens: 16,
    latency: (hotpath) => millisecondAToken(hotpath),
  });
  const { table } = router;
  const flow = { ...flowDefaults, saturation: { ...fusedDefaults, maxConcurrency: 1 }, prefixWaitMs };
  const { desk, dispatch } = benchFlow(router, flow);
  const first = await dispatch.place(view(clock), []);
  clock.advance(promptTokens);
  first.answered(promptTokens, 200, true);
  table.serviceMs[first.slot] = serviceMs;
  return { clock, table, desk, dispatch, first, stop: () => router.caches.stop() };
}

function view(clock: VirtualClock): RequestView {
  return benchView({
    receivedAtMs: clock.now(),
    maxOutputTokens: 10,
    promptTokens,
    blocks: { hashes: BigUint64Array.from({ length: promptTokens / 64 }, (_, i) => BigInt(i + 1)), blockTokens: 64 },
  });
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
  await turns(6);
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
