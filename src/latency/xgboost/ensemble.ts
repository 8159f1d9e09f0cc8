import type { GrownTree } from "../../hotpath/mod.ts";

/**
 * One tree, as XGBoost stores it, learning rate included in its leaves. Deleted nodes may lie between the others; nothing leads
 * to them.
 */
export type Tree = GrownTree;

/** `q`, `float`: numbers. `int`: whole ones. `i`: 0 or 1. `c`: codes of categories. */
export type FeatureType = "float" | "q" | "int" | "i" | "c";

/** A gradient-boosted forest: what a model file of XGBoost holds, checked. */
export interface Ensemble {
  /** XGBoost's name, such as `reg:quantileerror`. */
  readonly objective: string;
  /** Of `reg:quantileerror`: the quantile of each output. */
  readonly quantiles?: readonly number[];
  /** Columns a row has. */
  readonly features: number;
  /** Empty when the file names none. */
  readonly featureNames: readonly string[];
  readonly featureTypes: readonly FeatureType[];
  /** Category dictionary by feature, where the file has one: code → category. */
  readonly categoryNames?: ReadonlyMap<number, readonly (string | number)[]>;
  /** Outputs of a row. */
  readonly groups: number;
  /** Where the sum of each output begins: the base score through the inverse link, float32. */
  readonly baseMargin: Float32Array;
  /** In the order they are summed. */
  readonly trees: readonly Tree[];
  /** Free text by key, such as `best_iteration`. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Of the XGBoost that wrote it. */
  readonly version: readonly [number, number, number];
}
