import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Engine } from "./engine.ts";
import type { EngineOptions, EngineRequest, RequestTimes } from "./engine_types.ts";
import { promptFromTokens } from "./prompt.ts";

function request(tokens: number, family = 0): EngineRequest {
  const ids = Uint32Array.from({ length: tokens }, (_, i) => family * 1_000_003 + i);
  return { prompt: promptFromTokens(ids, { blockSize: 16 }), outputTokens: 1 };
}

function run(engine: Engine, one: EngineRequest): RequestTimes {
  const nowMs = 1e6 * (engine.metrics().finished + 1);
  ok(engine.submit(one, nowMs));
  for (let wake = engine.wakeMs(); wake !== undefined; wake = engine.wakeMs()) {
    for (const event of engine.advance(Math.max(wake, nowMs))) if (event.kind === "finish") return event.times;
  }
  throw new Error("The request has not finished");
}

function near(actual: number, expected: number): void {
  ok(Math.abs(actual - expected) < 1e-6, `${actual} is not ${expected}`);
}

const cpu = { tier: "cpu", blocks: 100, loadNs: 5000 } as const;

Deno.test("an evicted prefix comes back from the slower tier, at its load time in place of computing it", () => {
  for (const policy of ["store", "evict"] as const) {
    const engine = new Engine({ cacheBlocks: 10, offload: { tiers: [cpu], policy } });
    run(engine, request(160));
    run(engine, request(160, 1));
    const times = run(engine, request(160));
    equal(times.cachedTokens, 144, policy);
    // 144 tokens at 5 µs, 16 computed at 8 a millisecond.
    near(times.finishedMs - times.arrivedMs, 6.35 + 144 * 0.005 + 16 / 8);
    const again = run(engine, request(160));
    near(again.finishedMs - again.arrivedMs, 6.35 + 16 / 8);
  }
});

Deno.test("without a slower tier an evicted prefix is computed again", () => {
  const engine = new Engine({ cacheBlocks: 10 });
  for (const family of [0, 1]) run(engine, request(160, family));
  equal(run(engine, request(160)).cachedTokens, 0);
});

Deno.test("what falls out of a tier goes to the next, and comes back at that tier's time", () => {
  const tiers: EngineOptions["offload"]["tiers"] = [
    { tier: "cpu", blocks: 10, loadNs: 5000 },
    { tier: "disk", blocks: 100, loadNs: 40_000 },
  ];
  const engine = new Engine({ cacheBlocks: 10, offload: { tiers, policy: "store" } });
  for (const family of [0, 1, 2]) run(engine, request(160, family));
  const times = run(engine, request(160));
  equal(times.cachedTokens, 144);
  near(times.finishedMs - times.arrivedMs, 6.35 + 144 * 0.04 + 16 / 8);
});

Deno.test("a tier that holds less than a chain keeps its head", () => {
  const engine = new Engine({ cacheBlocks: 10, offload: { tiers: [{ ...cpu, blocks: 10 }], policy: "evict" } });
  for (const family of [0, 1]) run(engine, request(160, family));
  // The three blocks of a third prompt push three of the second's out, and the tier lets go of the first's last ones.
  run(engine, request(48, 2));
  const cached = run(engine, request(160)).cachedTokens;
  deepStrictEqual([cached > 0, cached < 144], [true, true]);
  equal(cached, 112);
});

Deno.test("waitingUncachedTokens() counts what no tier holds of the requests that wait", () => {
  const engine = new Engine({ cacheBlocks: 20, maxRunning: 1, offload: { tiers: [cpu], policy: "store" } });
  run(engine, request(160));
  run(engine, request(320, 1));
  const nowMs = 5e6;
  engine.submit(request(32, 2), nowMs);
  engine.submit(request(165), nowMs);
  engine.submit(request(50, 3), nowMs);
  engine.advance(nowMs);
  equal(engine.metrics().waiting, 2);
  // 160 of 165 tokens are on the slower tier.
  equal(engine.waitingUncachedTokens(), 5 + 50);
});
