import type { ForestTree } from "./forest_pack.ts";

/** Rows to learn from. Arrays are read while the trainer is made, and not kept. */
export interface TrainingData {
  readonly rows: number;
  /** One array a column, `rows` long. NaN is a missing value; others lie between -1e38 and 1e38. */
  readonly columns: readonly Float32Array[];
  /** What is to be predicted; finite. */
  readonly labels: Float32Array;
  /** How much each row counts: finite, not negative. @default {1 for each} */
  readonly weights?: Float32Array;
  /** Where each row's prediction begins, for every output; replaces the base score. */
  readonly margins?: Float32Array;
}

export interface TrainingOptions {
  /** Rounds; each grows a tree an output. */
  readonly trees: number;
  /** Splits from the root to a leaf, 1 to 12. */
  readonly depth: number;
  /** What a tree's values are multiplied with. */
  readonly learningRate: number;
  /** Share of rows, and of columns, that a tree learns from. */
  readonly subsample: number;
  readonly columnsByTree: number;
  /** Least sum of weights on a side of a split, at least 1e-6. */
  readonly minChildWeight: number;
  /** Least gain of a split. */
  readonly gamma: number;
  readonly l1: number;
  readonly l2: number;
  /** Bins of a column, missing values included: 2 to 256. */
  readonly bins: number;
  /** By column: 1 where predictions must not fall as the value grows, -1 where they must not rise. @default {0 for each} */
  readonly monotone?: readonly number[];
  /** Columns whose values are codes 0, 1, 2, … of categories. @default {none} */
  readonly categorical?: readonly boolean[];
  readonly objective: "squared-error" | "quantile";
  /** Of the objective `quantile`: an output each, between 0 and 1. */
  readonly quantiles?: readonly number[];
  /** Keeps the last `rows` rows from being learnt from, and stops when their loss has not fallen for `patience` rounds. */
  readonly validation?: { readonly rows: number; readonly patience: number };
  readonly seed: number;
}

/** A tree that was learnt: `left` is -1 at a leaf, `right` is `left + 1`. */
export interface GrownTree extends ForestTree {
  /** Gain and sum of hessians of each node, its weight before the learning rate. */
  readonly gain: Float32Array;
  readonly cover: Float32Array;
  readonly baseWeight: Float32Array;
}

/** What was learnt. A row's output is the sum over the trees of its group, begun at the base or at the row's margin. */
export interface GrownForest {
  /** One an output. */
  readonly base: Float32Array;
  /** Round by round, in each the outputs in order. */
  readonly trees: readonly GrownTree[];
}
