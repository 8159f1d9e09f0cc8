import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { chain, forestOf, full, type Sketch, treeOf } from "./forest_fixture.ts";
import { type ForestTrees, packForest } from "./forest_pack.ts";

const refuses = (forest: ForestTrees, what: RegExp, columnOf = [0, 1]) =>
  throws(() => packForest(forest, columnOf), (error) => error instanceof RangeError && what.test(error.message));

const split = (feature: number, codes?: readonly number[]): Sketch => ({ feature, codes, left: 0, right: 1 });

Deno.test("packForest() lays trees out perfect, deep ones only where that takes no more", () => {
  const bytes = (sketch: Sketch) => packForest(forestOf(sketch), [0, 1]).length - packForest(forestOf(), []).length;
  const test = 16, perfect = (depth: number) => 12 * 2 ** depth, chained = (nodes: number) => 8 + 12 * nodes;
  equal(bytes(5), perfect(3));
  equal(bytes(full(6, 1)), 2 * test + perfect(6));
  equal(bytes(chain(8, 1)), test + perfect(8));
  equal(bytes(chain(9, 1)), test + Math.ceil(chained(19) / 8) * 8);
  equal(bytes(full(9, 1)), 2 * test + perfect(9));
});

Deno.test("packForest() counts a test once, however many nodes make it", () => {
  const bytes = (...sketches: Sketch[]) => packForest(forestOf(...sketches), [0, 1]).length;
  const again = bytes(split(0), split(0)), codes = bytes(split(0, [3, 40]), split(0, [3, 40]));
  equal(bytes(split(0), split(1)), again + 16);
  equal(bytes(split(0, [3, 40]), split(0, [3, 41])), codes + 16 + 2 * 4);
  equal(codes, again + 2 * 4);
});

Deno.test("packForest() gives the same bytes for the same forest, without a word of where it will lie", () => {
  const forest = forestOf(full(4, 2), chain(20, 3), split(1, [2]));
  deepStrictEqual(packForest(forest, [3, 9]), packForest(forest, [3, 9]));
});

Deno.test("packForest() refuses what the kernel has no room for", () => {
  refuses({ groups: 5, trees: [] }, /outputs must be at most 4: current value is 5/);
  refuses({ groups: 1, trees: [treeOf(1, { group: 1 })] }, /output of a tree must be at most 0/);
  refuses(forestOf(split(1)), /column of feature 1 must be from 0 to 31: current value is -1/, [0]);
  refuses(forestOf(split(0)), /column of feature 0 must be from 0 to 31: current value is 32/, [32]);
  refuses(forestOf(chain(256, 1)), /levels must be at most 255/);
  equal(packForest(forestOf(chain(255, 1)), [0]).length > 0, true);
  const sets = Array.from({ length: 257 }, (_, code) => split(0, [code]));
  refuses(forestOf(...sets), /different tests must be at most 256/);
  equal(packForest(forestOf(...sets.slice(1)), [0]).length > 0, true);
  const wide = Array.from({ length: 40 }, (_, i) => split(0, [2 ** 24 - 1 - i]));
  refuses(forestOf(...wide), /bytes must be at most 67108864/);
});

Deno.test("packForest() refuses what is no tree", () => {
  const tree = treeOf(split(0));
  refuses({ groups: 1, trees: [{ ...tree, left: Int32Array.of(0, -1, -1) }] }, /reached twice/);
  refuses({ groups: 1, trees: [{ ...tree, right: Int32Array.of(3, -1, -1) }] }, /child is missing/);
});
