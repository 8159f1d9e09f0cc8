/** Small trees for tests. */
import type { ForestTree, ForestTrees } from "./forest_pack.ts";

/** A leaf, or what goes left below `threshold` of `feature` and where missing if `missingLeft`, and what goes right. */
export type Sketch = number | Split;

export interface Split {
  readonly feature: number;
  readonly threshold?: number;
  /** In place of a threshold: the codes that go right. */
  readonly codes?: readonly number[];
  readonly missingLeft?: boolean;
  readonly left: Sketch;
  readonly right: Sketch;
}

export function treeOf(sketch: Sketch, { group = 0, weight = 1 } = {}): ForestTree {
  const left: number[] = [], right: number[] = [], feature: number[] = [], threshold: number[] = [];
  const defaultLeft: number[] = [], categories = new Map<number, Int32Array>();
  const add = (item: Sketch): number => {
    const node = left.push(-1) - 1;
    const split = typeof item === "number" ? undefined : item;
    right.push(-1);
    feature.push(split?.feature ?? 0);
    threshold.push(split ? split.threshold ?? 0 : item as number);
    defaultLeft.push(split?.missingLeft ? 1 : 0);
    if (split?.codes) categories.set(node, Int32Array.from(split.codes));
    if (split) left[node] = add(split.left);
    if (split) right[node] = add(split.right);
    return node;
  };
  add(sketch);
  return {
    left: Int32Array.from(left),
    right: Int32Array.from(right),
    feature: Int32Array.from(feature),
    threshold: Float32Array.from(threshold),
    defaultLeft: Uint8Array.from(defaultLeft),
    categories,
    group,
    weight,
  };
}

export function forestOf(...sketches: readonly Sketch[]): ForestTrees {
  return { groups: 1, trees: sketches.map((sketch) => treeOf(sketch)) };
}

/** As deep as wanted, each split with one leaf: all leaves are `leaf`. */
export function chain(depth: number, leaf: number): Sketch {
  let sketch: Sketch = leaf;
  for (let level = 0; level < depth; level++) sketch = { feature: 0, threshold: level, left: leaf, right: sketch };
  return sketch;
}

/** Full to its last level: all leaves are `leaf`. */
export function full(depth: number, leaf: number): Sketch {
  const below = depth === 0 ? leaf : full(depth - 1, leaf);
  return depth === 0 ? leaf : { feature: depth % 2, threshold: depth / 10, left: below, right: below };
}
