import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { Distribution, MetricStore } from "./store.ts";

Deno.test("observe() counts a value in the first bucket whose bound is not below it", () => {
  const bound = fc.integer({ min: -50, max: 50 });
  fc.assert(
    fc.property(fc.uniqueArray(bound, { maxLength: 20 }), fc.array(bound, { maxLength: 50 }), (bounds, values) => {
      bounds.sort((a, b) => a - b);
      const distribution = new Distribution(Float64Array.from(bounds));
      const expected = new Float64Array(bounds.length + 1);
      for (const value of values) {
        distribution.observe(value);
        const index = bounds.findIndex((bound) => value <= bound);
        expected[index < 0 ? bounds.length : index]++;
      }
      deepStrictEqual(distribution.counts, expected);
      equal(distribution.sum, values.reduce((sum, value) => sum + value, 0));
      equal(distribution.empty, values.length === 0);
    }),
  );
});

Deno.test("observe() ignores NaN", () => {
  const distribution = new Distribution(Float64Array.of(1));
  distribution.observe(NaN);
  equal(distribution.empty, true);
  equal(distribution.sum, 0);
});

Deno.test("with() gives one series a label set, and one for all beyond the limit", () => {
  const family = new MetricStore().family("client_disconnects_total");
  equal(family.with(["a"]), family.with(["a"]));
  for (let i = 0; i < 5000; i++) family.with([`phase-${i}`]).add(1);
  equal(family.size, 4001);
  const total = [...family.entries()].reduce((sum, { series }) => sum + series.value, 0);
  equal(total, 5000);
  equal(family.with(["other"]).value, 5000 - 3999);
});

Deno.test("with() tells label sets apart whose parts join alike", () => {
  const family = new MetricStore().family("per_endpoint_queue_size");
  family.with(["a", "bc"]).set(1);
  family.with(["ab", "c"]).set(2);
  equal(family.with(["a", "bc"]).value, 1);
});

Deno.test("forget() drops the series of one label value only", () => {
  const family = new MetricStore().family("inflight_requests");
  family.with(["a", "default"]).set(1);
  family.with(["b", "default"]).set(1);
  family.forget("endpoint_name", "a");
  family.forget("no_such_label", "b");
  deepStrictEqual([...family.entries()].map(({ values }) => values), [["b", "default"]]);
});
