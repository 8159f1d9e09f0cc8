import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { endpointMeta, EndpointState, EndpointTable, VirtualClock } from "../core/mod.ts";
import { concurrencyDefaults, fusedDefaults, type SaturationConfig, utilizationDefaults } from "../config/mod.ts";
import { Capacity } from "./capacity.ts";

function scene(config: SaturationConfig | undefined) {
  const table = new EndpointTable(2);
  const clock = new VirtualClock();
  const capacity = new Capacity(table, clock, config);
  const slot = table.add(endpointMeta({ host: "10.0.0.1", port: 8000 }), EndpointState.Ready);
  capacity.added(slot);
  /** The engine tells its load; `own` of its requests are ours. */
  const sample = (waiting: number, running: number, own = 0, kvUsage = 0) => {
    clock.advance(50);
    table.inflight(slot, own - table.requests[slot], 0, 0);
    table.waiting[slot] = waiting;
    table.running[slot] = running;
    table.kvUsage[slot] = kvUsage;
    table.sampleAtMs[slot] = clock.now();
    capacity.sampled(slot, own);
  };
  return { table, clock, capacity, slot, sample };
}

Deno.test("without a detector nothing is limited", () => {
  const { table, slot, sample } = scene(undefined);
  sample(1_000, 1_000, 5, 1);
  ok(table.hasRoom(slot, 1));
  equal(table.saturation(slot), 0);
});

Deno.test("fused: unlimited until a queue was seen ten times in a row", () => {
  const { table, slot, sample } = scene(fusedDefaults);
  for (let i = 0; i < 9; i++) sample(3, 8);
  sample(0, 8);
  for (let i = 0; i < 9; i++) sample(3, 5 + i);
  equal(table.requestCapacity[slot], Infinity);
  sample(3, 16);
  equal(table.requestCapacity[slot], 18, "what it ran at most, and two");
});

Deno.test("fused: the limit grows while none is queued, and falls slowly with what the engine runs", () => {
  const { table, slot, sample } = scene(fusedDefaults);
  for (let i = 0; i < 10; i++) sample(2, 40);
  equal(table.requestCapacity[slot], 42);
  const grown: number[] = [];
  for (let i = 0; i < 4; i++) {
    sample(0, 40);
    grown.push(table.requestCapacity[slot]);
  }
  deepStrictEqual(grown, [44, 48, 50, 50], "twice as much each time, up to a quarter");
  sample(0, 50);
  ok(table.requestCapacity[slot] > 60, "it ran them all: it can do more");
  sample(4, 30);
  equal(table.requestCapacity[slot], 50 + 0.1 * (30 - 50) + 2);
});

Deno.test("fused: requests that are not ours take room, and only those", () => {
  const { table, slot, sample } = scene({ ...fusedDefaults, maxConcurrency: 10 });
  sample(0, 7, 4);
  equal(table.foreign[slot], 0, "one sample may have counted ours that are gone");
  sample(0, 7, 4);
  equal(table.foreign[slot], 3);
  equal(table.saturation(slot), 0.7);
  // Sent since the sample: counts at once.
  table.inflight(slot, 3, 0, 0);
  ok(!table.hasRoom(slot, 1));
  sample(0, 7, 9);
  equal(table.foreign[slot], 0, "a sample that is behind our own count is no others'");
});

Deno.test("fused: others are forgotten when samples stay away", () => {
  const { table, clock, capacity, slot, sample } = scene({ ...fusedDefaults, maxConcurrency: 10 });
  sample(0, 7, 4);
  sample(0, 7, 4);
  clock.advance(1_000);
  capacity.missed(slot);
  equal(table.foreign[slot], 3);
  clock.advance(3_500);
  capacity.missed(slot);
  equal(table.foreign[slot], 0);
});

Deno.test("fused: prompt tokens to compute fill an endpoint; an empty one takes any prompt", () => {
  const { table, slot } = scene({ ...fusedDefaults, maxTokenConcurrency: 1_000 });
  ok(table.tryEnter(slot, 1, 0, 5_000));
  ok(!table.tryEnter(slot, 1, 0, 1));
  table.inflight(slot, 0, -4_500, 0);
  ok(!table.tryEnter(slot, 0.5, 0, 1), "half of it is what others may use");
  ok(table.tryEnter(slot, 1, 0, 1));
});

Deno.test("utilization: the engine's queue, what was sent since included, or its cache fills it", () => {
  const { table, slot, sample } = scene(utilizationDefaults);
  sample(3, 20, 20, 0.4);
  equal(table.saturation(slot), 3 / 5);
  table.inflight(slot, 1, 0, 0);
  equal(table.saturation(slot), 4 / 5);
  ok(table.hasRoom(slot, 1));
  table.inflight(slot, 1, 0, 0);
  ok(!table.hasRoom(slot, 1));
  sample(0, 20, 22, 0.8);
  ok(!table.hasRoom(slot, 1), "the cache is as full as it may be");
  equal(table.saturation(slot), 1);
});

for (
  const [stalenessPolicy, atOnce, later] of [
    ["saturated", false, false],
    ["ignore", true, true],
    ["hold", false, true],
  ] as const
) {
  Deno.test(`utilization: with ${stalenessPolicy} an old sample of a full engine leaves it ${atOnce ? "open" : "full"}`, () => {
    const { table, clock, capacity, slot, sample } = scene({ ...utilizationDefaults, stalenessPolicy });
    sample(9, 20, 20);
    capacity.missed(slot);
    ok(!table.hasRoom(slot, 1), "the sample is new");
    clock.advance(300);
    capacity.missed(slot);
    equal(table.hasRoom(slot, 1), atOnce);
    clock.advance(200);
    capacity.missed(slot);
    equal(table.hasRoom(slot, 1), later);
    sample(0, 20, 20);
    ok(table.hasRoom(slot, 1));
  });
}

Deno.test("concurrency: requests, tokens, or whichever is fuller", () => {
  const limits = (mode: "requests" | "tokens" | "hybrid") => {
    const { table, slot } = scene({ ...concurrencyDefaults, mode, maxConcurrency: 4, maxTokenConcurrency: 100 });
    table.inflight(slot, 2, 75, 0);
    return table.saturation(slot);
  };
  deepStrictEqual([limits("requests"), limits("tokens"), limits("hybrid")], [0.5, 0.75, 0.75]);
});

Deno.test("how long requests stay is told from those under way and those that left", () => {
  const { table, clock, capacity, slot } = scene(fusedDefaults);
  // Four under way at any time, one leaves each 100 ms: each stays for 400 ms.
  table.inflight(slot, 4, 0, 0);
  Atomics.add(table.totalRequests, slot, 4);
  for (let i = 0; i < 200; i++) {
    clock.advance(100);
    Atomics.add(table.totalRequests, slot, 1);
    capacity.sampled(slot, 4);
  }
  ok(Math.abs(table.serviceMs[slot] - 400) < 5, `${table.serviceMs[slot]}`);
});

Deno.test("another detector counts at once", () => {
  const { table, capacity, slot } = scene({ ...fusedDefaults, maxConcurrency: 1 });
  equal(table.requestCapacity[slot], 1);
  capacity.use({ ...concurrencyDefaults, maxConcurrency: 7 });
  deepStrictEqual([table.requestCapacity[slot], table.tokenCapacity[slot]], [7, Infinity]);
  capacity.use(undefined);
  equal(table.requestCapacity[slot], Infinity);
});
