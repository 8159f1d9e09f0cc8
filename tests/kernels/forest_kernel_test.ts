import { deepStrictEqual } from "node:assert/strict";
import fc from "fast-check";
import { Prng } from "../../src/core/mod.ts";
import { type ForestTarget, type ForestTrees, Hotpath, packForest } from "../../src/hotpath/mod.ts";
import { predictMargins } from "../../src/latency/xgboost/predict_twin.ts";
import { features, forest, rows } from "./forest_ensembles.ts";

const endpoints = 150;
const hotpath = await Hotpath.load(
  { endpoints, blockTreeBytes: 0, bodyBytesMax: 64, prefixTokensMax: 64, forestBytes: 1 << 20 },
  1,
);
const { forests } = hotpath;
const columnOf = [30, 2, 7, 31, 0];

function ensembleOf({ trees, groups }: ForestTrees) {
  const arrays = { gain: new Float32Array(), cover: new Float32Array(), baseWeight: new Float32Array() };
  return {
    objective: "reg:squarederror",
    features,
    featureNames: [],
    featureTypes: [],
    groups,
    baseMargin: new Float32Array(groups),
    trees: trees.map((tree) => ({ ...tree, ...arrays })),
    attributes: {},
    version: [3, 2, 0] as const,
  };
}

const bitsOf = (floats: ArrayLike<number>) => [...new Uint32Array(Float32Array.from(floats).buffer)];

function fill(table: readonly (readonly number[])[], margins: readonly number[]): void {
  table.forEach((row, at) => {
    row.forEach((value, feature) => forests.columns[columnOf[feature]][at] = value);
    for (const target of [0, 1] as const) forests.margins(target)[at] = margins[target] + at;
  });
}

function checkTarget(target: ForestTarget, trees: ForestTrees, table: readonly (readonly number[])[], margin: number) {
  const ensemble = ensembleOf(trees);
  const expected = table.map((row, at) =>
    bitsOf(predictMargins(ensemble, row, new Float32Array(trees.groups).fill(margin + at)))
  );
  const found = table.map((_, at) =>
    bitsOf(Array.from({ length: trees.groups }, (_, group) => forests.out(target, group)[at]))
  );
  deepStrictEqual(found, expected);
}

Deno.test("score() equals the twin bit for bit on any two forests and any rows", () => {
  fc.assert(
    fc.property(forest, forest, rows, fc.integer({ min: 1, max: endpoints }), (one, two, some, count) => {
      // The rows again and again, so that blocks and lanes are filled in every way.
      const table = Array.from({ length: count }, (_, i) => some[i % some.length]);
      forests.publish(0, packForest(one, columnOf));
      forests.publish(1, packForest(two, columnOf));
      fill(table, [0.5, -3]);
      forests.score(count);
      checkTarget(0, one, table, 0.5);
      checkTarget(1, two, table, -3);
    }),
    { seed: 4, numRuns: 300 },
  );
});

Deno.test("score() ends within its memory whatever the bytes of a forest are", () => {
  const { memory, layout } = hotpath.instance;
  const before = new Uint8Array(
    memory.buffer,
    layout.endpointTable.offset,
    layout.forests.offset - layout.endpointTable.offset,
  ).slice();
  fc.assert(
    fc.property(forest, fc.integer(), fc.integer({ min: 1, max: 200 }), (trees, seed, edits) => {
      const prng = new Prng(seed);
      const packed = packForest(trees, columnOf);
      for (let edit = 0; edit < edits; edit++) {
        // Headers are hit as often as all that follows them.
        const at = prng.below(prng.below(2) ? 64 : packed.length);
        packed[at] = prng.below(2) ? prng.below(256) : packed[prng.below(packed.length)];
      }
      forests.publish(0, packed);
      forests.score(endpoints);
    }),
    { seed: 5, numRuns: 500 },
  );
  deepStrictEqual(new Uint8Array(memory.buffer, layout.endpointTable.offset, before.length), before);
});
