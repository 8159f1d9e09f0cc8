import { deepStrictEqual, equal, notDeepStrictEqual, ok, rejects } from "node:assert/strict";
import { Prng } from "../core/mod.ts";
import { columns, modelColumns } from "./features.ts";
import { growForest } from "./grow.ts";
import { openModel } from "./open_model.ts";
import { ForestKind } from "./state.ts";
import type { TrainingParameters, TrainingSet } from "./trainer.ts";
import { predictMargins } from "./xgboost/predict_twin.ts";
import { readModel } from "./xgboost/read_model.ts";

const parameters: TrainingParameters = {
  quantiles: [0.5, 0.9],
  trees: 60,
  depth: 3,
  learningRate: 0.2,
  rowSample: 0.8,
  columnSample: 1,
  minChildWeight: 5,
  gamma: 0,
  l1: 0,
  l2: 0.1,
  bins: 64,
  monotone: [],
  seed: 3,
};

/** Half a logarithm per unit of the first column, 0.3 where the second one is category 1 or 2, noise, and what the margin knows. */
function sample(rows: number, noise = 0.1): TrainingSet {
  const rng = new Prng(1);
  const fill = (value: () => number) => Float32Array.from({ length: rows }, value);
  const usage = fill(() => rng.float()), bucket = fill(() => rng.below(4)), margins = fill(() => rng.float() - 0.5);
  const labels = usage.map((kv, i) => 0.5 * kv + (bucket[i] % 3 === 0 ? 0 : 0.3) + margins[i] + rng.normal(0, noise));
  return {
    featureNames: ["kv_cache_percentage", "prefill_score_bucket"],
    featureTypes: ["float", "c"],
    rows,
    columns: [usage, bucket],
    labels,
    margins,
    weights: fill(() => 1),
  };
}

const rowOf = (set: TrainingSet, i: number) => set.columns.map((column) => column[i]);

Deno.test("growForest() learns what labels are beyond their margins, at both quantiles", async () => {
  const set = sample(2000);
  const model = readModel(await growForest(set, parameters));
  deepStrictEqual([model.featureNames, model.featureTypes], [set.featureNames, set.featureTypes]);
  deepStrictEqual([model.objective, model.quantiles], ["reg:quantileerror", [0.5, 0.9]]);
  deepStrictEqual([...model.baseMargin], [0, 0]);
  equal(model.trees.length, 120);
  ok(model.trees.some(({ categories }) => categories && categories.size > 0), "categories are asked for");
  let off = 0, covered = 0;
  for (let i = 0; i < set.rows; i++) {
    const [median, high] = predictMargins(model, rowOf(set, i));
    const truth = 0.5 * set.columns[0][i] + (set.columns[1][i] % 3 === 0 ? 0 : 0.3);
    off += Math.abs(median - truth) / set.rows;
    if (set.labels[i] - set.margins[i] <= high) covered++;
  }
  ok(off < 0.04, `${off}`);
  ok(Math.abs(covered / set.rows - 0.9) < 0.03, `${covered / set.rows}`);
});

Deno.test("growForest() makes files that openModel() takes for what is left of the prior", async () => {
  const own = modelColumns.tpot, rng = new Prng(2), rows = 300;
  const file = await growForest({
    ...sample(rows),
    featureNames: own.map(([name]) => name),
    featureTypes: own.map(() => "float"),
    columns: own.map(() => Float32Array.from({ length: rows }, () => rng.float())),
  }, { ...parameters, trees: 5, monotone: own.map(([, sign]) => sign) });
  const held = columns.map(() => Float32Array.from({ length: 20 }, () => rng.float()));
  const { kind, trees, sums } = openModel("tpot", file, held, 0.9);
  deepStrictEqual([kind, trees, sums[0].length], [ForestKind.Residual, 10, 20]);
});

Deno.test("growForest() gives the same bytes by the same seed, others by another, and the mean where no quantile is named", async () => {
  const set = sample(400), few = { ...parameters, trees: 8 };
  const file = await growForest(set, few);
  deepStrictEqual(await growForest(set, few), file);
  notDeepStrictEqual(await growForest(set, { ...few, seed: 4 }), file);
  const mean = readModel(await growForest(set, { ...few, quantiles: [] }));
  deepStrictEqual([mean.objective, mean.groups, mean.trees.length], ["reg:squarederror", 1, 8]);
});

Deno.test("growForest() never lets a prediction fall along a column that must not", async () => {
  const set = sample(600, 0.5);
  const falling = { ...set, labels: set.labels.map((label, i) => label - 2 * set.columns[0][i]) };
  const slopes = async (monotone: number[]) => {
    const model = readModel(await growForest(falling, { ...parameters, monotone }));
    return [0, 1].map((q) =>
      Array.from({ length: 50 }, (_, i) => predictMargins(model, [i / 50, 1])[q])
        .map((sum, i, all) => i === 0 ? 0 : sum - all[i - 1])
    );
  };
  for (const steps of await slopes([1, 0])) ok(Math.min(...steps) >= 0);
  for (const steps of await slopes([0, 0])) ok(Math.min(...steps) < -0.1);
});

Deno.test("growForest() asks for a pause after each round but the last, and waits for it", async () => {
  const reached = Promise.withResolvers<void>(), pause = Promise.withResolvers<void>();
  let asked = 0, done = false;
  const file = growForest(sample(200), { ...parameters, trees: 6 }, () => {
    if (++asked !== 2) return undefined;
    reached.resolve();
    return pause.promise;
  }).then(() => done = true);
  await reached.promise;
  for (let i = 0; i < 50; i++) await Promise.resolve();
  deepStrictEqual([asked, done], [2, false]);
  pause.resolve();
  await file;
  deepStrictEqual([asked, done], [5, true]);
});

Deno.test("growForest() refuses what cannot be learnt from", async () => {
  const set = sample(20);
  await rejects(growForest({ ...set, labels: set.labels.with(3, NaN) }, parameters), RangeError);
  await rejects(growForest(set, { ...parameters, depth: 0 }), RangeError);
  await rejects(growForest({ ...set, columns: [set.columns[0], new Float32Array(3)] }, parameters), RangeError);
});
