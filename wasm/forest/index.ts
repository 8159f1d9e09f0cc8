// Forests of decision trees over columns of features: two targets, many rows, one call. See forest_layout.ts for the
// packed form. Sums are float32 in the order of the trees, so that they equal XGBoost's bit for bit.
//
// A forest may be overwritten while it is read; the caller finds out afterwards and asks again. Hence nothing here trusts
// what it reads: every address lies in the forest or in the block, and every loop ends.
import { fillBlock } from "./columns";
import {
  blockRows, bytesAt, featuresMax, groupCountAt, groupsMax, headerBytes, interceptsAt, targets, treesAt,
} from "../../src/hotpath/forest_layout";
import { walkForest } from "./walk";

/**
 * Scores rows 0 … `rows` - 1 by the forests at `first` and `second` (0: none) of at most `bytesMax` bytes each. `scratch`
 * holds columns, base margins and outputs of `stride` rows each, and the block; see forest_layout.ts.
 */
export function forestScore(first: usize, second: usize, bytesMax: u32, scratch: usize, stride: u32, rows: u32): void {
  const column: usize = <usize>stride << 2;
  const margins = scratch + column * featuresMax;
  const outs = margins + column * targets;
  const block = outs + column * targets * groupsMax;
  scoreTarget(first, bytesMax, scratch, margins, outs, block, column, rows);
  scoreTarget(second, bytesMax, scratch, margins + column, outs + column * groupsMax, block, column, rows);
}

function scoreTarget(
  forest: usize,
  bytesMax: u32,
  columns: usize,
  margins: usize,
  outs: usize,
  block: usize,
  column: usize,
  rows: u32,
): void {
  if (!forest) {
    memory.copy(outs, margins, <usize>rows << 2);
    return;
  }
  const groups = min<u32>(load<u32>(forest, groupCountAt), groupsMax);
  for (let group: usize = 0; group < groups; group++) {
    begin(outs + group * column, margins, load<f32>(forest + (group << 2), interceptsAt), rows);
  }
  const bytes = max<u32>(min<u32>(load<u32>(forest, bytesAt), bytesMax), headerBytes);
  const trees = min<u32>(load<u32>(forest, treesAt), bytes);
  for (let from: u32 = 0; from < rows; from += blockRows) {
    const at: usize = <usize>from << 2;
    const count = min<u32>(rows - from, blockRows);
    fillBlock(forest, trees, columns + at, column, block, count);
    walkForest(forest + trees, forest + bytes, block, outs + at, column, count);
  }
}

/** The margins of all rows, each with the intercept added; rounded up to whole vectors. */
function begin(out: usize, margins: usize, intercept: f32, rows: u32): void {
  for (let at: usize = 0; at < <usize>rows << 2; at += 16) {
    v128.store(out + at, f32x4.add(v128.load(margins + at), f32x4.splat(intercept)));
  }
}
