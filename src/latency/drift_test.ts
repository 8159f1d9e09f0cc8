import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Drift } from "./drift.ts";
import { testLabel, testTable } from "./latency_testing.ts";

const table = testTable(1);
const label = (ms: number, medianMs: number, highMs: number) => testLabel(table, { ms, medianMs, highMs });

Deno.test("Drift tells error, loss and coverage of what was told, by hand for three labels", () => {
  const drift = new Drift(0.9);
  const { labels, ...none } = drift.report();
  equal(labels, 0);
  deepStrictEqual(none, { mape: NaN, pinballMs: NaN, coverage: NaN, predictedOverSlo: NaN });
  drift.add(label(100, 80, 150), 1);
  drift.add(label(200, 300, 400), 2);
  drift.add(label(400, 200, 300), 3);
  const report = drift.report();
  deepStrictEqual([report.labels, report.coverage], [3, 2 / 3]);
  // 20/100, 100/200, 200/400; 0.1 × 50, 0.1 × 200, 0.9 × 100.
  ok(Math.abs(report.mape - (0.2 + 0.5 + 0.5) / 3) < 1e-12);
  ok(Math.abs(report.pinballMs - (5 + 20 + 90) / 3) < 1e-9);
});

Deno.test("Drift counts the last 1,000 labels and keeps the last 500 pairs, oldest first", () => {
  const drift = new Drift(0.9);
  for (let i = 0; i < 1000; i++) drift.add(label(100, 200, 300), i);
  equal(drift.report().mape, 1);
  deepStrictEqual(drift.pairs().map(({ atMs }) => atMs), Array.from({ length: 500 }, (_, i) => 500 + i));
  for (let i = 1000; i < 1750; i++) drift.add(label(100, 100, 300), i);
  ok(Math.abs(drift.report().mape - 0.25) < 1e-12);
  for (let i = 1750; i < 2003; i++) drift.add(label(100, 100, 300), i);
  equal(drift.report().mape, 0);
  equal(drift.report().labels, 2003);
  const pairs = drift.pairs();
  deepStrictEqual(pairs.map(({ atMs }) => atMs), Array.from({ length: 500 }, (_, i) => 1503 + i));
  deepStrictEqual(pairs[0], {
    slot: 0,
    atMs: 1503,
    medianMs: 100,
    highMs: 300,
    actualMs: 100,
    censored: false,
  });
});

Deno.test("Drift tells p90 of predicted over wanted, as long as somebody wanted something in two minutes", () => {
  const drift = new Drift(0.9);
  for (let i = 1; i <= 100; i++) drift.wanted(i / 100, 1000);
  const { predictedOverSlo } = drift.report();
  ok(predictedOverSlo >= 0.85 && predictedOverSlo <= 0.95, `${predictedOverSlo}`);
  drift.add(label(1, 1, 1), 121_000);
  ok(drift.report().predictedOverSlo > 0);
  drift.add(label(1, 1, 1), 121_001);
  equal(drift.report().predictedOverSlo, NaN);
  ok(drift.report(121_000).predictedOverSlo > 0);
  equal(drift.report(500_000).predictedOverSlo, NaN);
});

Deno.test("Drift tells whether a request ever had a target, and no endpoint of a pair whose slot another has", () => {
  const drift = new Drift(0.9);
  equal(drift.everWanted, false);
  drift.wanted(0.5, 1);
  equal(drift.everWanted, true);
  drift.add(label(1, 1, 1), 1);
  drift.add({ ...label(2, 1, 1), slot: 3 }, 2);
  drift.reset(0);
  deepStrictEqual(drift.pairs().map(({ slot, actualMs }) => [slot, actualMs]), [[-1, 1], [3, 2]]);
});
