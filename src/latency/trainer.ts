/** What trains forests: the built-in trainer and the trainer service are asked in the same way. */
import type { Target } from "./features.ts";
import type { FeatureType } from "./xgboost/ensemble.ts";

/** Samples of one target in the order of time, by column. */
export interface TrainingSet {
  readonly featureNames: readonly string[];
  readonly featureTypes: readonly FeatureType[];
  readonly rows: number;
  /** One column for each feature, `rows` values; NaN is missing, `c` columns hold codes. */
  readonly columns: readonly Float32Array[];
  readonly labels: Float32Array;
  /** Where the trees' sum of each row begins, the same for every quantile. */
  readonly margins: Float32Array;
  readonly weights: Float32Array;
}

/** How to train; the names and meanings are XGBoost's. */
export interface TrainingParameters {
  /** Ascending, between 0 and 1; one output each. None: one output, the mean. */
  readonly quantiles: readonly number[];
  /** Boosting rounds: trees of each output. */
  readonly trees: number;
  readonly depth: number;
  readonly learningRate: number;
  /** Share of the rows that a tree sees. */
  readonly rowSample: number;
  /** Share of the columns that a tree sees. */
  readonly columnSample: number;
  /** Smallest sum of hessians (for these objectives: of weights) on a side of a split. */
  readonly minChildWeight: number;
  /** Gain that a split must bring. */
  readonly gamma: number;
  readonly l1: number;
  readonly l2: number;
  /** Histogram bins a feature. */
  readonly bins: number;
  /** For each feature 1 (a prediction never falls when it rises), -1 (never rises) or 0; empty: all 0. */
  readonly monotone: readonly number[];
  readonly seed: number;
}

/**
 * `invalid`: the set or the parameters cannot be trained on. `busy`: a training of the target is under way, or the
 * service takes no more. `unreachable`, `timeout`: the service did not answer, or not in time. `refused`: it answered
 * with an error. `failed`: the training did. `bad-model`: what came back is no model file. `cancelled`: the caller's
 * signal, or `stop`.
 */
export type TrainingFailure =
  | "invalid"
  | "busy"
  | "unreachable"
  | "timeout"
  | "refused"
  | "failed"
  | "bad-model"
  | "cancelled";

/** Why there is no model. */
export class TrainingError extends Error {
  override readonly name = "TrainingError";

  constructor(readonly reason: TrainingFailure, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}

/** Trains one forest at a time for each target. */
export interface ForestTrainer {
  /**
   * The bytes of an XGBoost model file, JSON or UBJSON, trained so that a row's prediction is its margin plus its trees.
   * Rejects with a `TrainingError`, as soon as `signal` aborts with reason `cancelled`.
   */
  train(
    target: Target,
    set: TrainingSet,
    parameters: TrainingParameters,
    signal: AbortSignal,
  ): Promise<Uint8Array>;
  /** Ends what is under way; resolves when all of it has. */
  stop(): Promise<void>;
}
