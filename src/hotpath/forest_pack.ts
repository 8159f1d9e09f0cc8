import * as layout from "./forest_layout.ts";

/** One tree: arrays by node, node 0 is the root; `left[i] < 0` at a leaf. */
export interface ForestTree {
  readonly left: Int32Array;
  readonly right: Int32Array;
  /** Feature an inner node asks for. */
  readonly feature: Int32Array;
  /** A value less than this goes left; at a leaf its value. */
  readonly threshold: Float32Array;
  /** 1 where a missing value goes left. */
  readonly defaultLeft: Uint8Array;
  /** Inner nodes that ask for a category: codes that go right. */
  readonly categories?: ReadonlyMap<number, Int32Array>;
  /** Output the tree adds to. */
  readonly group: number;
  /** What its leaves are multiplied with. */
  readonly weight: number;
}

/** Trees in the order they are summed. */
export interface ForestTrees {
  readonly trees: readonly ForestTree[];
  /** Outputs of a row. */
  readonly groups: number;
}

/** Bytes of a packed forest at most, whatever memory there is. */
export const packedBytesMax = 1 << 26;

const lineBytes = 8;
/** Up to this depth, 3 KiB, every tree is perfect. */
const smallDepth = 8;

/**
 * A forest in the form that the kernel reads (`forest_layout.ts`), the same at any address. `columnOf` gives the column of
 * `Forests.columns` by feature; `intercepts` are added to the margin of every row, one for each output, 0 unless given.
 *
 * A tree of depth d takes 12 × 2^d bytes; from depth 9 on 12 for each of its nodes, if that is less. Throws RangeError for
 * more than 4 outputs, 256 different tests (a feature, or a set of its categories, by where missing values go), 255 levels
 * or 64 MiB, for a feature without a column, and for what is no tree.
 */
export function packForest(
  { trees, groups }: ForestTrees,
  columnOf: readonly number[],
  intercepts: ArrayLike<number> = [],
): Uint8Array {
  atMost("outputs", groups, layout.groupsMax);
  const tests = new Tests(columnOf);
  const shapes = trees.map((tree) => shapeOf(tree, tests));
  const treesAt = alignLine(tests.end);
  const bytes = shapes.reduce((sum, shape) => sum + bytesOf(shape), treesAt);
  atMost("bytes", bytes, packedBytesMax);
  const words = new Int32Array(bytes / 4);
  words[layout.bytesAt / 4] = bytes;
  words[layout.groupCountAt / 4] = groups;
  words[layout.testCountAt / 4] = tests.count;
  words[layout.treesAt / 4] = treesAt;
  new Float32Array(words.buffer, layout.interceptsAt, groups).set(Array.from(intercepts).slice(0, groups));
  tests.write(words);
  let at = treesAt;
  for (const shape of shapes) {
    atMost("output of a tree", shape.tree.group, groups - 1);
    writeTree(shape, words, at);
    at += bytesOf(shape);
  }
  return new Uint8Array(words.buffer);
}

function atMost(what: string, value: number, most: number): void {
  if (value <= most) return;
  throw new RangeError(`Cannot pack a forest as its ${what} must be at most ${most}: current value is ${value}`);
}

function alignLine(bytes: number): number {
  return Math.ceil(bytes / lineBytes) * lineBytes;
}

/** A tree, its nodes as they are reached breadth first, the test of each inner one by node, and its levels. */
interface Shape {
  readonly tree: ForestTree;
  readonly order: readonly number[];
  readonly testOf: Int32Array;
  readonly depth: number;
}

function shapeOf(tree: ForestTree, tests: Tests): Shape {
  const order = [0];
  let depth = 0;
  for (let from = 0, end = 1; from < end; from = end, end = order.length, depth++) {
    for (let i = from; i < end; i++) {
      const left = tree.left[order[i]], right = tree.right[order[i]];
      if (left < 0) continue;
      if (!(Math.max(left, right) < tree.left.length)) {
        throw new RangeError("Cannot pack a forest as a child is missing");
      }
      order.push(left, right);
    }
    if (order.length > tree.left.length) throw new RangeError("Cannot pack a forest as a node is reached twice");
  }
  depth--;
  atMost("levels", depth, layout.depthMax);
  const testOf = new Int32Array(tree.left.length);
  for (const node of order) if (tree.left[node] >= 0) testOf[node] = tests.testOf(tree, node);
  return { tree, order, testOf, depth };
}

/** A perfect tree is walked several times as fast, and doubles with each level whether they are taken or not. */
function isPerfect(shape: Shape): boolean {
  if (shape.depth <= smallDepth) return true;
  return shape.depth <= layout.perfectDepthMax && perfectBytes(shape) <= chainedBytes(shape);
}

/** Levels of a perfect tree. */
function levelsOf({ depth }: Shape): number {
  return Math.max(layout.perfectDepthMin, depth);
}

function perfectBytes(shape: Shape): number {
  return (layout.nodeBytes + 4) << levelsOf(shape);
}

function chainedBytes({ order }: Shape): number {
  return alignLine(layout.treeHeaderBytes + order.length * layout.chainedNodeBytes);
}

function bytesOf(shape: Shape): number {
  return isPerfect(shape) ? perfectBytes(shape) : chainedBytes(shape);
}

