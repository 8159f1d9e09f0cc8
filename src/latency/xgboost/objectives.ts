/**
 * From what a forest adds up to what it says, as XGBoost's objectives define it, and back for the base score. All in
 * float32; exponentials and logarithms may differ from XGBoost's in the last place, as those of C libraries do.
 */
export interface Link {
  /** The margin whose output is `output`. */
  readonly toMargin: (output: number) => number;
  /** Replaces the margins of a row by its outputs. */
  readonly toOutputs: (margins: Float32Array) => void;
}

const { fround } = Math;
/** Base scores of probabilities stay this far from 0 and 1. */
const probabilityEdge = fround(1e-6);
/** Where exp in float32 begins to overflow. */
const exponentMax = fround(88.7);

function elementwise(toMargin: (output: number) => number, toOutput: (margin: number) => number): Link {
  return {
    toMargin: (output) => fround(toMargin(fround(output))),
    toOutputs: (margins) => margins.forEach((margin, i) => margins[i] = toOutput(margin)),
  };
}

function same(value: number): number {
  return value;
}

function logit(probability: number): number {
  const inside = Math.min(Math.max(probability, probabilityEdge), fround(1 - probabilityEdge));
  return -Math.log(fround(fround(1 / inside) - 1));
}

function sigmoid(margin: number): number {
  return 1 / fround(fround(Math.exp(Math.min(-margin, exponentMax))) + 1);
}

/** XGBoost sums in double, divides in float. */
function softmax(margins: Float32Array): void {
  const most = Math.max(...margins);
  let sum = 0;
  for (let i = 0; i < margins.length; i++) sum += margins[i] = Math.exp(fround(margins[i] - most));
  for (let i = 0; i < margins.length; i++) margins[i] /= fround(sum);
}

const identity = elementwise(same, same);
const exponential = elementwise(Math.log, Math.exp);
const logistic = elementwise(logit, sigmoid);

const links: ReadonlyMap<string, Link> = new Map([
  ["reg:squarederror", identity],
  ["reg:linear", identity],
  ["reg:squaredlogerror", identity],
  ["reg:pseudohubererror", identity],
  ["reg:absoluteerror", identity],
  ["reg:quantileerror", identity],
  ["reg:expectileerror", identity],
  ["binary:logitraw", identity],
  ["rank:pairwise", identity],
  ["rank:ndcg", identity],
  ["rank:map", identity],
  ["reg:gamma", exponential],
  ["reg:tweedie", exponential],
  ["count:poisson", exponential],
  ["survival:cox", exponential],
  ["survival:aft", exponential],
  ["reg:logistic", logistic],
  ["binary:logistic", logistic],
  ["binary:hinge", elementwise(same, (margin) => margin > 0 ? 1 : 0)],
  ["multi:softprob", { toMargin: fround, toOutputs: softmax }],
  // Every output is the number of the class.
  ["multi:softmax", { toMargin: fround, toOutputs: (margins) => margins.fill(margins.indexOf(Math.max(...margins))) }],
]);

/** The link of an objective by XGBoost's name; undefined for one that is not known. */
export function linkOf(objective: string): Link | undefined {
  return links.get(objective);
}
