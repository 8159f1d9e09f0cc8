import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { binCategories, binNumbers } from "./train_bins.ts";

function binned(values: Float32Array, binsMax: number, weights?: Float32Array) {
  const out = new Uint8Array(values.length * 16);
  const column = binNumbers(values, weights, binsMax, new Float64Array(values.length), out, 0);
  return { ...column, of: Array.from(values, (_, row) => out[16 * row]) };
}

const value = fc.oneof(
  fc.integer({ min: -3, max: 3 }),
  fc.float({ noNaN: true, min: Math.fround(-1e37), max: Math.fround(1e37) }),
  fc.constantFrom(NaN, -0),
);

Deno.test("binNumbers() puts a value in the bin whose cuts it lies between, and missing values after the last", () => {
  const values = fc.array(value, { minLength: 1, maxLength: 60 }).map((list) => Float32Array.from(list));
  fc.assert(
    fc.property(values, fc.integer({ min: 2, max: 20 }), (values, binsMax) => {
      const { bins, missing, cuts, of } = binned(values, binsMax);
      equal(missing, values.some(Number.isNaN));
      ok(bins + (missing ? 1 : 0) <= binsMax);
      deepStrictEqual([...cuts], [...cuts].sort((a, b) => a - b));
      for (const [row, x] of values.entries()) {
        equal(of[row], Number.isNaN(x) ? bins : cuts.findIndex((cut) => x < cut), `row ${row} of ${values}`);
      }
    }),
    { seed: 1, numRuns: 500 },
  );
});

Deno.test("binNumbers() gives each value a bin where there are enough, and else bins of about equal weight", () => {
  deepStrictEqual(binned(Float32Array.of(5, 1, 3, 1), 4).of, [2, 0, 1, 0]);
  const even = Float32Array.from({ length: 1000 }, (_, i) => (i * 7919) % 1000);
  const sizes = new Map<number, number>();
  for (const bin of binned(even, 10).of) sizes.set(bin, (sizes.get(bin) ?? 0) + 1);
  deepStrictEqual([...sizes.values()], new Array(10).fill(100));
  // Half of all rows have one value: it has a bin, the rest share the others.
  const half = even.map((x) => x < 500 ? -1 : x);
  const { bins, of } = binned(half, 6);
  equal(bins, 6);
  equal(new Set(of.filter((_, row) => half[row] === -1)).size, 1);
  ok([1, 2, 3, 4, 5].every((bin) => Math.abs(of.filter((b) => b === bin).length - 100) <= 1));
});

Deno.test("binNumbers() counts a row of weight 2 as two rows", () => {
  const values = Float32Array.from({ length: 300 }, (_, i) => (i * 37) % 211);
  const weights = values.map((_, i) => 1 + i % 2);
  const twice = Float32Array.from([...values, ...values.filter((_, i) => i % 2 === 1)]);
  deepStrictEqual(binned(values, 16, weights).cuts, binned(twice, 16).cuts);
});

Deno.test("binNumbers() and binCategories() name the row that has what they cannot take", () => {
  const out = new Uint8Array(64);
  throws(() => binned(Float32Array.of(1, Infinity), 8), /row 1 .* current value is Infinity/);
  for (const code of [-1, 0.5, 7, Infinity]) {
    throws(() => binCategories(Float32Array.of(0, NaN, code), 8, out, 0), /Cannot learn from row 2 as a category/);
  }
  deepStrictEqual(binCategories(Float32Array.of(0, NaN, 6), 8, out, 1), {
    bins: 7,
    missing: true,
    cuts: new Float32Array(),
  });
  deepStrictEqual([out[1], out[17], out[33]], [0, 7, 6]);
});
