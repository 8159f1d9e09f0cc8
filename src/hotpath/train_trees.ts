import type { BinnedColumn } from "./train_bins.ts";
import { nodeBytes } from "./train_layout.ts";
import type { GrownTree } from "./train_types.ts";

/** What stands for the threshold where a category is asked for, as in XGBoost's files. */
const noThreshold = 2 ** -149;

// Places in a node's record, in f64, f32 and u32, as `wasm/train/layout.ts` has them.
const words = nodeBytes / 4;
const f64 = { h: 1, gain: 3, weight: 14 };
const u32 = { set: 12, left: 20, column: 21, bin: 22, defaultLeft: 23 };
const valueWord = 34;

/** Takes the tree that the kernel left at `at`. */
export function readTree(
  buffer: ArrayBufferLike,
  at: number,
  nodes: number,
  group: number,
  columns: readonly BinnedColumn[],
): GrownTree {
  const numbers = new Float64Array(buffer, at, nodes * words / 2);
  const values = new Float32Array(buffer, at, nodes * words);
  const integers = new Uint32Array(buffer, at, nodes * words);
  const tree = {
    left: new Int32Array(nodes).fill(-1),
    right: new Int32Array(nodes).fill(-1),
    feature: new Int32Array(nodes),
    threshold: new Float32Array(nodes),
    defaultLeft: new Uint8Array(nodes),
    group,
    weight: 1,
    gain: new Float32Array(nodes),
    cover: new Float32Array(nodes),
    baseWeight: new Float32Array(nodes),
  };
  const categories = new Map<number, Int32Array>();
  for (let node = 0; node < nodes; node++) {
    const word = node * words, half = word / 2;
    tree.cover[node] = numbers[half + f64.h];
    tree.baseWeight[node] = numbers[half + f64.weight];
    const left = integers[word + u32.left];
    if (left === 0) {
      tree.threshold[node] = values[word + valueWord];
      continue;
    }
    const column = integers[word + u32.column], { cuts, bins } = columns[column];
    tree.left[node] = left;
    tree.right[node] = left + 1;
    tree.feature[node] = column;
    tree.defaultLeft[node] = integers[word + u32.defaultLeft];
    tree.gain[node] = numbers[half + f64.gain];
    if (cuts.length > 0) {
      tree.threshold[node] = cuts[integers[word + u32.bin]];
    } else {
      tree.threshold[node] = noThreshold;
      const isRight = (bin: number) => integers[word + u32.set + (bin >> 5)] >>> (bin & 31) & 1;
      categories.set(node, Int32Array.from({ length: bins }, (_, bin) => bin).filter(isRight));
    }
  }
  return categories.size > 0 ? { ...tree, categories } : tree;
}
