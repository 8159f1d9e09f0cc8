import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { nobodyQueued } from "../core/mod.ts";
import { FlowBed } from "./flow_testing.ts";

const marks = (bed: FlowBed) => [...bed.table.queued].map((mark) => mark === nobodyQueued ? undefined : mark);
const full = (endpoints: number) => new FlowBed(new Array(endpoints).fill(1)).fill();

Deno.test("each slot is marked with the highest priority that waits for it", () => {
  const bed = full(3);
  deepStrictEqual(marks(bed), [undefined, undefined, undefined]);
  const all = bed.ask({ priority: -1 });
  const two = bed.ask({ slots: [0, 1], lane: "two", priority: 4 });
  const one = bed.ask({ slots: [1], lane: "one", priority: 9 });
  deepStrictEqual(marks(bed), [4, 9, -1]);
  bed.flow.cancel(0, two);
  deepStrictEqual(marks(bed), [-1, 9, -1]);
  bed.done(1);
  deepStrictEqual([bed.at(one), marks(bed)], [1, [-1, -1, -1]]);
  bed.done(2);
  deepStrictEqual([bed.at(all), marks(bed)], [2, [undefined, undefined, undefined]]);
});

Deno.test("marks follow the endpoints of a lane", () => {
  const bed = full(3);
  bed.ask({ slots: [0, 1], priority: 2 });
  bed.flow.resize([{ lane: "m", model: "m", slots: [1, 2] }]);
  deepStrictEqual(marks(bed), [undefined, 2, 2]);
  bed.flow.resize([{ lane: "m", model: "m", slots: [] }]);
  deepStrictEqual(marks(bed), [undefined, undefined, undefined]);
  bed.ask({ slots: [2, 0] });
  deepStrictEqual(marks(bed), [2, undefined, 2]);
});

Deno.test("a slot that was taken by another endpoint meanwhile is marked again", () => {
  const bed = full(1);
  const waits = bed.ask();
  const meta = bed.table.meta(0);
  bed.table.remove(0);
  bed.done(0);
  equal(bed.at(waits), 0, "requests of the one before leave room too");
  const next = bed.ask({ slots: [0] });
  bed.closed.add(0);
  bed.done(0);
  equal(bed.table.add(meta), 0);
  bed.table.requestCapacity[0] = 1;
  bed.table.tryEnter(0, 1);
  bed.closed.delete(0);
  bed.flow.resize([{ lane: "m", model: "m", slots: [0] }]);
  deepStrictEqual([bed.at(next), marks(bed)], ["waits", [0]]);
  bed.done(0);
  equal(bed.at(next), 0);
});

Deno.test("some hundred lanes that nothing waits in are remembered, and all that something waits in", () => {
  const bed = full(1);
  const waits = Array.from({ length: 300 }, (_, i) => bed.ask({ lane: `waits ${i}` }));
  const held = bed.ask({ lane: "held", hold: { slot: 0, ms: 50 } });
  bed.flow.cancel(0, waits.pop()!);
  for (let i = 0; i < 2000; i++) bed.flow.resize([{ lane: `idle ${i}`, model: "m", slots: [0] }]);
  const lanes = [...bed.flow.lanes.all()];
  ok(lanes.length <= 350 && lanes.filter(({ size }) => size > 0).length === 300, `${lanes.length} lanes`);
  bed.clock.advance(50);
  equal(lanes.find(({ name }) => name === "held")!.size, 1);
  ok(bed.drain().includes(held));
});
