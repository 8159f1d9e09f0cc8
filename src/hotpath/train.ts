import { type KernelExports, loadKernels } from "./load.ts";
import { binCategories, type BinnedColumn, binNumbers } from "./train_bins.ts";
import { columnBytes } from "./train_layout.ts";
import { columnsByTree, layoutTraining, type TrainingMemory, writeJob } from "./train_memory.ts";
import { baseScores, checkTraining } from "./train_rules.ts";
import { readTree } from "./train_trees.ts";
import type { GrownForest, GrownTree, TrainingData, TrainingOptions } from "./train_types.ts";
import { Validation } from "./train_validation.ts";

/** Columns with fewer categories are split one against the rest. */
const oneHotBelow = 4;

/**
 * Learns a forest from rows, a round at a time, so that the caller may do something else between two: gradient boosting by
 * histograms with XGBoost's rules (`tree_method=hist`, depth-wise, as of versions 2.0 to 3.3). The same data, options and
 * seed give the same forest, bit for bit. Works in a memory of its own, whose size is known and reserved at the start.
 */
export class TreeTrainer {
  readonly #buffer: ArrayBufferLike;
  readonly #places: TrainingMemory;
  readonly #trainTree: KernelExports[string];
  readonly #options: TrainingOptions;
  /** Of each output; undefined for squared error. */
  readonly #quantiles: readonly number[] | undefined;
  readonly #base: Float32Array;
  readonly #margins: readonly Float32Array[];
  readonly #columns: readonly BinnedColumn[];
  readonly #validation: Validation | undefined;
  readonly #trees: GrownTree[] = [];

  /** Throws RangeError for data and options that cannot be learnt from. */
  static async create(data: TrainingData, options: TrainingOptions): Promise<TreeTrainer> {
    checkTraining(data, options);
    const places = layoutTraining(data, options, outputsOf(options));
    const memory = new WebAssembly.Memory({ initial: places.pages, maximum: places.pages, shared: true });
    const { trainTree } = await loadKernels(memory);
    return new TreeTrainer(data, options, places, memory.buffer, trainTree);
  }

  private constructor(
    data: TrainingData,
    options: TrainingOptions,
    places: TrainingMemory,
    buffer: ArrayBufferLike,
    trainTree: KernelExports[string],
  ) {
    this.#buffer = buffer;
    this.#places = places;
    this.#trainTree = trainTree;
    this.#options = options;
    this.#quantiles = options.objective === "quantile" ? options.quantiles : undefined;
    const outputs = outputsOf(options), trainingRows = data.rows - (options.validation?.rows ?? 0);
    this.#columns = fillColumns(buffer, places, data, options);
    new Float32Array(buffer, places.labels, data.rows).set(data.labels);
    if (data.weights) new Float32Array(buffer, places.weights, data.rows).set(data.weights);
    this.#base = data.margins ? new Float32Array(outputs) : baseScores(data, trainingRows, this.#quantiles);
    this.#margins = Array.from(this.#base, (base, output) => {
      const margins = new Float32Array(buffer, places.margins + output * data.rows * 4, data.rows);
      if (data.margins) margins.set(data.margins);
      else margins.fill(base);
      return margins;
    });
    // The kernel orders the rows it learns from; the others stay after them.
    const order = new Uint32Array(buffer, places.order, data.rows);
    for (let row = 0; row < data.rows; row++) order[row] = row;
    writeJob(buffer, places, data, options, {
      trainingRows,
      columnsByTree: columnsByTree(data.columns.length, options.columnsByTree),
      constrained: options.monotone?.some((sign) => sign !== 0) ?? false,
    });
    if (options.validation) this.#validation = new Validation(data, trainingRows, options.validation.patience);
  }

  /** Rounds done. */
  get rounds(): number {
    return this.#trees.length / this.#base.length;
  }

  /** Bytes of the memory it works in. */
  get bytes(): number {
    return this.#buffer.byteLength;
  }

  /** Grows one tree an output; false when that was the last round. */
  step(): boolean {
    if (this.rounds >= this.#options.trees) return false;
    for (let output = 0; output < this.#base.length; output++) {
      const nodes = this.#trainTree(this.#places.job, output, this.#quantiles?.[output] ?? 0);
      this.#trees.push(readTree(this.#buffer, this.#places.nodes, nodes, output, this.#columns));
    }
    if (this.#validation?.isOver(this.rounds, this.#margins, this.#quantiles)) return false;
    return this.rounds < this.#options.trees;
  }

  /** What was learnt so far; with validation, up to the best round. */
  finish(): GrownForest {
    const rounds = this.#validation?.bestRound ?? this.rounds;
    return { base: this.#base, trees: this.#trees.slice(0, rounds * this.#base.length) };
  }
}

function outputsOf({ objective, quantiles = [] }: TrainingOptions): number {
  return objective === "quantile" ? quantiles.length : 1;
}

/** Puts every value in its bin, and tells the kernel of the columns. */
function fillColumns(
  buffer: ArrayBufferLike,
  places: TrainingMemory,
  { rows, columns, weights }: TrainingData,
  { bins: binsMax, categorical, monotone }: TrainingOptions,
): BinnedColumn[] {
  const out = new Uint8Array(buffer), order = new Float64Array(rows);
  return columns.map((values, c) => {
    const at = places.bins + (c >> 4) * rows * 16 + (c & 15);
    const isCategory = categorical?.[c] ?? false;
    const column = isCategory
      ? binCategories(values, binsMax, out, at)
      : binNumbers(values, weights, binsMax, order, out, at);
    const kind = !isCategory ? 0 : column.bins < oneHotBelow ? 1 : 2;
    new Uint32Array(buffer, places.columns + c * columnBytes, 4)
      .set([column.bins, column.missing ? 1 : 0, kind, monotone?.[c] ?? 0]);
    return column;
  });
}
