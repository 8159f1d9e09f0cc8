/**
 * Model files that this trainer learns and writes, for `predict.py` to show to XGBoost. Run as a program after a change of
 * either: `deno run -A tests/golden/training/models.ts` writes `models/`; then run `predict.py` under each version.
 */
import { type TrainingData, TreeTrainer } from "../../../src/hotpath/mod.ts";
import {
  type Ensemble,
  ensembleOf,
  trainingOptions,
  writeModelJson,
  writeModelUbjson,
} from "../../../src/latency/mod.ts";
import { type Case, columnsOf, dataOf, optionsOf } from "./cases.ts";

export interface Model {
  /** Of its file in `models/`. */
  readonly name: string;
  readonly ensemble: Ensemble;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Rows that are predicted: the first of the test rows, as they are and with missing values. */
export const predictedRows = 48;

const small = { trees: 8, depth: 4 };

async function learn(kase: Case, size: { trees: number; depth: number }): Promise<Ensemble> {
  const columns = columnsOf(kase), options = { ...optionsOf(kase), ...size };
  const trainer = await TreeTrainer.create(dataOf(kase, "training"), trainingOptions(options, columns));
  while (trainer.step());
  return ensembleOf(trainer.finish(), options, columns, { trained_on: "latency.bin" });
}

/** The models by what they show: what is learnt, both syntaxes, base scores of their own, every objective there is a name for. */
export async function models(): Promise<Model[]> {
  const common = { name: "", categorical: true, missing: true } as const;
  const mean = await learn({ ...common, objective: "squared-error" }, small);
  const quantiles = await learn({ ...common, objective: "quantile", quantiles: [0.5, 0.9] }, small);
  const monotone = await learn({ ...common, objective: "quantile", quantiles: [0.9], monotone: true }, small);
  const tiny = await learn({ ...common, objective: "squared-error" }, { trees: 2, depth: 2 });
  // Sums so small that their exponential is a number; weights as dart has them.
  const trees = tiny.trees.map((tree, i) => ({ ...tree, weight: (i + 1) / 700 }));
  const objectives = [
    "reg:squaredlogerror",
    "reg:pseudohubererror",
    "reg:absoluteerror",
    "reg:gamma",
    "reg:tweedie",
    "count:poisson",
    "survival:cox",
    "reg:logistic",
    "binary:logistic",
    "binary:logitraw",
    "binary:hinge",
  ].map((objective) => ({ ...tiny, objective, trees, baseMargin: Float32Array.of(0.3) }));
  const softprob = {
    ...tiny,
    objective: "multi:softprob",
    groups: 3,
    baseMargin: Float32Array.of(0.5, -1.5, 0.25),
    trees: [0, 1, 2].map((group) => ({ ...trees[group & 1], group })),
  };
  return [
    { name: "mean.json", ensemble: mean, bytes: writeModelJson(mean) },
    { name: "mean.ubj", ensemble: mean, bytes: writeModelUbjson(mean) },
    { name: "quantiles.json", ensemble: quantiles, bytes: writeModelJson(quantiles) },
    { name: "quantiles.ubj", ensemble: quantiles, bytes: writeModelUbjson(quantiles) },
    { name: "monotone.ubj", ensemble: monotone, bytes: writeModelUbjson(monotone) },
    ...[...objectives, softprob].map((ensemble) => ({
      name: `${ensemble.objective.replace(":", "-")}.json`,
      ensemble,
      bytes: writeModelJson(ensemble),
    })),
  ];
}

/** The rows of `predictedRows`, with missing values in the second half. */
export function rowsToPredict(): Pick<TrainingData, "rows" | "columns"> {
  const kase = { name: "", objective: "squared-error" } as const;
  const whole = dataOf(kase, "test").columns, lacking = dataOf({ ...kase, missing: true }, "test").columns;
  const half = predictedRows / 2;
  const columns = whole.map((values, c) =>
    Float32Array.from({ length: predictedRows }, (_, row) => row < half ? values[row] : lacking[c][row])
  );
  return { rows: predictedRows, columns };
}

if (import.meta.main) {
  const folder = new URL("models/", import.meta.url);
  Deno.mkdirSync(folder, { recursive: true });
  for (const { name, bytes } of await models()) Deno.writeFileSync(new URL(name, folder), bytes);
}
