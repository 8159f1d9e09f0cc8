import { deepStrictEqual, equal, throws } from "node:assert/strict";
import fc from "fast-check";
import { endpointMeta, EndpointState } from "./endpoint.ts";
import { EndpointTable } from "./endpoint_table.ts";
import { Reservation } from "./reservation.ts";

const meta = (port: number) => endpointMeta({ host: "h", port });

Deno.test("endpointMeta() names an endpoint by address and rank", () => {
  equal(meta(80).id, "h:80");
  equal(endpointMeta({ host: "h", port: 80, rank: 2 }).id, "h:80#2");
  equal(endpointMeta({ host: "h", port: 80, rank: 0 }).id, "h:80#0");
  equal(endpointMeta({ host: "h", port: 80, name: "pod" }).name, "pod");
});

Deno.test("EndpointTable gives each endpoint a slot of its own until it is full", () => {
  const table = new EndpointTable(2);
  deepStrictEqual([table.add(meta(1)), table.add(meta(1)), table.add(meta(2)), table.add(meta(3))], [0, -1, 1, -1]);
  table.remove(0);
  deepStrictEqual([table.add(meta(3)), table.slotOf("h:3"), table.slotOf("h:1"), table.size], [0, 0, -1, 2]);
  throws(() => new EndpointTable(2, new SharedArrayBuffer(1000), 4), RangeError);
});

Deno.test("EndpointTable does not reuse a slot while requests of its last endpoint run", () => {
  const table = new EndpointTable(2);
  const slot = table.add(meta(1), EndpointState.Ready);
  const reservation = new Reservation(table, slot, { prefillTokens: 10, decodeTokens: 20 });
  table.remove(slot);
  equal(table.add(meta(2)), 1);
  equal(table.add(meta(3)), -1);
  reservation.release();
  equal(table.add(meta(3)), 0);
});

Deno.test("EndpointTable forgets the load of a slot's last endpoint and counts generations and versions", () => {
  const table = new EndpointTable(1);
  table.add(meta(1), EndpointState.Ready);
  table.waiting[0] = 5;
  table.sampleAtMs[0] = 100;
  equal(table.sampleAgeMs(0, 150), 50);
  const version = table.version;
  table.remove(0);
  throws(() => table.meta(0), RangeError);
  table.add(meta(2));
  deepStrictEqual([table.waiting[0], table.sampleAgeMs(0, 150), table.generation[0]], [0, Infinity, 2]);
  equal(table.version > version, true);
  throws(() => table.replaceMeta(0, meta(9)));
});

Deno.test("two tables over one buffer see each other's columns", () => {
  const buffer = new SharedArrayBuffer(EndpointTable.bytes(8) + 64);
  const a = new EndpointTable(8, buffer, 64), b = new EndpointTable(8, buffer, 64);
  const slot = a.add(meta(1), EndpointState.Ready);
  new Reservation(b, slot, { prefillTokens: 3, decodeTokens: 4 });
  deepStrictEqual([a.requests[slot], a.prefillTokens[slot], a.decodeTokens[slot], b.state[slot]], [
    1,
    3,
    4,
    EndpointState.Ready,
  ]);
});

Deno.test("reservations give back exactly what they took, in any order and however often", () => {
  const step = fc.record({
    slot: fc.nat(3),
    prefill: fc.nat(1000),
    decode: fc.nat(1000),
    ends: fc.array(fc.boolean(), { maxLength: 4 }),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const table = new EndpointTable(4);
    for (let port = 1; port <= 4; port++) table.add(meta(port), EndpointState.Ready);
    const open = steps.map(({ slot, prefill, decode }) =>
      new Reservation(table, slot, { prefillTokens: prefill, decodeTokens: decode })
    );
    steps.forEach(({ ends }, i) => ends.forEach((release) => release ? open[i].release() : open[i].firstByte()));
    const left = open.filter((reservation) => reservation.open);
    equal(table.requests.reduce((sum, value) => sum + value, 0), left.length);
    for (const reservation of left) reservation.release();
    for (const column of [table.requests, table.prefillTokens, table.decodeTokens]) {
      deepStrictEqual([...column], [0, 0, 0, 0]);
    }
  }));
});
