/**
 * One tree, as XGBoost stores it: arrays by node, node 0 is the root. `left[i] < 0` says that node i is a leaf.
 * Deleted nodes may lie between the others; nothing leads to them.
 */
export interface Tree {
  readonly left: Int32Array;
  readonly right: Int32Array;
  /** Column an inner node asks for. */
  readonly feature: Int32Array;
  /** At an inner node a value goes left if it is less than this; at a leaf the leaf's value, learning rate included. */
  readonly threshold: Float32Array;
  /** 1 where a missing value goes left. */
  readonly defaultLeft: Uint8Array;
  /** Inner nodes that ask for a category: the codes that go right, ascending. */
  readonly categories?: ReadonlyMap<number, Int32Array>;
  /** Output this tree adds to. */
  readonly group: number;
  /** What its leaves are multiplied with: DART's weight, 1 elsewhere. */
  readonly weight: number;
  /** For the importance of features: gain and sum of hessians of each node, its weight before the learning rate. */
  readonly gain: Float32Array;
  readonly cover: Float32Array;
  readonly baseWeight: Float32Array;
}

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
