/** Forests of any shape, and rows that meet their thresholds and categories. */
import fc from "fast-check";
import type { ForestTree, ForestTrees } from "../../src/hotpath/mod.ts";

export const features = 5;

const special = [0, -0, 1, -1, 3, Infinity, -Infinity, 1e-45, -1e-45, 3.4e38, 2 ** 24, 2 ** 24 - 1, 16_777_217, 0.99];

/** A value of a feature: NaN, an extreme, a threshold of some tree, a code, any float. */
export const value: fc.Arbitrary<number> = fc.oneof(
  fc.constant(NaN),
  fc.constantFrom(...special),
  fc.integer({ min: -2, max: 70 }),
  fc.float({ noNaN: true }),
);

const threshold = fc.oneof(
  fc.constantFrom(...special),
  fc.integer({ min: -2, max: 70 }),
  fc.float({ noNaN: true }),
);
const leaf = fc.float({ min: -1000, max: 1000, noNaN: true });
const codes = fc.uniqueArray(fc.oneof(fc.integer({ min: 0, max: 70 }), fc.constant(2 ** 14)), { maxLength: 6 });

/** One split or leaf to be: a leaf when `grows` does not say otherwise. */
interface Growth {
  readonly grows: boolean;
  readonly feature: number;
  readonly threshold: number;
  readonly leaf: number;
  readonly missingLeft: boolean;
  readonly codes?: readonly number[];
}

const growth: fc.Arbitrary<Growth> = fc.record({
  grows: fc.boolean(),
  feature: fc.nat({ max: features - 1 }),
  threshold,
  leaf,
  missingLeft: fc.boolean(),
  codes: fc.option(codes, { nil: undefined, freq: 3 }),
});

interface TreeParts {
  readonly growths: readonly Growth[];
  /** Grows at one end only, so that few nodes make many levels. */
  readonly chain: boolean;
  readonly group: number;
  readonly weight: number;
}

/** Nodes are numbered as they are made; one deleted node lies before them, after the root. */
function treeOf({ growths, chain, group, weight }: TreeParts, groups: number): ForestTree {
  const nodes: (Growth & { left: number; right: number })[] = [];
  const open: number[] = [];
  const add = (item: Growth) => open.push(nodes.push({ ...item, left: -1, right: -1 }) - 1);
  add(growths[0]);
  nodes.push({ ...growths[0], left: -1, right: -1, leaf: NaN });
  for (let i = 1; i + 1 < growths.length && open.length > 0; i += 2) {
    const at = chain ? open.pop()! : open.shift()!;
    if (!chain && !nodes[at].grows && open.length > 0) continue;
    nodes[at].left = nodes.length;
    add(growths[i]);
    nodes[at].right = nodes.length;
    add(growths[i + 1]);
  }
  const inner = (node: { left: number }) => node.left >= 0;
  return {
    left: Int32Array.from(nodes, (node) => node.left),
    right: Int32Array.from(nodes, (node) => node.right),
    feature: Int32Array.from(nodes, (node) => node.feature),
    threshold: Float32Array.from(nodes, (node) => inner(node) ? node.threshold : node.leaf),
    defaultLeft: Uint8Array.from(nodes, (node) => node.missingLeft ? 1 : 0),
    categories: new Map(
      nodes.flatMap((node, i) => inner(node) && node.codes ? [[i, Int32Array.from(node.codes).sort()] as const] : []),
    ),
    group: group % groups,
    weight,
  };
}

const tree = fc.record<TreeParts>({
  growths: fc.array(growth, { minLength: 1, maxLength: 41, size: "max" }),
  chain: fc.boolean(),
  group: fc.nat({ max: 3 }),
  weight: fc.oneof({ weight: 3, arbitrary: fc.constant(1) }, {
    weight: 1,
    arbitrary: fc.float({ min: 0, max: 2, noNaN: true }),
  }),
});

/** Up to 12 trees with up to 20 levels, up to 4 outputs. */
export const forest: fc.Arbitrary<ForestTrees> = fc.tuple(
  fc.integer({ min: 1, max: 4 }),
  fc.array(tree, { maxLength: 12 }),
).map(([groups, parts]) => ({ groups, trees: parts.map((part) => treeOf(part, groups)) }));

export const rows: fc.Arbitrary<number[][]> = fc.array(fc.array(value, { minLength: features, maxLength: features }), {
  minLength: 1,
  maxLength: 20,
  size: "max",
});
