/** The cases of `cases.json` as data to learn from and rows to be measured on, as `generate.py` makes them. */
import { latencyColumns } from "../../../bench/predict/latency_data.ts";
import type { TrainingData } from "../../../src/hotpath/mod.ts";
import { defaultTraining, type ForestOptions, type TrainingColumn } from "../../../src/latency/mod.ts";

export interface Case {
  readonly name: string;
  readonly objective: ForestOptions["objective"];
  readonly quantiles?: readonly number[];
  readonly categorical?: boolean;
  readonly missing?: boolean;
  readonly monotone?: boolean;
  readonly weighted?: boolean;
  readonly margins?: boolean;
}

export function read(name: string): Uint8Array<ArrayBuffer> {
  return Deno.readFileSync(new URL(name, import.meta.url));
}

export const cases: readonly Case[] = JSON.parse(new TextDecoder().decode(read("cases.json")));

const bytes = read("latency.bin").buffer;
const [rows, columnCount] = new Uint32Array(bytes, 0, 2);
const arrays = Array.from({ length: columnCount + 1 }, (_, i) => new Float32Array(bytes, 8 + i * rows * 4, rows));

/** Columns that rise or stay where latency does. */
const rising = [3, 4, 5, 10];
/** Columns that lack a tenth of their values in the cases with missing values. */
const lacking = [1, 5, 9, 10];

/** The rows that are learnt from, or those that are not. */
export function dataOf(kase: Case, part: "training" | "test"): TrainingData {
  const chosen = Array.from({ length: rows }, (_, row) => row).filter((row) => (row % 5 === 4) === (part === "test"));
  const take = (value: (row: number) => number) => Float32Array.from(chosen, value);
  const columns = arrays.slice(0, columnCount).map((values, c) => {
    if (!kase.missing || !lacking.includes(c)) return take((row) => values[row]);
    return take((row) => Math.imul(row * 13 + c, 2_654_435_761) >>> 24 < 26 ? NaN : values[row]);
  });
  return {
    rows: chosen.length,
    columns,
    labels: take((row) => arrays[columnCount][row]),
    weights: kase.weighted ? take((row) => 1 + row % 3) : undefined,
    margins: kase.margins ? take((row) => Math.fround(Math.fround(0.2) * arrays[10][row])) : undefined,
  };
}

export function columnsOf(kase: Case): TrainingColumn[] {
  return latencyColumns.map(({ name, type }, c) => ({
    name,
    type: type === "c" && !kase.categorical ? "float" : type,
    monotone: kase.monotone && rising.includes(c) ? 1 : 0,
  }));
}

export function optionsOf({ objective, quantiles }: Case, seed = 42): ForestOptions {
  return { ...defaultTraining, objective, quantiles, seed };
}
