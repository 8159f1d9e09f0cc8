import type { GrownForest, TrainingOptions } from "../hotpath/mod.ts";
import type { Ensemble, FeatureType } from "./xgboost/ensemble.ts";

/** A column of the rows that a forest is learnt from. */
export interface TrainingColumn {
  readonly name: string;
  /** `c`: codes of categories. */
  readonly type: FeatureType;
  /** 1 where predictions must not fall as the value grows, -1 where they must not rise. @default {0} */
  readonly monotone?: -1 | 0 | 1;
}

/** Options of a training that its columns do not say. */
export type ForestOptions = Omit<TrainingOptions, "categorical" | "monotone">;

/** llm-d's hyper-parameters, the same for both latencies; `bins` is XGBoost's default. */
export const defaultTraining: Omit<ForestOptions, "objective" | "seed"> = {
  trees: 200,
  depth: 6,
  learningRate: 0.05,
  subsample: 0.8,
  columnsByTree: 0.8,
  minChildWeight: 5,
  gamma: 0.2,
  l1: 0.01,
  l2: 0.1,
  bins: 256,
};

/** The trainer's options with what the columns say. */
export function trainingOptions(options: ForestOptions, columns: readonly TrainingColumn[]): TrainingOptions {
  return {
    ...options,
    categorical: columns.map(({ type }) => type === "c"),
    monotone: columns.map(({ monotone }) => monotone ?? 0),
  };
}

/** What was learnt, as a model of XGBoost's that can be predicted with and written. */
export function ensembleOf(
  { base, trees }: GrownForest,
  { objective, quantiles }: ForestOptions,
  columns: readonly TrainingColumn[],
  attributes: Readonly<Record<string, string>> = {},
): Ensemble {
  const isQuantile = objective === "quantile";
  return {
    objective: isQuantile ? "reg:quantileerror" : "reg:squarederror",
    quantiles: isQuantile ? quantiles : undefined,
    features: columns.length,
    featureNames: columns.map(({ name }) => name),
    featureTypes: columns.map(({ type }) => type),
    groups: base.length,
    baseMargin: base,
    trees,
    attributes,
    version: [2, 1, 0],
  };
}
