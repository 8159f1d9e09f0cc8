import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { bandDefaults } from "../config/mod.ts";
import { FlowBed, type FlowChanges } from "./flow_testing.ts";
import type { FlowAsk } from "./types.ts";

const full = (changes: FlowChanges = {}, endpoints = 1) => new FlowBed(new Array(endpoints).fill(1), changes).fill();
const band = (changes: Partial<typeof bandDefaults>) => ({ defaultBand: { ...bandDefaults, ...changes } });
const states = (bed: FlowBed, ids: readonly number[]) => ids.map((id) => bed.at(id) === "waits" ? "w" : "-").join("");

Deno.test("limits of all requests, of a band and of a tenant each count requests, tokens and bytes", () => {
  const limits: [FlowChanges["limits"], Partial<FlowAsk>][] = [
    [{ maxRequests: 2 }, {}],
    [{ maxTokens: 30 }, { promptTokens: 10, outputTokens: 5 }],
    [{ maxBytes: 9 }, { bodyBytes: 4 }],
  ];
  for (const [limit, ask] of limits) {
    for (const changes of [{ limits: limit }, band(limit!), { tenantLimits: limit }]) {
      const bed = full(changes);
      const ids = bed.asks(3, ask);
      deepStrictEqual([states(bed, ids), bed.at(ids[2])], ["ww-", "RejectedCapacity"]);
      match(bed.told(ids[2]).message, /^The queue of (all requests|priority 0|tenant t) is full$/);
      bed.done(0);
      equal(states(bed, [bed.ask(ask), bed.ask(ask)]), "w-", "room is taken anew");
    }
  }
});

Deno.test("a tenant that is named has its own limits, one named like a method of objects has the others'", () => {
  const bed = full({ tenantLimits: { maxRequests: 1 }, tenants: { big: { weight: 1, maxRequests: 2 } } });
  equal(states(bed, bed.asks(3, { tenant: "big" })), "ww-");
  for (const tenant of ["small", "constructor", "__proto__", "toString"]) {
    equal(states(bed, bed.asks(2, { tenant })), "w-", tenant);
  }
});

Deno.test("a tenant's limit holds for its first request too", () => {
  const bed = full({ tenantLimits: { maxTokens: 5 } });
  equal(states(bed, [bed.ask({ promptTokens: 6 }), bed.ask({ promptTokens: 5 })]), "-w");
});

Deno.test("what finds room at once is not held to the limits of the queue", () => {
  const bed = new FlowBed([1, 1], { limits: { maxRequests: 1 } });
  bed.asks(2, { slots: [0], lane: "0" });
  deepStrictEqual([bed.flow.size, bed.at(bed.ask({ slots: [1], lane: "1" }))], [1, 1]);
});

Deno.test("a full band makes room for a tenant with less: the last of whoever has most goes", () => {
  const bed = full(band({ maxRequests: 4 }));
  const most = bed.asks(3, { tenant: "most" });
  const some = [bed.ask({ tenant: "some" })];
  const more = bed.ask({ tenant: "some" });
  deepStrictEqual([states(bed, [...most, ...some, more]), bed.at(most[2])], ["ww-ww", "RejectedCapacity"]);
  match(bed.told(most[2]).message, /made room for another/);
  equal(states(bed, [bed.ask({ tenant: "most" }), bed.ask({ tenant: "some" })]), "--", "they have as many");
  equal(states(bed, [bed.ask({ tenant: "third" }), ...most, ...some, more]), "ww--ww");
});

Deno.test("what a tenant has in other bands does not count against it where a band is full", () => {
  const bed = full({ bands: [{ ...bandDefaults, priority: 1, maxRequests: 3 }] });
  bed.asks(9, { tenant: "less" });
  const most = bed.asks(3, { tenant: "most", priority: 1 });
  equal(states(bed, [bed.ask({ tenant: "less", priority: 1 }), ...most]), "www-");
});

