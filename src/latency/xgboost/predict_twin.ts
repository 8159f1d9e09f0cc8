import { type Ensemble, type Tree } from "./ensemble.ts";

/** A value from here on is no code of a category. */
const categoryEnd = 2 ** 24;

/**
 * Margins of one row, one for each output, as XGBoost adds them: float32 sums in the order of the trees, from the
 * ensemble's base margin or from `baseMargin`, which replaces it. `row` is rounded to float32; NaN is a missing value.
 */
export function predictMargins(
  { trees, baseMargin: intercepts }: Pick<Ensemble, "trees" | "baseMargin">,
  row: ArrayLike<number>,
  baseMargin?: ArrayLike<number>,
): Float32Array {
  const values = Float32Array.from(row);
  const margins = Float32Array.from(baseMargin ?? intercepts);
  for (const tree of trees) {
    // The array rounds the sum to float32.
    margins[tree.group] += Math.fround(tree.threshold[leafOf(tree, values)] * Math.fround(tree.weight));
  }
  return margins;
}

function leafOf(tree: Tree, row: Float32Array): number {
  let node = 0;
  while (tree.left[node] >= 0) {
    node = goesLeft(tree, node, row[tree.feature[node]]) ? tree.left[node] : tree.right[node];
  }
  return node;
}

function goesLeft({ defaultLeft, categories, threshold }: Tree, node: number, value: number): boolean {
  if (Number.isNaN(value)) return defaultLeft[node] === 1;
  const codes = categories?.get(node);
  if (codes === undefined) return value < threshold[node];
  if (value < 0 || value >= categoryEnd) return true;
  return !codes.includes(Math.trunc(value));
}
