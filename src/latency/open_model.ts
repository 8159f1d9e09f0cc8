/** A model file as it predicts here: its features found among the columns, its outputs as median and high quantile. */
import { packForest } from "../hotpath/mod.ts";
import { columnOf, podTypes, type Target } from "./features.ts";
import { ForestError, type MadeForest } from "./forest_shop.ts";
import { ForestKind } from "./state.ts";
import type { Ensemble } from "./xgboost/ensemble.ts";
import { predictMargins } from "./xgboost/predict_twin.ts";
import { readModel } from "./xgboost/read_model.ts";

/** Columns of llm-d's models, for files that name none. */
const llmdColumns: Readonly<Record<Target, readonly string[]>> = {
  ttft: [
    "is_queued",
    "kv_cache_percentage",
    "input_token_length",
    "num_request_waiting",
    "num_request_running",
    "prefill_tokens_in_flight",
    "decode_tokens_in_flight",
    "encoder_matched_size",
    "encoder_input_size",
    "prefix_cache_score",
    "effective_input_tokens",
    "prefill_score_bucket",
    "pod_type_cat",
  ],
  tpot: [
    "is_queued",
    "kv_cache_percentage",
    "input_token_length",
    "num_request_waiting",
    "num_request_running",
    "prefill_tokens_in_flight",
    "decode_tokens_in_flight",
    "num_tokens_generated",
    "pod_type_cat",
  ],
};

/** What the codes of a category stand for; a file with another dictionary means other things by its codes. */
const categories: Readonly<Record<string, readonly (string | number)[]>> = {
  prefill_score_bucket: [0, 1, 2, 3],
  pod_type_cat: podTypes,
};

/** Objectives by what their sums of trees are: milliseconds, or their logarithms. */
const identity = new Set([
  "reg:squarederror",
  "reg:linear",
  "reg:squaredlogerror",
  "reg:pseudohubererror",
  "reg:absoluteerror",
  "reg:quantileerror",
  "reg:expectileerror",
]);
const exponential = new Set(["reg:gamma", "reg:tweedie", "count:poisson"]);

/** Attribute of our own files: what the sum of their trees is. */
export const sumAttribute = "warmpath_sum";
export const residualSum = "ln(actual/prior)";

/**
 * Reads a file that predicts `target`, and what it says of `heldBack` rows (of every column). `quantile` is the high one.
 * Throws ModelFileError for what is no model, ForestError for one that cannot predict here.
 */
export function openModel(
  target: Target,
  file: Uint8Array,
  heldBack: readonly Float32Array[],
  quantile: number,
  residual = false,
): Omit<MadeForest, "tookMs"> {
  const read = readModel(file);
  const kind = residual ? ForestKind.Residual : kindOf(read);
  const ensemble = twoOutputs(read, quantile);
  const columns = columnsOf(ensemble, target);
  // A residual begins at the prior, whatever the file says of a base.
  const bases = kind === ForestKind.Residual ? new Float32Array(ensemble.groups) : ensemble.baseMargin;
  const packed = packForest(ensemble, columns, bases);
  const rows = heldBack[0]?.length ?? 0;
  const sums = [new Float32Array(rows), new Float32Array(rows)] as const;
  const row = new Float32Array(ensemble.features);
  for (let i = 0; i < rows; i++) {
    for (let feature = 0; feature < ensemble.features; feature++) row[feature] = heldBack[columns[feature]][i];
    const out = predictMargins(ensemble, row, bases);
    for (let q = 0; q < 2; q++) {
      const sum = out[Math.min(q, ensemble.groups - 1)];
      sums[q][i] = kind === ForestKind.Milliseconds ? Math.log(Math.max(sum, 0.01)) : sum;
    }
  }
  return { kind, file, packed, sums, trees: ensemble.trees.length };
}

function kindOf({ objective, attributes }: Ensemble): ForestKind {
  if (attributes[sumAttribute] === residualSum) return ForestKind.Residual;
  if (identity.has(objective)) return ForestKind.Milliseconds;
  if (exponential.has(objective)) return ForestKind.LogMilliseconds;
  throw new ForestError(`Cannot predict latency by a model of objective ${objective}`);
}

/** The outputs nearest to the median and to the high quantile, in this order; one of one. */
function twoOutputs(read: Ensemble, quantile: number): Ensemble {
  if (read.groups === 1) return read;
  const { quantiles } = read;
  if (!quantiles) {
    throw new ForestError(`Cannot predict latency by a model of ${read.groups} outputs that are no quantiles`);
  }
  const nearest = (share: number) =>
    quantiles.reduce((best, q, i) => Math.abs(q - share) < Math.abs(quantiles[best] - share) ? i : best, 0);
  const groups = [...new Set([nearest(0.5), nearest(quantile)])];
  return {
    ...read,
    groups: groups.length,
    baseMargin: Float32Array.from(groups, (group) => read.baseMargin[group]),
    trees: groups.flatMap((from, group) =>
      read.trees.filter((tree) => tree.group === from).map((tree) => ({ ...tree, group }))
    ),
  };
}

function columnsOf({ features, featureNames, categoryNames }: Ensemble, target: Target): number[] {
  const names = featureNames.length > 0 ? featureNames : llmdColumns[target];
  if (names.length !== features) {
    throw new ForestError(
      `Cannot use a model of ${features} features without names: llm-d's models of ${target} have ${names.length}`,
    );
  }
  for (const [feature, known] of categoryNames ?? []) {
    const expected = categories[names[feature]];
    if (expected && known.some((category, code) => category !== expected[code])) {
      throw new ForestError(
        `Cannot use a model whose feature ${names[feature]} has the categories ${known.join(", ")}`,
      );
    }
  }
  return names.map((name) => {
    const column = columnOf.get(name);
    if (column === undefined) throw new ForestError(`Cannot use a model with a feature that is not known: ${name}`);
    return column;
  });
}