Deno.test("with all limits reached the last of the lowest band makes room for a higher one, never for its like", () => {
  const bed = full({ limits: { maxRequests: 3 } });
  const low = bed.asks(2, { priority: -1, tenant: "a" }), high = bed.ask({ priority: 5 });
  equal(states(bed, [bed.ask({ priority: -1, tenant: "b" }), ...low, high]), "-www");
  equal(states(bed, [bed.ask({ priority: 1 }), ...low, high]), "ww-w");
  equal(states(bed, [bed.ask({ priority: 1 }), ...low, high]), "w--w");
  equal(states(bed, [bed.ask({ priority: 1 }), high]), "-w");
  deepStrictEqual([bed.flow.size, bed.flow.held.tokens, bed.flow.held.bytes], [3, 30, 3]);
});

Deno.test("nobody makes room for a request that is refused in the end", () => {
  const bed = full({ limits: { maxRequests: 5, maxTokens: 100 }, ...band({ maxTokens: 60 }) });
  const waiting = [...bed.asks(4, { priority: -1, tenant: "low" }), bed.ask({ tenant: "b" })];
  equal(bed.at(bed.ask({ promptTokens: 101, priority: 9 })), "RejectedCapacity");
  equal(bed.at(bed.ask({ promptTokens: 100, priority: 1 })), "RejectedCapacity");
  equal(states(bed, waiting), "wwwww");
  const most = full(band({ maxRequests: 4, maxTokens: 60 }));
  const four = most.asks(4, { tenant: "most" });
  most.ask({ tenant: "c", promptTokens: 50 });
  equal(states(most, four), "wwww");
  const late = full({ earlyRejection: "ttl", ttlMs: 1000, ...band({ maxRequests: 4 }) });
  late.table.serviceMs[0] = 900;
  const kept = late.asks(4, { tenant: "most" });
  late.ask({ tenant: "c" });
  equal(states(late, kept), "w---", "each of the later ones would wait for too long");
});

Deno.test("a full queue without endpoints says that there are none", () => {
  const bed = new FlowBed([], { limits: { maxRequests: 1 } });
  const [waits, refused] = bed.asks(2);
  deepStrictEqual([bed.at(waits), bed.at(refused)], ["waits", "RejectedNoEndpoints"]);
  deepStrictEqual(bed.ends, [[refused, "RejectedNoEndpoints", 0]]);
});

/** Full; one request ends every 100 ms. */
function steady(changes: FlowChanges): FlowBed {
  const bed = full({ earlyRejection: "slo", ...changes });
  bed.table.serviceMs[0] = 100;
  return bed;
}

Deno.test("a request that would wait for longer than it may is refused on arrival, and told when to come again", () => {
  const bed = steady({ ttlMs: 1000 });
  const ids = bed.asks(11);
  equal(states(bed, ids), "wwwwwwwwww-");
  deepStrictEqual(bed.told(ids[10]), {
    message: "The request would wait for about 1.1 s, longer than it may",
    retryAfterS: 2,
  });
  equal(states(bed, [bed.ask({ ttlMs: 5000 }), bed.ask({ ttlMs: 500 })]), "--", "the shorter of both counts");
  equal(states(bed, [bed.ask({ priority: 1 })]), "w", "a higher one is before them");
  const off = full({ earlyRejection: "off", ttlMs: 1000 });
  off.table.serviceMs[0] = 100;
  ok(!states(off, off.asks(20)).includes("-"));
});

Deno.test("one that would miss its target for the first token is refused on arrival, unless only TTLs count", () => {
  for (const [earlyRejection, expected] of [["slo", "ww-w"], ["ttl", "wwww"]] as const) {
    const bed = steady({ earlyRejection });
    bed.asks(3, { tenant: "others" });
    const due = (ttftMs: number, serviceMs: number) => bed.ask({ ttftMs, serviceMs });
    equal(states(bed, [due(501, 0), due(1000, 399), due(1000, 401), bed.ask()]), expected);
  }
  const bed = steady({});
  bed.clock.advance(500);
  equal(states(bed, [bed.ask({ ttftMs: 550, receivedAtMs: 0 }), bed.ask({ ttftMs: 550 })]), "-w", "part of it is over");
});

