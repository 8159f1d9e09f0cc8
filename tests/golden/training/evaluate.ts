/** What a forest says of rows, by the plainest way there is: sums in f32 in the order of the trees. */
import type { GrownForest, GrownTree, TrainingData } from "../../../src/hotpath/mod.ts";

function leafOf(tree: GrownTree, value: (column: number) => number): number {
  let node = 0;
  while (tree.left[node] >= 0) {
    const x = value(tree.feature[node]);
    const codes = tree.categories?.get(node);
    const left = Number.isNaN(x)
      ? tree.defaultLeft[node] === 1
      : codes
      ? !codes.includes(Math.trunc(x))
      : x < tree.threshold[node];
    node = left ? tree.left[node] : tree.right[node];
  }
  return tree.threshold[node];
}

/** Margins by output, then by row. */
export function marginsOf(
  { base, trees }: GrownForest,
  { rows, columns, margins }: Pick<TrainingData, "rows" | "columns" | "margins">,
): Float32Array[] {
  const sums = Array.from(base, (base) => margins ? margins.slice() : new Float32Array(rows).fill(base));
  for (const tree of trees) {
    const sum = sums[tree.group];
    for (let row = 0; row < rows; row++) sum[row] += leafOf(tree, (c) => columns[c][row]);
  }
  return sums;
}
