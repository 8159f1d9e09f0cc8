import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { bandDefaults } from "../config/mod.ts";
import { nobodyQueued, systemClock } from "../core/mod.ts";
import { FlowController } from "./controller.ts";
import { FlowBed, type FlowChanges, flowConfig } from "./flow_testing.ts";

const full = (changes: FlowChanges = {}, capacities = [1]) => new FlowBed(capacities, changes).fill();

Deno.test("a request that finds room is answered at once; one that does not, when there is room", () => {
  const bed = new FlowBed([2]);
  const ids = bed.asks(3);
  deepStrictEqual(ids.map((id) => bed.at(id)), [0, 0, "waits"]);
  bed.clock.advance(70);
  bed.done(0);
  deepStrictEqual(bed.answers.get(ids[2]), { slot: 0, prefillTokens: 0, account: 1, waitedMs: 70 });
  deepStrictEqual(bed.ends, [[1, "Dispatched", 0], [2, "Dispatched", 0], [3, "Dispatched", 70]]);
  deepStrictEqual([bed.table.requests[0], bed.flow.size, bed.flow.tenants.size], [2, 0, 0]);
});

Deno.test("a place counts as that of the edge that asked", () => {
  const bed = full();
  bed.ask({}, 1);
  bed.done(0);
  deepStrictEqual([bed.table.requests[0], bed.table.releaseIsolate(1), bed.table.requests[0]], [1, 1, 0]);
});

Deno.test("a request waits no longer than its band, the configuration and its client allow, to the millisecond", () => {
  const bed = full({ ttlMs: 1000, bands: [{ ...bandDefaults, priority: 1, ttlMs: 300 }] });
  const expected: [Parameters<FlowBed["ask"]>[0], number][] = [
    [{}, 1000],
    [{ ttlMs: 400 }, 400],
    [{ ttlMs: 2000 }, 1000],
    [{ ttlMs: 0 }, 1000],
    [{ priority: 1 }, 300],
    [{ priority: 1, ttlMs: 200 }, 200],
  ];
  for (const [changes, ttlMs] of expected) {
    const id = bed.ask(changes);
    bed.clock.advance(ttlMs - 1);
    equal(bed.at(id), "waits");
    bed.clock.advance(1);
    equal(bed.at(id), "EvictedTTL");
    deepStrictEqual(bed.ends.at(-1), [id, "EvictedTTL", ttlMs]);
  }
  const patient = full({ ttlMs: 0 });
  const [forever, some] = [patient.ask(), patient.ask({ ttlMs: 90 * 86_400_000 })];
  patient.clock.advance(90 * 86_400_000 - 1);
  deepStrictEqual([patient.at(forever), patient.at(some)], ["waits", "waits"]);
  patient.clock.advance(1);
  deepStrictEqual([patient.at(forever), patient.at(some)], ["waits", "EvictedTTL"]);
});

Deno.test("without endpoints another budget counts, and each turn of the pool starts the clock anew", () => {
  const bed = new FlowBed([1], { ttlMs: 100, noEndpointTtlMs: 1000 });
  const lane = (slots: number[]) => bed.flow.resize([{ lane: "m", model: "m", slots }]);
  const cold = bed.ask({ slots: [] });
  bed.clock.advance(999);
  equal(bed.at(cold), "waits", "longer than where there are endpoints");
  bed.clock.advance(1);
  equal(bed.at(cold), "EvictedNoEndpoints");
  match(bed.told(cold).message, /No endpoint became ready within 1\.0 s/);
  const turned = bed.ask({ slots: [] });
  bed.clock.advance(900);
  bed.table.tryEnter(0, 1);
  lane([0]);
  bed.clock.advance(99);
  lane([]);
  bed.clock.advance(999);
  equal(bed.at(turned), "waits");
  lane([0]);
  bed.clock.advance(99);
  equal(bed.at(turned), "waits");
  bed.clock.advance(1);
  equal(bed.at(turned), "EvictedTTL");
});

Deno.test("the first endpoint of a lane takes what waited for one, without anyone asking", () => {
  const bed = new FlowBed([2]);
  const ids = bed.asks(3, { slots: [] });
  bed.flow.resize([{ lane: "m", model: "m", slots: [0] }]);
  deepStrictEqual(ids.map((id) => bed.at(id)), [0, 0, "waits"]);
});

Deno.test("a request that knows of more endpoints brings them to those that wait, first to them", () => {
  for (const last of [{}, { hold: { slot: 0, ms: 100 } }, { tenant: "refused", promptTokens: 1000 }]) {
    const bed = full({ tenantLimits: { maxTokens: 500 } }, [1, 0]);
    const waits = bed.ask({ slots: [0] });
    bed.table.requestCapacity[1] = 1;
    const told = bed.ask({ slots: [0, 1], ...last });
    equal(bed.at(waits), 1);
    ok(bed.at(told) !== 1);
  }
});

