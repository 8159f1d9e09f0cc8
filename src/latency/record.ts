/** What an edge tells the learner, as records of a ring between isolates. */
import { columns } from "./features.ts";
import type { PriorInput } from "./prior.ts";

/** Kinds of records; other rooms' are below. */
export const latencyRecords = { label: 64, output: 65, slo: 66 } as const;

const fixed = 14;

/** One label and what was known when it was predicted. */
export interface Label extends PriorInput {
  readonly slot: number;
  /** Of the slot when the request was placed. */
  readonly generation: number;
  readonly target: number;
  readonly ms: number;
  /** It took at least so long: nobody waited for the end. */
  readonly censored: boolean;
  /** What was told: median and high quantile. */
  readonly medianMs: number;
  readonly highMs: number;
  /** Of the forest that had a say; 0: none. */
  readonly version: number;
  /** What the forest gave, median and high: a residual in log space, or ln(milliseconds), by its kind. */
  readonly sums: readonly [number, number];
  /** Value of every column. */
  readonly row: ArrayLike<number>;
}

export const labelNumbers = fixed + columns.length;

export function writeLabel(label: Label, out: number[]): number[] {
  out[0] = label.slot;
  out[1] = label.generation;
  out[2] = label.target;
  out[3] = label.ms;
  out[4] = label.censored ? 1 : 0;
  out[5] = label.workTokens;
  out[6] = label.waitMs;
  out[7] = label.requests;
  out[8] = label.contextTokens;
  out[9] = label.medianMs;
  out[10] = label.highMs;
  out[11] = label.version;
  out[12] = label.sums[0];
  out[13] = label.sums[1];
  for (let c = 0; c < columns.length; c++) out[fixed + c] = label.row[c];
  return out;
}

/** `numbers` is read during the call only: the label is the caller's to keep. */
export function readLabel(numbers: ArrayLike<number>): Label & { readonly row: Float64Array } {
  const row = new Float64Array(columns.length);
  for (let c = 0; c < row.length; c++) row[c] = numbers[fixed + c];
  return {
    slot: numbers[0],
    generation: numbers[1],
    target: numbers[2],
    ms: numbers[3],
    censored: numbers[4] === 1,
    workTokens: numbers[5],
    waitMs: numbers[6],
    requests: numbers[7],
    contextTokens: numbers[8],
    medianMs: numbers[9],
    highMs: numbers[10],
    version: numbers[11],
    sums: [numbers[12], numbers[13]],
    row,
  };
}