function writeTree(shape: Shape, words: Int32Array, at: number): void {
  const depth = isPerfect(shape) ? levelsOf(shape) : 0;
  words[at / 4] = depth | shape.tree.group << 8;
  words[at / 4 + 1] = bytesOf(shape);
  if (depth > 0) writePerfect(shape, depth, words, at);
  else writeChained(shape, words, at + layout.treeHeaderBytes);
}

/** A leaf above the last level is repeated wherever one could end below it. */
function writePerfect({ tree, testOf }: Shape, depth: number, words: Int32Array, at: number): void {
  const leaves = new Float32Array(words.buffer, at + (layout.nodeBytes << depth), 1 << depth);
  const visit = (node: number, place: number, level: number): void => {
    if (tree.left[node] < 0) {
      const below = depth - level;
      leaves.fill(leafOf(tree, node), (place << below) - leaves.length, (place + 1 << below) - leaves.length);
      return;
    }
    writeNode(tree, node, testOf[node], words, at + place * layout.nodeBytes);
    visit(tree.left[node], 2 * place + 1, level + 1);
    visit(tree.right[node], 2 * place, level + 1);
  };
  visit(0, 1, 0);
}

/** Breadth first, so that the children of a node are neighbours. */
function writeChained({ tree, order, testOf }: Shape, words: Int32Array, at: number): void {
  const values = new Float32Array(words.buffer);
  let next = 1;
  for (const node of order) {
    if (tree.left[node] < 0) values[at / 4] = leafOf(tree, node);
    else {
      writeNode(tree, node, testOf[node], words, at);
      words[at / 4 + 2] = next;
      next += 2;
    }
    at += layout.chainedNodeBytes;
  }
}

/** Key and offset of an inner node, at byte `at`. */
function writeNode(tree: ForestTree, node: number, test: number, words: Int32Array, at: number): void {
  words[at / 4] = tree.categories?.has(node) ? 1 : orderKey(tree.threshold[node]);
  words[at / 4 + 1] = test * layout.blockColumnBytes;
}

function leafOf({ threshold, weight }: ForestTree, node: number): number {
  return Math.fround(threshold[node] * Math.fround(weight));
}

interface Test {
  readonly column: number;
  readonly kind: number;
  readonly set: readonly number[];
}

/** The different tests of a forest's nodes, each a column that the kernel makes of a feature's. */
class Tests {
  readonly #columnOf: readonly number[];
  readonly #byKey = new Map<string, number>();
  readonly #tests: Test[] = [];
  #setWords = 0;

  constructor(columnOf: readonly number[]) {
    this.#columnOf = columnOf;
  }

  get count(): number {
    return this.#tests.length;
  }

  /** Where the sets of categories end, from the start of the forest. */
  get end(): number {
    return layout.headerBytes + this.count * layout.testBytes + this.#setWords * 4;
  }

  /** The number of what an inner node asks; a new one where no node before asked it. */
  testOf(tree: ForestTree, node: number): number {
    const feature = tree.feature[node], codes = tree.categories?.get(node), missingLeft = tree.defaultLeft[node] === 1;
    const key = `${feature} ${missingLeft} ${codes?.join() ?? "number"}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const column = this.#columnOf[feature] ?? -1;
    if (column < 0 || column >= layout.featuresMax) {
      throw new RangeError(
        `Cannot pack a forest as the column of feature ${feature} must be from 0 to ${
          layout.featuresMax - 1
        }: current value is ${column}`,
      );
    }
    const test = codes
      ? { column, kind: missingLeft ? layout.kindSetMissingLeft : layout.kindSet, set: setOf(codes) }
      : { column, kind: missingLeft ? layout.kindNumberMissingLeft : layout.kindNumber, set: [] };
    this.#setWords += test.set.length;
    atMost("different tests", this.#tests.push(test), layout.testsMax);
    atMost("bytes", this.end, packedBytesMax);
    this.#byKey.set(key, this.count - 1);
    return this.count - 1;
  }

  write(words: Int32Array): void {
    let at = layout.headerBytes / 4, setAt = at + this.count * layout.testBytes / 4;
    for (const { column, kind, set } of this.#tests) {
      words[at] = column;
      words[at + layout.testKindAt / 4] = kind;
      words[at + layout.testSetAt / 4] = setAt * 4;
      words[at + layout.testWordsAt / 4] = set.length;
      words.set(set, setAt);
      setAt += set.length;
      at += layout.testBytes / 4;
    }
  }
}

/** The codes as bits. */
function setOf(codes: Int32Array): number[] {
  const set: number[] = [];
  for (const code of codes) {
    if (code < 0 || code >= layout.categoryEnd) continue;
    while (set.length <= code >> 5) set.push(0);
    set[code >> 5] |= 1 << (code & 31);
  }
  return set;
}

const float = new Float32Array(1);
const bits = new Int32Array(float.buffer);

/** An integer that orders as float32 numbers do, -0 as 0; nothing but a missing value is less than NaN's. */
function orderKey(value: number): number {
  if (Number.isNaN(value)) return -0x7fff_ffff;
  float[0] = value + 0;
  return bits[0] ^ bits[0] >> 31 & 0x7fff_ffff;
}
