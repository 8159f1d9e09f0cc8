import { deepStrictEqual, equal } from "node:assert/strict";
import { TreeTrainer } from "../hotpath/mod.ts";
import { defaultTraining, ensembleOf, trainingOptions } from "./training.ts";

const columns = [{ name: "load", type: "int", monotone: 1 }, { name: "role", type: "c" }] as const;
const data = {
  rows: 40,
  columns: [
    Float32Array.from({ length: 40 }, (_, row) => row % 8),
    Float32Array.from({ length: 40 }, (_, row) => row % 5),
  ],
  labels: Float32Array.from({ length: 40 }, (_, row) => 3 * (row % 8) + (row % 5 === 2 ? 50 : 0)),
};

Deno.test("trainingOptions() says of each column whether it is a category and which way it goes", () => {
  const { categorical, monotone, trees } = trainingOptions(
    { ...defaultTraining, objective: "squared-error", seed: 1 },
    columns,
  );
  deepStrictEqual([categorical, monotone, trees], [[false, true], [1, 0], 200]);
});

Deno.test("ensembleOf() makes a model of XGBoost's of what was learnt", async () => {
  const mean = { ...defaultTraining, trees: 5, objective: "squared-error", seed: 1 } as const;
  for (const options of [mean, { ...mean, objective: "quantile", quantiles: [0.5, 0.9] } as const]) {
    const trainer = await TreeTrainer.create(data, trainingOptions(options, columns));
    while (trainer.step());
    const forest = trainer.finish(), ensemble = ensembleOf(forest, options, columns, { rows: "40" });
    const quantiles = "quantiles" in options ? options.quantiles : undefined;
    equal(ensemble.objective, quantiles ? "reg:quantileerror" : "reg:squarederror");
    deepStrictEqual(ensemble.quantiles, quantiles);
    deepStrictEqual([ensemble.featureNames, ensemble.featureTypes, ensemble.features], [
      ["load", "role"],
      ["int", "c"],
      2,
    ]);
    equal(ensemble.groups, quantiles?.length ?? 1);
    equal(ensemble.trees.length, 5 * ensemble.groups);
    deepStrictEqual(ensemble.baseMargin, forest.base);
    deepStrictEqual(ensemble.attributes, { rows: "40" });
  }
});
