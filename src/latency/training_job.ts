import type { Clock } from "../core/mod.ts";
import { type TrainingData, TreeTrainer } from "../hotpath/mod.ts";
import { ensembleOf, type ForestOptions, type TrainingColumn, trainingOptions } from "./training.ts";
import type { Ensemble } from "./xgboost/ensemble.ts";

/** One forest to learn. */
export interface TrainingTarget {
  /** As `data.columns`. */
  readonly columns: readonly TrainingColumn[];
  readonly data: TrainingData;
  readonly options: ForestOptions;
  /** Kept in the model. */
  readonly attributes?: Readonly<Record<string, string>>;
}

/** Forests to learn one after the other. */
export interface TrainingJob {
  readonly targets: readonly TrainingTarget[];
  /** Share of the time to rest, from 0 to 0.9, so that a machine of few cores has them for others. */
  readonly niceShare: number;
}

/**
 * Does the job, resting after every round; one model a target, or undefined when told to stop. `rest` waits and says
 * whether to stop. Throws RangeError for what cannot be learnt from.
 */
export async function runTraining(
  { targets, niceShare }: TrainingJob,
  clock: Clock,
  rest: (ms: number) => boolean,
): Promise<Ensemble[] | undefined> {
  if (!(niceShare >= 0 && niceShare <= 0.9)) {
    throw new RangeError(`Cannot learn as niceShare must be from 0 to 0.9: current value is ${niceShare}`);
  }
  const ensembles: Ensemble[] = [];
  for (const { columns, data, options, attributes } of targets) {
    const trainer = await TreeTrainer.create(data, trainingOptions(options, columns));
    for (let more = true; more;) {
      const startMs = clock.now();
      more = trainer.step();
      if (rest((clock.now() - startMs) * niceShare / (1 - niceShare))) return undefined;
    }
    ensembles.push(ensembleOf(trainer.finish(), options, columns, attributes));
  }
  return ensembles;
}
