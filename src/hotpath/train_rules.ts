import { rowsMax } from "./train_bins.ts";
import type { TrainingData, TrainingOptions } from "./train_types.ts";

const depthMax = 12;
const columnsMax = 1024;
const quantilesMax = 16;

type Rule = readonly [what: string, value: unknown, holds: boolean, must: string];

function refuse(rules: readonly Rule[]): void {
  for (const [what, value, holds, must] of rules) {
    if (holds) continue;
    throw new RangeError(`Cannot learn a forest as ${what} must be ${must}: current value is ${value}`);
  }
}

const within = (value: number, least: number, most: number) => value >= least && value <= most;
const whole = (value: number, least: number, most: number) => Number.isInteger(value) && within(value, least, most);
const share = (value: number) => value > 0 && value <= 1;

/** Throws RangeError for what cannot be learnt from; values of columns are looked at when they are put in bins. */
export function checkTraining(data: TrainingData, options: TrainingOptions): void {
  checkOptions(options);
  const { rows, columns } = data;
  const arrays: [string, Float32Array | undefined][] = [["labels", data.labels], ["weights", data.weights]];
  arrays.push(
    ["margins", data.margins],
    ...columns.map((column, i): [string, Float32Array] => [`column ${i}`, column]),
  );
  const ofColumns = (list: readonly unknown[] | undefined) => list === undefined || list.length === columns.length;
  refuse([
    ["rows", rows, whole(rows, 1, rowsMax), `a whole number from 1 to ${rowsMax}`],
    ["columns", columns.length, whole(columns.length, 1, columnsMax), `from 1 to ${columnsMax}`],
    ...arrays.map(([name, array]): Rule => [
      `the length of ${name}`,
      array?.length,
      array === undefined || array.length === rows,
      `the number of rows, ${rows}`,
    ]),
    [
      "the length of monotone",
      options.monotone?.length,
      ofColumns(options.monotone),
      `${columns.length}, one a column`,
    ],
    [
      "the length of categorical",
      options.categorical?.length,
      ofColumns(options.categorical),
      `${columns.length}, one a column`,
    ],
    [
      "validation.rows",
      options.validation?.rows,
      whole(options.validation?.rows ?? 1, 1, rows - 1) || !options.validation,
      `a whole number from 1 to ${rows - 1}`,
    ],
  ]);
  checkNumbers("label", data.labels, Number.isFinite, "finite");
  checkNumbers("margin", data.margins, Number.isFinite, "finite");
  checkNumbers("weight", data.weights, (weight) => weight >= 0 && weight < Infinity, "finite and not negative");
}

function checkOptions(options: TrainingOptions): void {
  const { quantiles = [], monotone = [], categorical = [], validation } = options;
  const forQuantiles = options.objective === "quantile";
  const open = quantiles.every((quantile) => quantile > 0 && quantile < 1);
  refuse([
    [
      "objective",
      options.objective,
      forQuantiles || options.objective === "squared-error",
      '"squared-error" or "quantile"',
    ],
    ["trees", options.trees, whole(options.trees, 1, 100_000), "a whole number from 1 to 100000"],
    ["depth", options.depth, whole(options.depth, 1, depthMax), `a whole number from 1 to ${depthMax}`],
    ["learningRate", options.learningRate, share(options.learningRate), "above 0 and at most 1"],
    ["subsample", options.subsample, share(options.subsample), "above 0 and at most 1"],
    ["columnsByTree", options.columnsByTree, share(options.columnsByTree), "above 0 and at most 1"],
    ["minChildWeight", options.minChildWeight, within(options.minChildWeight, 1e-6, 1e30), "at least 1e-6"],
    ["gamma", options.gamma, within(options.gamma, 0, 1e30), "at least 0"],
    ["l1", options.l1, within(options.l1, 0, 1e30), "at least 0"],
    ["l2", options.l2, within(options.l2, 0, 1e30), "at least 0"],
    ["bins", options.bins, whole(options.bins, 2, 256), "a whole number from 2 to 256"],
    ["seed", options.seed, Number.isSafeInteger(options.seed), "a whole number"],
    [
      "quantiles",
      quantiles.join(),
      !forQuantiles || (whole(quantiles.length, 1, quantilesMax) && open),
      `1 to ${quantilesMax} numbers between 0 and 1`,
    ],
    [
      "monotone",
      monotone.join(),
      monotone.every((sign) => sign === -1 || sign === 0 || sign === 1),
      "-1, 0 or 1 by column",
    ],
    [
      "monotone",
      monotone.join(),
      !monotone.some((sign, i) => sign !== 0 && categorical[i]),
      "0 where a column is categorical",
    ],
    [
      "validation.patience",
      validation?.patience,
      !validation || whole(validation.patience, 1, 100_000),
      "a whole number of at least 1",
    ],
  ]);
}

function checkNumbers(
  what: string,
  values: Float32Array | undefined,
  holds: (value: number) => boolean,
  must: string,
): void {
  const row = values?.findIndex((value) => !holds(value)) ?? -1;
  if (row < 0) return;
  throw new RangeError(`Cannot learn from row ${row} as its ${what} must be ${must}: current value is ${values![row]}`);
}

/** Where predictions begin: the mean of the labels, or their quantiles, of the first `rows` rows. */
export function baseScores(
  { labels, weights }: TrainingData,
  rows: number,
  quantiles: readonly number[] | undefined,
): Float32Array {
  if (quantiles === undefined) return Float32Array.of(mean(labels.subarray(0, rows), weights));
  const order = Uint32Array.from({ length: rows }, (_, row) => row).sort((a, b) => labels[a] - labels[b]);
  return Float32Array.from(quantiles, (quantile) => {
    if (weights) return labels[order[weightedRank(order, weights, quantile)]];
    // Between the ranks around quantile · (rows + 1), linearly; the ends beyond them.
    const place = Math.min(Math.max(quantile * (rows + 1) - 1, 0), rows - 1);
    const low = labels[order[Math.floor(place)]], high = labels[order[Math.ceil(place)]];
    return low + (place - Math.floor(place)) * (high - low);
  });
}

function mean(labels: Float32Array, weights: Float32Array | undefined): number {
  let sum = 0, all = 0;
  for (let row = 0; row < labels.length; row++) {
    const weight = weights ? weights[row] : 1;
    sum += labels[row] * weight;
    all += weight;
  }
  return all > 0 ? sum / all : 0;
}

/** The first rank at which the weights so far come to the share of all. */
function weightedRank(order: Uint32Array, weights: Float32Array, share: number): number {
  let all = 0, sum = 0;
  for (const row of order) all += weights[row];
  return Math.max(0, order.findIndex((row) => (sum += weights[row]) >= share * all));
}
