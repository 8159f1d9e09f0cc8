import type { Target } from "./features.ts";
import type { ForestKind } from "./state.ts";

/** Columns of numbers by name, and the labels of their rows. */
export interface ForestRows {
  readonly names: readonly string[];
  /** `columns[c][row]`; NaN: missing. */
  readonly columns: readonly Float32Array[];
  readonly labels: Float32Array;
  readonly weights: Float32Array;
}

/** Shape and pace of boosting; see `TrainingOptions` of the kernel. */
export interface ForestParameters {
  readonly quantiles: readonly number[];
  readonly trees: number;
  readonly depth: number;
  readonly learningRate: number;
  /** By column: 1 where the prediction must not fall as it grows. */
  readonly monotone: readonly number[];
  readonly seed: number;
}

/** A forest to be trained, and the rows it is judged by: every column of `columns`, `heldBack[c][row]`. */
export interface ForestJob {
  readonly target: Target;
  readonly rows: ForestRows;
  readonly parameters: ForestParameters;
  readonly heldBack: readonly Float32Array[];
}

/** A forest that was trained or read. */
export interface MadeForest {
  readonly kind: ForestKind;
  /** As stock XGBoost reads it. */
  readonly file: Uint8Array;
  /** As the kernel reads it. */
  readonly packed: Uint8Array;
  /** Where its sums begin, for kinds other than residual. */
  readonly baseMargin: number;
  /** Median and high quantile of each held-back row, as `Label.sums`. */
  readonly sums: readonly [median: Float32Array, high: Float32Array];
  readonly trees: number;
  readonly tookMs: number;
}

/** Where forests are made: elsewhere than where requests are decided. Rejects with `ForestError`. */
export interface ForestShop {
  train(job: ForestJob, signal: AbortSignal): Promise<MadeForest>;
  /** Reads a model file, for rows of every column. */
  load(target: Target, file: Uint8Array, heldBack: readonly Float32Array[]): Promise<MadeForest>;
  stop(): Promise<void>;
}

/** A forest could not be made; requests are predicted as before. */
export class ForestError extends Error {
  override readonly name = "ForestError";
}
