import { deepStrictEqual, equal } from "node:assert/strict";
import { type OrderingName, orderings } from "../config/mod.ts";
import { FlowBed } from "./flow_testing.ts";
import { bandDefaults } from "../config/mod.ts";
import { comesFirst, orderKey } from "./ordering.ts";
import { type FlowAsk, Waiting } from "./types.ts";

const ask = (changes: Partial<FlowAsk> = {}): FlowAsk => ({
  id: 0,
  lane: "m",
  model: "m",
  slots: [],
  tenant: "t",
  priority: 0,
  receivedAtMs: 100,
  promptTokens: 0,
  prefillTokens: 0,
  outputTokens: 0,
  bodyBytes: 0,
  ...changes,
});

Deno.test("each ordering has its own key; what has no deadline comes last", () => {
  const key = (ordering: OrderingName, changes: Partial<FlowAsk> = {}, ttlMs = 50) =>
    orderKey(ordering, ask(changes), 120, ttlMs);
  deepStrictEqual([key("fcfs"), key("edf"), key("edf", {}, 0)], [100, 170, Infinity]);
  deepStrictEqual([key("slo-deadline", { ttftMs: 30, serviceMs: 20 }), key("slo-deadline")], [130, Infinity]);
  deepStrictEqual([key("least-laxity", { ttftMs: 30, serviceMs: 20 }), key("least-laxity")], [110, Infinity]);
});

Deno.test("equal keys go by arrival, equal arrivals by number", () => {
  const waiting = (order: number, receivedAtMs: number, number: number) =>
    Object.assign(new Waiting(ask({ receivedAtMs }), 0, number, () => {}), { order });
  equal(comesFirst(waiting(1, 9, 9), waiting(2, 1, 1)), true);
  equal(comesFirst(waiting(Infinity, 1, 9), waiting(Infinity, 2, 1)), true);
  equal(comesFirst(waiting(1, 1, 2), waiting(1, 1, 1)), false);
});

Deno.test("a tenant's requests are served in the order of their band", () => {
  const order = (ordering: OrderingName) => {
    const bed = new FlowBed([1], { defaultBand: { ...bandDefaults, ordering } }).fill();
    bed.clock.advance(1000);
    bed.ask({ ttftMs: 900, serviceMs: 100 });
    bed.ask({ ttftMs: 1000, serviceMs: 300, ttlMs: 5000 });
    bed.ask({ ttlMs: 4000 });
    bed.ask({ receivedAtMs: 500, ttftMs: 2000 });
    return bed.drain();
  };
  deepStrictEqual(orderings.map(order), [[4, 1, 2, 3], [3, 2, 4, 1], [1, 2, 4, 3], [2, 1, 4, 3]]);
});
