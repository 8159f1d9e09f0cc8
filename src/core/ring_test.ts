import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { RecordRing } from "./ring.ts";

type Taken = [kind: number, numbers: number[], hashes: bigint[]];

function takeAll(ring: RecordRing): Taken[] {
  const taken: Taken[] = [];
  ring.drain((kind, numbers, hashes) => taken.push([kind, [...numbers], [...hashes]]));
  return taken;
}

Deno.test("a ring's size is a power of two", () => {
  for (const words of [0, 8, 24, -16]) throws(() => new RecordRing(words), RangeError);
});

Deno.test("records come out once, in order, whole; those that found no room are counted and nothing else is lost", () => {
  const record = fc.record({
    kind: fc.nat(254),
    numbers: fc.array(fc.double(), { maxLength: 8 }),
    hashes: fc.array(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), { maxLength: 20 }),
  });
  const step = fc.oneof({ weight: 4, arbitrary: record }, { weight: 1, arbitrary: fc.constant("drain" as const) });
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
    const ring = new RecordRing(64);
    const other = new RecordRing(64, new SharedArrayBuffer(RecordRing.bytes(64)));
    const expected: Taken[] = [];
    const got: Taken[] = [];
    let dropped = 0;
    for (const step of steps) {
      if (step === "drain") got.push(...takeAll(ring));
      else if (ring.push(step.kind, step.numbers, BigUint64Array.from(step.hashes))) {
        expected.push([step.kind, step.numbers, step.hashes]);
      } else dropped++;
    }
    got.push(...takeAll(ring));
    deepStrictEqual(got, expected);
    equal(ring.dropped, dropped);
    equal(takeAll(other).length, 0);
  }));
});

Deno.test("a ring keeps working when its counts of words wrap around 32 bits", () => {
  const buffer = new SharedArrayBuffer(RecordRing.bytes(16));
  new Int32Array(buffer, 0, 2).fill(0x7fff_fff0);
  const ring = new RecordRing(16, buffer);
  for (let i = 0; i < 100; i++) {
    ok(ring.push(1, [i, -i]));
    deepStrictEqual(takeAll(ring), [[1, [i, -i], []]]);
  }
});

Deno.test("a record that fits an empty ring is taken, a longer one never", () => {
  const ring = new RecordRing(16);
  equal(ring.push(1, [], new BigUint64Array(16)), false);
  equal(ring.push(1, [], new BigUint64Array(15)), true);
  equal(ring.push(1, []), false);
  equal(takeAll(ring).length, 1);
});
