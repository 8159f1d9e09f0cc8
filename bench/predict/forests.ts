/** Forests of full trees with thresholds, features, directions and leaves by chance, and rows to score. */
import type { Prng } from "../../src/core/mod.ts";
import type { ForestTree, ForestTrees } from "../../src/hotpath/mod.ts";

export interface ForestShape {
  readonly trees: number;
  readonly depth: number;
  readonly features: number;
}

/** One output; every place of every tree is taken, as in a model of much data. */
export function randomForest({ trees, depth, features }: ForestShape, prng: Prng): ForestTrees {
  return { groups: 1, trees: Array.from({ length: trees }, () => randomTree(depth, features, prng)) };
}

function randomTree(depth: number, features: number, prng: Prng): ForestTree {
  const inner = 2 ** depth - 1, nodes = 2 * inner + 1;
  const child = (which: number) => Int32Array.from({ length: nodes }, (_, i) => i < inner ? 2 * i + which : -1);
  return {
    left: child(1),
    right: child(2),
    feature: Int32Array.from({ length: nodes }, () => prng.below(features)),
    threshold: Float32Array.from({ length: nodes }, (_, i) => i < inner ? prng.float() : prng.float() - 0.5),
    defaultLeft: Uint8Array.from({ length: nodes }, () => prng.below(2)),
    group: 0,
    weight: 1,
  };
}

/** `count` columns of `rows` values like the thresholds. */
export function randomColumns(count: number, rows: number, prng: Prng): Float32Array[] {
  return Array.from({ length: count }, () => Float32Array.from({ length: rows }, () => prng.float()));
}
