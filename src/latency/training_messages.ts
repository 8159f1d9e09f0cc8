import type { TrainingJob } from "./training_job.ts";
import type { Ensemble } from "./xgboost/ensemble.ts";

/** What the training worker is told. It answers each with one message. */
export interface ToTrainer {
  readonly job: TrainingJob;
  /** One word: not 0 once the job is to be given up. */
  readonly stop: Int32Array<SharedArrayBuffer>;
}

/** What it says. */
export type FromTrainer =
  | { readonly kind: "trained"; readonly ensembles: readonly Ensemble[] }
  | { readonly kind: "stopped" }
  | { readonly kind: "refused"; readonly message: string };