Deno.test("one subset of endpoints that is full holds up no other", () => {
  const bed = full({}, [1, 1]);
  const first = bed.ask({ slots: [0], lane: "0", priority: 9 });
  const other = bed.ask({ slots: [1], lane: "1", priority: -9 }), both = bed.ask({ lane: "both" });
  bed.done(1);
  bed.done(1);
  deepStrictEqual([first, other, both].map((id) => bed.at(id)), ["waits", 1, 1]);
});

Deno.test("an endpoint that its health closes takes nothing, and takes it up when it is open again", () => {
  const bed = new FlowBed([1, 1]);
  bed.closed.add(0).add(1);
  const id = bed.ask();
  bed.flow.room(0);
  equal(bed.at(id), "waits");
  bed.closed.delete(1);
  bed.flow.look();
  equal(bed.at(id), 1);
});

Deno.test("a request waits for the endpoint with its prefix for a time, then for any", () => {
  const bed = full({}, [1, 1]);
  const hold = { slot: 0, ms: 200 };
  const [near, far] = [bed.ask({ hold }), bed.ask({ hold })];
  bed.done(1);
  deepStrictEqual([bed.at(near), bed.at(far)], ["waits", "waits"]);
  bed.clock.advance(100);
  bed.done(0);
  equal(bed.at(near), 0);
  bed.clock.advance(99);
  equal(bed.at(far), "waits");
  bed.clock.advance(1);
  equal(bed.at(far), 1);
  const elsewhere = bed.ask({ hold: { slot: 7, ms: 200 }, slots: [0, 1] });
  bed.done(1);
  equal(bed.at(elsewhere), 1, "an endpoint that is none of its own is not waited for");
});

Deno.test("its time to wait counts on while it waits for one endpoint", () => {
  const bed = full({ ttlMs: 300 }, [1, 1]);
  const short = bed.ask({ hold: { slot: 0, ms: 200 }, ttlMs: 100 }), long = bed.ask({ hold: { slot: 0, ms: 200 } });
  bed.clock.advance(100);
  deepStrictEqual([bed.at(short), bed.at(long)], ["EvictedTTL", "waits"]);
  bed.clock.advance(199);
  equal(bed.at(long), "waits");
  bed.clock.advance(1);
  equal(bed.at(long), "EvictedTTL");
});

Deno.test("when the endpoint that a request waits for is gone, it waits for any at once", () => {
  const bed = full({ noEndpointTtlMs: 500 }, [1, 1]);
  const ids = [bed.ask({ hold: { slot: 0, ms: 2000 } }), bed.ask({ hold: { slot: 0, ms: 2000 } })];
  bed.done(1);
  deepStrictEqual(ids.map((id) => bed.at(id)), ["waits", "waits"]);
  bed.flow.resize([{ lane: "m", model: "m", slots: [1] }]);
  deepStrictEqual(ids.map((id) => bed.at(id)), [1, "waits"]);
  bed.done(0);
  equal(bed.at(ids[1]), "waits", "the slot may be another model's by now");
  bed.flow.resize([{ lane: "m", model: "m", slots: [] }]);
  bed.clock.advance(500);
  equal(bed.at(ids[1]), "EvictedNoEndpoints");
});

Deno.test("prompts sent at once to an endpoint do not pass what it may compute, though they are not counted there yet", () => {
  const bed = new FlowBed([Infinity]);
  bed.table.tokenCapacity[0] = 100;
  bed.table.inflight(0, 0, 100, 0);
  bed.asks(20, { prefillTokens: 30 });
  bed.table.inflight(0, 0, -80, 0);
  deepStrictEqual([bed.served.length, bed.flow.size], [3, 17]);
});

Deno.test("cancel() ends a request once, at once; what was answered is not the queue's any more", () => {
  const bed = full();
  const [gone, next] = bed.asks(2);
  bed.flow.cancel(0, gone);
  bed.flow.cancel(0, gone);
  bed.flow.cancel(1, next);
  bed.flow.cancel(0, 99);
  deepStrictEqual([bed.at(gone), bed.flow.size], ["EvictedContextCancelled", 1]);
  bed.done(0);
  bed.flow.cancel(0, next);
  deepStrictEqual([bed.at(next), bed.table.requests[0], bed.flow.size], [0, 1, 0]);
});

Deno.test("abandon() ends what an edge had waiting, and nothing of another's", () => {
  const bed = full({}, [1, 1]);
  const own = [bed.ask({}, 1), bed.ask({ hold: { slot: 0, ms: 9 } }, 1)], other = bed.ask({}, 0);
  bed.flow.abandon(1);
  bed.flow.abandon(7);
  deepStrictEqual([...own, other].map((id) => bed.at(id)), [
    "EvictedContextCancelled",
    "EvictedContextCancelled",
    "waits",
  ]);
  bed.done(0);
  equal(bed.at(other), 0);
});