Deno.test("a request that has room now is not refused for the time that lower ones wait", () => {
  const bed = new FlowBed([4], {
    earlyRejection: "slo",
    ceiling: { policy: "priority-holdback", minCeiling: 0.5, maxCeiling: 1, domain: "rank" },
  }, [0, 1]);
  bed.asks(3);
  bed.table.serviceMs[0] = 10_000;
  deepStrictEqual([bed.flow.size, bed.at(bed.ask({ priority: 1, ttftMs: 100 }))], [1, 0]);
});

Deno.test("where tenants take turns only as many of the others' count as one has itself", () => {
  const bed = steady({ ttlMs: 1000 });
  bed.asks(10, { tenant: "much" });
  const little = bed.asks(5, { tenant: "little" });
  equal(states(bed, little), "wwww-");
  const strict = steady({ ttlMs: 1000, ...band({ fairness: { policy: "global-strict" } }) });
  strict.asks(10, { tenant: "much" });
  equal(states(strict, [strict.ask({ tenant: "little" })]), "-");
});

Deno.test("a rate is what was dispatched while something waited, else what endpoints finish; unknown, all may wait", () => {
  const bed = full({ earlyRejection: "slo", ttlMs: 3000 });
  ok(!states(bed, bed.asks(40)).includes("-"));
  for (let i = 0; i < 25; i++) {
    bed.clock.advance(50);
    bed.done(0);
  }
  // 15 wait, 20 a second: 45 more come in time.
  const first = states(bed, bed.asks(50)).indexOf("-");
  ok(first >= 43 && first <= 47, `${first}`);
});

Deno.test("who comes back when it was told to is let in, before those that came after it", () => {
  const bed = steady({ ttlMs: 1050, ...band({ fairness: { policy: "global-strict" } }) });
  bed.asks(10);
  const refused = bed.ask({ promise: "p" });
  equal(bed.told(refused).retryAfterS, 2);
  for (let i = 0; i < 10; i++) {
    bed.clock.advance(100);
    bed.done(0);
  }
  const others = bed.asks(9);
  bed.clock.advance(900);
  const back = bed.ask({ promise: "p" });
  equal(bed.at(back), "waits");
  bed.done(0);
  deepStrictEqual([bed.at(back), bed.served.includes(others[0])], [0, false]);
});

Deno.test("promised turns are kept free: whoever comes meanwhile waits behind them", () => {
  const bed = steady({ ttlMs: 1000 });
  bed.asks(10);
  for (let i = 0; i < 5; i++) bed.ask({ promise: `p${i}` });
  for (let i = 0; i < 5; i++) {
    bed.clock.advance(100);
    bed.done(0);
  }
  equal(bed.flow.size, 5);
  const refused = bed.ask();
  equal(bed.at(refused), "RejectedCapacity", "5 and 5 promised are before it");
  bed.clock.advance(60_000);
  equal(bed.flow.size, 0);
  bed.asks(4);
  equal(bed.at(bed.ask()), "waits", "nobody came for them");
});

Deno.test("one that was promised a turn gets in although the queue is full, and keeps its arrival when it does not", () => {
  const bed = full({ limits: { maxRequests: 4 } });
  bed.asks(4);
  const told = bed.ask({ promise: "p" });
  equal(bed.told(told).retryAfterS, 1);
  bed.ask({ promise: "q" });
  bed.clock.advance(1000);
  equal(bed.at(bed.ask({ promise: "p" })), "waits");
  equal(bed.at(bed.ask({ promise: "q" })), "RejectedCapacity", "a quarter more, no further");
  bed.clock.advance(1000);
  bed.done(0, 2);
  const late = bed.ask(), back = bed.ask({ promise: "q" });
  deepStrictEqual([bed.at(late), bed.drain().indexOf(back) < bed.served.indexOf(late)], ["waits", true]);
});

Deno.test("one that gets in before its time is no longer counted as promised", () => {
  const bed = full({ limits: { maxRequests: 1 } });
  bed.table.serviceMs[0] = 5000;
  bed.ask();
  bed.ask({ promise: "p" });
  bed.done(0, 2);
  bed.ask({ promise: "p" });
  equal(bed.flow.admission.promises.size, 0);
});
