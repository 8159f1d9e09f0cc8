/** What a prediction says, as columns by slot, and what it is made by. */
import type { FeatureOptions } from "./features.ts";

/** Scores rows of columns; see `Forests` of the hot path. */
export interface ForestScorer {
  /** `columns[c][row]`. */
  readonly columns: readonly Float32Array[];
  /** Where the sums of a target begin, by row. */
  margins(target: number): Float32Array;
  /** Sums of a target's output after `score`, by row. */
  out(target: number, group: number): Float32Array;
  /** Outputs a target's forest has. */
  groups(target: number): number;
  /** 0: there is none. */
  version(target: number): number;
  score(rows: number): void;
}

/** What counts besides what is learned. */
export interface PredictorOptions extends FeatureOptions {
  /** Share of labels that is to be at most the high prediction, such as 0.9. */
  readonly quantile: number;
  /** The strictest share of a TPOT target that is planned with; 1: all of it. */
  readonly tpotBufferFactor: number;
}

/** Columns by slot that plugins read; see `LatencyView` of the scheduler. */
export interface LatencyColumns {
  readonly known: Uint8Array;
  readonly ttftMs: Float64Array;
  readonly tpotMs: Float64Array;
  readonly ttftHighMs: Float64Array;
  readonly tpotHighMs: Float64Array;
  readonly ttftPriorMs: Float64Array;
  readonly tpotPriorMs: Float64Array;
  readonly ttftHeadroomMs: Float64Array;
  readonly tpotHeadroomMs: Float64Array;
  readonly meets: Float64Array;
  readonly e2eMs: Float64Array;
  readonly harmMs: Float64Array;
  readonly harmMisses: Float64Array;
  readonly likelyMisses: Float64Array;
}

const columnNames = [
  "ttftMs",
  "tpotMs",
  "ttftHighMs",
  "tpotHighMs",
  "ttftPriorMs",
  "tpotPriorMs",
  "ttftHeadroomMs",
  "tpotHeadroomMs",
  "meets",
  "e2eMs",
  "harmMs",
  "harmMisses",
  "likelyMisses",
] as const;

/** Columns of `slots` endpoints of which nothing is said yet. */
export function emptyColumns(slots: number): LatencyColumns {
  const columns = Object.fromEntries(columnNames.map((name) => [name, new Float64Array(slots)]));
  return { known: new Uint8Array(slots), ...columns } as unknown as LatencyColumns;
}
