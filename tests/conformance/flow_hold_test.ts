/** A request whose prefix lies at a full endpoint waits for it where that is quicker than computing it elsewhere. */
import { equal, ok } from "node:assert/strict";
import { type RequestView, VirtualClock } from "../../src/core/mod.ts";
import { flowDefaults, fusedDefaults } from "../../src/config/mod.ts";
import { Placed } from "../../src/pipeline/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { BenchLearning } from "../../bench/lib/latency.ts";
import { benchFlow, benchRouter, benchView, turns } from "../../bench/lib/router.ts";

const promptTokens = 6_400;
const prefixWaitMs = 2_000;
/** Requests before the first one: of fewer nothing is known of how long a prompt takes. */
const served = 12;

/** Two endpoints of one place; prompts took a millisecond a token, and the first request is still there. */
async function scene(serviceMs: number, before = served) {
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
    latency: (hotpath) => new BenchLearning(clock, { seed: 1, training: false }).over(hotpath),
  });
  const { table } = router;
  const flow = { ...flowDefaults, saturation: { ...fusedDefaults, maxConcurrency: 1 }, prefixWaitMs };
  const { desk, dispatch } = benchFlow(router, flow);
  const answered = async (view: RequestView) => {
    const placed = await dispatch.place(view, []);
    clock.advance(view.promptTokens);
    placed.answered(view.promptTokens, 200, true);
    return placed;
  };
  for (let i = 1; i <= before; i++) (await answered(view(clock, 320 * i, i))).release();
  const first = await answered(view(clock));
  table.serviceMs[first.slot] = serviceMs;
  return { clock, table, desk, dispatch, first, stop: () => router.caches.stop() };
}

/** Prompts of another `text` have nothing in common. */
function view(clock: VirtualClock, tokens = promptTokens, text = 0): RequestView {
  const hashes = BigUint64Array.from({ length: tokens / 64 }, (_, i) => BigInt(1000 * text + i + 1));
  return benchView({
    receivedAtMs: clock.now(),
    maxOutputTokens: 10,
    promptTokens: tokens,
    blocks: { hashes, blockTokens: 64 },
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

Deno.test("nothing is waited for before it is known how long prompts take", async () => {
  const { clock, dispatch, first, stop } = await scene(500, 0);
  const elsewhere = dispatch.place(view(clock), []);
  ok(elsewhere instanceof Placed);
  equal(elsewhere.slot, 1 - first.slot);
  await stop();
});
