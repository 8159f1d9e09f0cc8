import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { RecordRing } from "../core/mod.ts";
import { columns } from "./features.ts";
import { type Label, labelNumbers, latencyRecords, readLabel, writeLabel } from "./record.ts";

const number = fc.double({ noNaN: true });
const label: fc.Arbitrary<Label> = fc.record({
  slot: fc.nat(1000),
  generation: fc.integer(),
  target: fc.nat(1),
  ms: number,
  censored: fc.boolean(),
  workTokens: number,
  waitMs: number,
  requests: number,
  contextTokens: number,
  medianMs: number,
  highMs: number,
  version: fc.nat(),
  sums: fc.tuple(number, number),
  row: fc.array(fc.oneof(number, fc.constant(NaN)), { minLength: columns.length, maxLength: columns.length }),
});

/** Its row copied: the ring's numbers are lent. */
const copied = (numbers: Float64Array) => {
  const { row, ...rest } = readLabel(numbers);
  return { ...rest, row: [...row as Float64Array] };
};

Deno.test("a label comes out of the ring as it went in, field by field, among other records", () => {
  fc.assert(fc.property(fc.array(label, { minLength: 1, maxLength: 20 }), (labels) => {
    const ring = new RecordRing(1 << 10);
    for (const each of labels) {
      ok(ring.push(latencyRecords.label, writeLabel(each, new Array(labelNumbers))));
      ok(ring.push(latencyRecords.output, [7]));
    }
    const read: unknown[] = [];
    ring.drain((kind, numbers) => {
      if (kind !== latencyRecords.label) return;
      equal(numbers.length, labelNumbers);
      read.push(copied(numbers));
    });
    deepStrictEqual(read, labels.map((each) => ({ ...each })));
  }));
});

Deno.test("a label fits a record, and kinds of records are a byte below the ring's own", () => {
  ok(labelNumbers <= 255);
  const kinds = Object.values(latencyRecords);
  equal(new Set(kinds).size, kinds.length);
  ok(kinds.every((kind) => kind >= 0 && kind < 255));
});
