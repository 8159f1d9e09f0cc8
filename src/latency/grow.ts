import { TreeTrainer } from "../hotpath/mod.ts";
import { residualSum, sumAttribute } from "./open_model.ts";
import type { TrainingParameters, TrainingSet } from "./trainer.ts";
import { ensembleOf, type ForestOptions, trainingOptions } from "./training.ts";
import { writeModelUbjson } from "./xgboost/write.ts";

/**
 * A model file of what `set` teaches: what the labels are beyond their margins. `rest` is asked after each round, and awaited
 * where it wants a pause. Throws RangeError for a set or parameters that cannot be learnt from.
 */
export async function growForest(
  set: TrainingSet,
  parameters: TrainingParameters,
  rest: () => Promise<void> | undefined = () => undefined,
): Promise<Uint8Array> {
  const { rowSample, columnSample, quantiles, monotone, ...same } = parameters;
  const options: ForestOptions = {
    ...same,
    subsample: rowSample,
    columnsByTree: columnSample,
    objective: quantiles.length === 0 ? "squared-error" : "quantile",
    quantiles,
  };
  const columns = set.featureNames.map((name, c) => ({
    name,
    type: set.featureTypes[c],
    monotone: monotone[c] as -1 | 0 | 1 | undefined,
  }));
  const trainer = await TreeTrainer.create(set, trainingOptions(options, columns));
  while (trainer.step()) await rest();
  return writeModelUbjson(ensembleOf(trainer.finish(), options, columns, { [sumAttribute]: residualSum }));
}
