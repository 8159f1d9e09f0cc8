import { columnBytes, jobBytes, laneBytes, nodeBytes, sortBytes } from "./train_layout.ts";
import type { TrainingData, TrainingOptions } from "./train_types.ts";

const pageBytes = 65_536;
const line = 64;

/** Where a training's arrays lie; wasm/train/layout.ts says what they are for. */
export interface TrainingMemory {
  readonly job: number;
  readonly columns: number;
  readonly bins: number;
  readonly labels: number;
  /** 0 when every row weighs 1. */
  readonly weights: number;
  readonly margins: number;
  readonly pairs: number;
  readonly order: number;
  readonly spare: number;
  readonly slots: number;
  readonly slotBytes: number;
  readonly nodes: number;
  readonly stack: number;
  readonly chosen: number;
  /** Pages of 64 KiB in all. */
  readonly pages: number;
}

/** Nodes of a tree at most. */
export function nodesMax(depth: number): number {
  return 2 ** (depth + 1) - 1;
}

/** Columns a tree chooses: the share of them, rounded down, at least one. */
export function columnsByTree(columns: number, share: number): number {
  return Math.max(1, Math.floor(share * columns + 1e-9));
}

/**
 * Places every array. A row takes 24 bytes and 16 for each 16 columns, 8 more with weights and 4 for each output beyond the
 * first; a level of the tree 4 KiB a column. The most rows and columns there may be take 2.4 GB.
 */
export function layoutTraining(data: TrainingData, options: TrainingOptions, outputs: number): TrainingMemory {
  const { rows, columns: { length: columns } } = data;
  let at = pageBytes;
  const take = (bytes: number) => {
    const start = at;
    at = Math.ceil((at + bytes) / line) * line;
    return start;
  };
  const slotBytes = columnsByTree(columns, options.columnsByTree) * laneBytes;
  const places = {
    job: take(jobBytes),
    columns: take(columns * columnBytes),
    bins: take(Math.ceil(columns / 16) * rows * 16),
    labels: take(rows * 4),
    weights: data.weights ? take(rows * 4) : 0,
    margins: take(rows * outputs * 4),
    pairs: take(rows * 8),
    order: take(rows * 4),
    spare: take(rows * (data.weights ? 8 : 4)),
    slots: take(slotBytes * (options.depth + 1)),
    slotBytes,
    nodes: take(nodesMax(options.depth) * nodeBytes),
    stack: take((options.depth + 1) * 4),
    chosen: take(Math.max(columns * 4, sortBytes)),
  };
  return { ...places, pages: Math.ceil(at / pageBytes) };
}

/** What the kernel's job says beside the places. */
export interface JobWords {
  readonly trainingRows: number;
  readonly columnsByTree: number;
  readonly constrained: boolean;
}

/** Writes the job in the order of its fields. */
export function writeJob(
  buffer: ArrayBufferLike,
  places: TrainingMemory,
  data: TrainingData,
  options: TrainingOptions,
  words: JobWords,
): void {
  const numbers = [options.l1, options.l2, options.minChildWeight, options.gamma, options.learningRate];
  new Float64Array(buffer, places.job, numbers.length).set(numbers);
  const seedAt = places.job + numbers.length * 8;
  new BigUint64Array(buffer, seedAt, 1)[0] = BigInt.asUintN(64, BigInt(options.seed));
  const fields = [
    options.subsample === 1 ? 0 : Math.max(1, Math.floor(options.subsample * 2 ** 32)),
    data.rows,
    words.trainingRows,
    data.columns.length,
    words.columnsByTree,
    options.depth,
    options.objective === "quantile" ? 1 : 0,
    words.constrained ? 1 : 0,
    places.columns,
    places.bins,
    places.labels,
    places.weights,
    places.margins,
    places.pairs,
    places.order,
    places.spare,
    places.slots,
    places.slotBytes,
    places.nodes,
    places.stack,
    places.chosen,
  ];
  new Uint32Array(buffer, seedAt + 8, fields.length).set(fields);
}