Deno.test("stop() refuses what waits and whatever comes, and leaves no timer", () => {
  const bed = full({}, [1, 1]);
  const ids = [bed.ask({}, 0), bed.ask({}, 1), bed.ask({ hold: { slot: 0, ms: 9 } })];
  bed.flow.stop();
  ids.push(bed.ask());
  deepStrictEqual(ids.map((id) => bed.at(id)), new Array(4).fill("EvictedOther"));
  match(bed.told(ids[0]).message, /shutting down/);
  deepStrictEqual([bed.clock.step(), bed.flow.size, bed.flow.tenants.size], [false, 0, 0]);
  ok(bed.table.queued.every((mark) => mark === nobodyQueued));
});

Deno.test("an answer may ask, cancel and stop from within", () => {
  const bed = full({}, [3]);
  const { flow, table } = bed;
  const ids: number[] = bed.asks(2);
  const ask = {
    lane: "m",
    model: "m",
    slots: [0],
    tenant: "t",
    priority: 5,
    receivedAtMs: 0,
    promptTokens: 1,
    prefillTokens: 0,
  };
  flow.enqueue(0, { ...ask, id: 999, outputTokens: 0, bodyBytes: 0 }, () => {
    flow.cancel(0, ids[0]);
    ids.push(bed.ask({ priority: 5 }), bed.ask());
    table.inflight(0, -1, 0, 0);
    flow.cancel(0, ids[3]);
  });
  bed.done(0);
  deepStrictEqual([ids.map((id) => bed.at(id)), table.requests[0], flow.size], [
    ["EvictedContextCancelled", "waits", 0, "EvictedContextCancelled"],
    3,
    1,
  ]);
});

Deno.test("use(): limits, ceilings, time to wait and shares count from now on; what waits keeps its order", () => {
  const bed = new FlowBed([4], { ttlMs: 1000, ceiling: { policy: "static", threshold: 0.5 } });
  const ids = bed.asks(5);
  equal(bed.flow.size, 3);
  bed.flow.use(flowConfig({ ttlMs: 500 }), []);
  deepStrictEqual([bed.flow.size, bed.table.requests[0]], [1, 4]);
  bed.flow.use(flowConfig({ ttlMs: 5000, limits: { maxRequests: 1 } }), []);
  bed.clock.advance(4000);
  deepStrictEqual([bed.at(ids[4]), bed.at(bed.ask())], ["waits", "RejectedCapacity"]);
  bed.flow.use(flowConfig({ ttlMs: 4500, defaultBand: { ...bandDefaults, ordering: "slo-deadline" } }), []);
  const urgent = bed.ask({ ttftMs: 10 });
  bed.clock.advance(500);
  equal(bed.at(ids[4]), "EvictedTTL");
  bed.done(0);
  equal(bed.at(urgent), 0);
});

Deno.test("nothing is left behind: no timer, no count, no mark", () => {
  const bed = full({ tenants: { a: { weight: 2 } }, aging: { afterMs: 10, share: 0.1 } }, [1, 1]);
  for (let i = 0; i < 500; i++) {
    bed.clock.advance(7);
    bed.ask({ tenant: `t${i % 7}`, priority: i % 3, hold: i % 4 ? undefined : { slot: i % 2, ms: 50 } });
    if (i % 2) bed.done(i % 4 >> 1);
  }
  bed.clock.advance(60_000);
  while (bed.clock.step());
  deepStrictEqual([bed.flow.size, bed.flow.held.tokens, bed.flow.held.bytes, bed.flow.tenants.size], [0, 0, 0, 0]);
  for (const { held } of bed.flow.bands.list) deepStrictEqual([held.requests, held.tokens, held.bytes], [0, 0, 0]);
  ok(bed.table.queued.every((mark) => mark === nobodyQueued));
  equal(bed.answers.size, 500);
});

Deno.test("one timer waits for all, set to whole milliseconds that are not before the time", () => {
  const { table } = new FlowBed([1]).fill();
  const set: number[] = [];
  let nowMs = 0.7;
  const clock = { ...systemClock, now: () => nowMs, after: (ms: number) => (set.push(ms), { cancel: () => {} }) };
  const flow = new FlowController({
    clock,
    table,
    config: flowConfig({ ttlMs: 100 }),
    priorities: [],
    open: () => true,
  });
  const ask = {
    lane: "m",
    model: "m",
    slots: [0],
    tenant: "t",
    priority: 0,
    receivedAtMs: 0,
    promptTokens: 1,
    prefillTokens: 0,
  };
  const enqueue = (id: number, ttlMs: number) =>
    flow.enqueue(0, { ...ask, id, ttlMs, outputTokens: 0, bodyBytes: 0 }, () => {});
  enqueue(1, 50.5);
  nowMs = 1.2;
  enqueue(2, 100);
  enqueue(3, 10.1);
  deepStrictEqual(set, [51, 11]);
  flow.use(flowConfig({ ttlMs: 0 }), []);
  enqueue(4, 1e13);
  ok(set.every((ms) => ms < 2 ** 31));
  flow.stop();
});
