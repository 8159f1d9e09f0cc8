import type { Target } from "./features.ts";
import type { ForestKind } from "./state.ts";
import type { TrainingParameters, TrainingSet } from "./trainer.ts";

/** A forest to be trained, and the rows it is judged by: every column of `columns`, `heldBack[c][row]`. */
export interface ForestJob {
  readonly target: Target;
  readonly set: TrainingSet;
  readonly parameters: TrainingParameters;
  readonly heldBack: readonly Float32Array[];
}

/** A forest that was trained or read. */
export interface MadeForest {
  readonly kind: ForestKind;
  /** As stock XGBoost reads it. */
  readonly file: Uint8Array;
  /** As the kernel reads it. */
  readonly packed: Uint8Array;
  /** Median and high quantile of each held-back row, as `Label.sums`. */
  readonly sums: readonly [median: Float32Array, high: Float32Array];
  readonly trees: number;
  readonly tookMs: number;
}

/**
 * Where forests are made: elsewhere than where requests are decided. Rejects with `ForestError`; where a service trains, `train`
 * with its `TrainingError` too.
 */
export interface ForestShop {
  /** Whether rows have to come in the order of time. @default {false} */
  readonly ordered?: boolean;
  /** The set's arrays are given away. Rejects as soon as `signal` aborts. */
  train(job: ForestJob, signal: AbortSignal): Promise<MadeForest>;
  /** Reads a model file and judges it by rows of every column. `residual`: whatever it says of itself, it was trained here. */
  load(target: Target, file: Uint8Array, heldBack: readonly Float32Array[], residual?: boolean): Promise<MadeForest>;
  stop(): Promise<void>;
}

/** A forest could not be made; requests are predicted as before. */
export class ForestError extends Error {
  override readonly name = "ForestError";
}
