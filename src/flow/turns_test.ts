import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { type BandConfig, bandDefaults } from "../config/mod.ts";
import { FlowBed, type FlowChanges } from "./flow_testing.ts";

const shared = (shares: Record<number, number>) => ({
  bands: Object.entries(shares).map(([priority, share]): BandConfig & { priority: number } => ({
    ...bandDefaults,
    priority: Number(priority),
    share,
  })),
});
const full = (changes: FlowChanges = {}, capacities = [1]) => new FlowBed(capacities, changes).fill();

Deno.test("the highest priority goes first, over lanes too", () => {
  const bed = full();
  const ids = [0, 2, -1, 1, 2].map((priority, i) => bed.ask({ priority, lane: `lane ${i % 2}` }));
  deepStrictEqual(bed.drain(), [1, 4, 3, 0, 2].map((i) => ids[i]));
});

Deno.test("lanes of one model take turns by its fairness, of different models by arrival", () => {
  const bed = full();
  const a = bed.asks(3, { tenant: "a", lane: "one" }), b = bed.asks(3, { tenant: "b", lane: "two" });
  deepStrictEqual(bed.drain(), [a[0], b[0], a[1], b[1], a[2], b[2]]);
  const models = ["x", "y"].flatMap((model) => bed.asks(2, { model, lane: model }));
  deepStrictEqual(bed.drain(), models);
});

Deno.test("a band with a share gets it while higher bands wait, and no more", () => {
  const bed = full(shared({ 0: 0.2, [-1]: 0.1 }));
  bed.asks(100, { priority: 1 });
  const zero = bed.asks(100), below = bed.asks(100, { priority: -1 });
  bed.done(0, 100);
  const of = (ids: readonly number[]) => bed.served.filter((id) => ids.includes(id)).length;
  ok(Math.abs(of(zero) - 20) <= 2 && Math.abs(of(below) - 10) <= 2, `${of(zero)}, ${of(below)} of 100`);
});

Deno.test("a share is not lost while arrivals find the endpoints full", () => {
  const bed = full(shared({ 0: 0.25 }));
  const low = bed.asks(50);
  bed.asks(5, { priority: 1 });
  for (let i = 0; i < 80; i++) {
    bed.asks(3, { priority: 1 });
    bed.done(0);
  }
  const served = bed.served.filter((id) => low.includes(id)).length;
  ok(Math.abs(served - 20) <= 1, `${served} of 80`);
});

Deno.test("what a band is owed it was passed over for where it waits: other models' dispatches owe it nothing", () => {
  const bed = full(shared({ 0: 0.1 }), [1, 1]);
  const here = { slots: [0], lane: "here", model: "here" }, there = { slots: [1], lane: "there", model: "there" };
  const low = bed.asks(50, here);
  bed.asks(50, { ...here, priority: 1 });
  bed.asks(500, { ...there, priority: 1 });
  for (let i = 0; i < 40; i++) {
    bed.done(1, 10);
    bed.done(0);
  }
  const served = bed.served.filter((id) => low.includes(id)).length;
  ok(Math.abs(served - 4) <= 1, `${served} of 40`);
});

Deno.test("a band that is owed a dispatch but may not use the endpoint leaves it to the others", () => {
  const bed = new FlowBed([10], {
    ...shared({ 0: 0.5 }),
    ceiling: { policy: "priority-holdback", minCeiling: 0.5, maxCeiling: 1, domain: "rank" },
  }, [1]).fill();
  const low = bed.asks(5), high = bed.asks(5, { priority: 1 });
  bed.done(0, 5);
  deepStrictEqual(bed.served, high);
  bed.done(0, 6);
  deepStrictEqual(bed.served.slice(5), [low[0]]);
});

Deno.test("a band whose first request has waited for long enough gets the share of the aged, then none", () => {
  const bed = full({ aging: { afterMs: 1000, share: 0.25 } });
  const low = bed.asks(30);
  bed.clock.advance(1000);
  const served = () => bed.served.filter((id) => low.includes(id)).length;
  bed.asks(300, { priority: 1 });
  bed.done(0, 40);
  equal(served(), 0);
  bed.clock.advance(1);
  bed.done(0, 40);
  ok(Math.abs(served() - 10) <= 1, `${served()} of 40`);
  for (const id of low) bed.flow.cancel(0, id);
  const newer = bed.asks(10);
  bed.done(0, 40);
  ok(newer.every((id) => bed.at(id) === "waits"));
});

Deno.test("blocked() names the best request of a slot that finds no room", () => {
  const bed = new FlowBed([1, 1], { eviction: true }).fill();
  bed.ask({ priority: -1 });
  bed.ask({ priority: 3, slots: [1], lane: "one" });
  bed.blocked.length = 0;
  bed.flow.look();
  deepStrictEqual(bed.blocked, [[0, -1], [1, 3]]);
});
