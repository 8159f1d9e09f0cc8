/** The part of the endpoint table that says who may enter. */
import { deepStrictEqual, equal } from "node:assert/strict";
import { endpointMeta, EndpointState } from "./endpoint.ts";
import { EndpointTable, nobodyQueued } from "./endpoint_table.ts";
import { Reservation } from "./reservation.ts";

function tableOf(endpoints: number, isolates = 2): EndpointTable {
  const table = new EndpointTable(endpoints, undefined, 0, { isolates });
  for (let i = 0; i < endpoints; i++) table.add(endpointMeta({ host: "h", port: i + 1 }), EndpointState.Ready);
  return table;
}

Deno.test("tryEnter() lets in as many as the share of the capacity that is left beside foreign requests", () => {
  const table = tableOf(1);
  table.requestCapacity[0] = 10;
  table.foreign[0] = 2;
  const entered = (ceiling: number) => {
    let count = 0;
    while (table.tryEnter(0, ceiling)) count++;
    return count;
  };
  deepStrictEqual([entered(0), entered(0.5), entered(0.5), entered(1), table.requests[0]], [0, 3, 0, 5, 8]);
  equal(table.saturation(0), 1);
  table.inflight(0, -1, 0, 0);
  deepStrictEqual([table.saturation(0), entered(1)], [0.9, 1]);
});

Deno.test("an endpoint whose capacity nobody knows takes all that its memory and its tokens allow", () => {
  const table = tableOf(1);
  for (let i = 0; i < 1000; i++) equal(table.tryEnter(0, 1), true);
  equal(table.saturation(0), 0);
  table.pressure[0] = 0.7;
  deepStrictEqual([table.hasRoom(0, 0.7), table.hasRoom(0, 0.8), table.saturation(0)], [false, true, 0.7]);
  table.tokenCapacity[0] = 100;
  table.inflight(0, 0, 80, 0);
  deepStrictEqual([table.tryEnter(0, 0.8), table.tryEnter(0, 1), table.saturation(0)], [false, true, 0.8]);
});

Deno.test("what entered for an isolate is that one's: it holds it on, or it is given back when the isolate is gone", () => {
  const table = tableOf(1);
  equal(table.tryEnter(0, 1, 1), true);
  equal(table.tryEnter(0, 1, 1), true);
  const held = new Reservation(table, 0, { prefillTokens: 5, decodeTokens: 6 }, 0);
  deepStrictEqual([table.requests[0], table.prefillTokens[0], table.totalRequests[0]], [2, 5, 1]);
  held.release();
  deepStrictEqual([table.requests[0], table.prefillTokens[0]], [1, 0]);
  equal(table.releaseIsolate(1), 2);
  equal(table.releaseIsolate(0), -1);
  equal(table.requests[0], 0);
});

Deno.test("onRoom tells of a request or of prompt tokens that leave, only where somebody waits", () => {
  const table = tableOf(2);
  const rooms: number[] = [];
  table.onRoom = (slot) => rooms.push(slot);
  table.inflight(0, 2, 30, 40);
  table.inflight(0, 0, -10, 0);
  deepStrictEqual(rooms, []);
  table.queued[0] = -5;
  table.inflight(0, 1, 5, 5);
  table.inflight(0, 0, 0, -5);
  deepStrictEqual(rooms, []);
  table.inflight(0, 0, -25, 0);
  table.inflight(0, -1, 0, -40);
  table.queued[0] = nobodyQueued;
  table.inflight(0, -1, 0, 0);
  deepStrictEqual(rooms, [0, 0]);
});

Deno.test("what an isolate that is gone gives back is room for those that wait", () => {
  const table = tableOf(3);
  const rooms: number[] = [];
  table.onRoom = (slot) => rooms.push(slot);
  for (const slot of [0, 1]) table.tryEnter(slot, 1, 1);
  table.tryEnter(2, 1, 0);
  table.queued.fill(0);
  table.queued[0] = nobodyQueued;
  table.releaseIsolate(1);
  deepStrictEqual(rooms, [1]);
});

Deno.test("a slot that is taken anew is full for nobody and waited for by nobody", () => {
  const table = tableOf(1);
  table.requestCapacity[0] = 0;
  table.pressure[0] = 1;
  table.foreign[0] = 9;
  table.queued[0] = 3;
  table.remove(0);
  equal(table.add(endpointMeta({ host: "h", port: 9 })), 0);
  deepStrictEqual([table.hasRoom(0, 1), table.saturation(0), table.queued[0]], [true, 0, nobodyQueued]);
});

Deno.test("a prompt that is taken to be computed fills no more, stands ahead still, and counts once when that is told", () => {
  for (const told of ["first byte", "end", "death"]) {
    const table = tableOf(1);
    table.tokenCapacity[0] = 100;
    const held = new Reservation(table, 0, { prefillTokens: 150, decodeTokens: 0 });
    equal(table.hasRoom(0, 1), false);
    held.computed();
    held.computed();
    deepStrictEqual([table.hasRoom(0, 1), table.prefillTokens[0], table.toCompute(0)], [true, 150, 0]);
    if (told === "first byte") held.firstByte();
    if (told === "death") table.releaseIsolate(0);
    else held.release();
    deepStrictEqual([table.prefillTokens[0], table.toCompute(0), table.computedTokens[0]], [0, 0, 0], told);
  }
});
