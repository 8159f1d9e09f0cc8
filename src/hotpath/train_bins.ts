/** A column's values in bins of about equal weight. */
export interface BinnedColumn {
  /** Bins of values; missing ones are in the bin after them. */
  readonly bins: number;
  readonly missing: boolean;
  /** Where bin i + 1 begins; the last lies above every value. Empty for categories. */
  readonly cuts: Float32Array;
}

/** Rows that fit: a value's rank and its row share the 53 bits of one number. */
export const rowsMax = 2 ** 21;
/** The largest value that twice of is a float too. */
const valueMax = 1e38;

/**
 * Puts each row's bin at `out[at + 16 * row]`. `order` is scratch of at least `rows` numbers. A value that makes up more
 * than a bin's share has a bin of its own; where there are no more values than bins, each has one.
 */
export function binNumbers(
  values: Float32Array,
  weights: Float32Array | undefined,
  binsMax: number,
  order: Float64Array,
  out: Uint8Array,
  at: number,
): BinnedColumn {
  const present = sortRows(values, order);
  const missing = present < values.length;
  const { cuts, starts } = cutAt(values, weights, order.subarray(0, present), missing ? binsMax - 1 : binsMax);
  for (let bin = 0; bin < cuts.length; bin++) {
    for (let i = starts[bin]; i < starts[bin + 1]; i++) out[at + 16 * (order[i] % rowsMax)] = bin;
  }
  if (missing) {
    for (let row = 0; row < values.length; row++) {
      if (Number.isNaN(values[row])) out[at + 16 * row] = cuts.length;
    }
  }
  return { bins: cuts.length, missing, cuts };
}

/** As `binNumbers` for codes of categories: a bin is a code. Throws RangeError for what is no code or finds no bin. */
export function binCategories(values: Float32Array, binsMax: number, out: Uint8Array, at: number): BinnedColumn {
  let bins = 0, missing = false;
  for (let row = 0; row < values.length; row++) {
    const code = values[row];
    if (Number.isNaN(code)) {
      missing = true;
      continue;
    }
    if (!Number.isInteger(code) || code < 0 || code >= binsMax - 1) {
      throw new RangeError(
        `Cannot learn from row ${row} as a category must be a whole number from 0 to ${
          binsMax - 2
        }: current value is ${code}`,
      );
    }
    bins = Math.max(bins, code + 1);
    out[at + 16 * row] = code;
  }
  for (let row = 0; row < values.length; row++) if (Number.isNaN(values[row])) out[at + 16 * row] = bins;
  return { bins, missing, cuts: new Float32Array() };
}

/** Writes the rows that have a value into `order`, by value: `rank * rowsMax + row`; returns how many. */
function sortRows(values: Float32Array, order: Float64Array): number {
  // -0 is 0.
  const bits = new Uint32Array(values.map((value) => value + 0).buffer);
  let present = 0;
  for (let row = 0; row < values.length; row++) {
    if (Number.isNaN(values[row])) continue;
    if (Math.abs(values[row]) > valueMax) {
      throw new RangeError(
        `Cannot learn from row ${row} as values must lie between -${valueMax} and ${valueMax}: current value is ${
          values[row]
        }`,
      );
    }
    // Bits of floats sort as numbers once those of negative ones are turned around.
    const rank = (bits[row] >>> 31 ? ~bits[row] : bits[row] | 0x8000_0000) >>> 0;
    order[present++] = rank * rowsMax + row;
  }
  order.subarray(0, present).sort();
  return present;
}

/** Where bins begin: as values, and as places in `order`, the end included. */
function cutAt(
  values: Float32Array,
  weights: Float32Array | undefined,
  order: Float64Array,
  binsMax: number,
): { cuts: Float32Array; starts: number[] } {
  // Distinct values by where they begin in `order`, and the weight of each.
  const begins: number[] = [], heavy: number[] = [];
  let rank = -1;
  for (let i = 0; i < order.length; i++) {
    const row = order[i] % rowsMax, ofRow = Math.floor(order[i] / rowsMax);
    if (ofRow !== rank) {
      begins.push(i);
      heavy.push(0);
      rank = ofRow;
    }
    heavy[heavy.length - 1] += weights ? weights[row] : 1;
  }
  const chosen = chooseStarts(heavy, binsMax);
  if (order.length === 0) return { cuts: new Float32Array(), starts: [0] };
  const valueAt = (i: number) => values[order[i] % rowsMax];
  const cuts = chosen.slice(1).map((value) => valueAt(begins[value]));
  const largest = valueAt(order.length - 1);
  cuts.push(largest + Math.abs(largest) + 1e-5);
  return { cuts: Float32Array.from(cuts), starts: [...chosen.map((value) => begins[value]), order.length] };
}

/** Which of the distinct values, given by their weights in order, begin a bin. */
function chooseStarts(weights: readonly number[], binsMax: number): number[] {
  if (weights.length <= binsMax) return weights.map((_, i) => i);
  const starts = [0];
  let left = weights.reduce((sum, weight) => sum + weight, 0), filled = 0;
  for (let i = 0; i < weights.length - 1 && starts.length < binsMax; i++) {
    filled += weights[i];
    // What is left is shared evenly among the bins to come, so that a heavy value takes from all alike.
    const share = left / (binsMax - starts.length + 1);
    const reached = filled + weights[i + 1] / 2 > share;
    if (!reached) continue;
    starts.push(i + 1);
    left -= filled;
    filled = 0;
  }
  return starts;
}
