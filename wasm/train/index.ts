// Gradient boosting by histograms: one call grows one tree. See layout.ts for the memory.
import { build, subtract } from "./histogram";
import { columnAt, Job, Node, nodeAt, none } from "./layout";
import { fitLeaves } from "./leaves";
import { addTree, gradients, partition, sampleColumns, sampleRows } from "./rows";
import { clipped, evaluate, finishSet, scoreOf, weightOf } from "./split";

@inline
function takeSlot(j: Job): u32 {
  const slot = ctz(j.freeSlots);
  j.freeSlots &= j.freeSlots - 1;
  return slot;
}

@inline
function freeSlot(j: Job, slot: u32): void {
  j.freeSlots |= 1 << slot;
}

/** A node with its sums known: its weight within its bounds, and its score. */
function open(j: Job, node: Node, begin: u32, end: u32, depth: u32): void {
  node.begin = begin;
  node.end = end;
  node.depth = depth;
  node.left = 0;
  node.gain = 0;
  node.column = none;
  node.weight = clipped(node, weightOf(j, node.g, node.h));
  node.score = scoreOf(j, node.g, node.h, node.weight);
}

function openRoot(j: Job): Node {
  const root = nodeAt(j, 0), order = <usize>j.orderAt;
  let sums = f64x2.splat(0);
  for (let at = order, past = order + (<usize>j.sampled << 2); at < past; at += 4) {
    const pair = v128.load64_zero(<usize>j.pairsAt + (<usize>load<u32>(at) << 3));
    sums = f64x2.add(sums, f64x2.promote_low_f32x4(pair));
  }
  v128.store(changetype<usize>(root), sums, offsetof<Node>("g"));
  root.lower = -Infinity;
  root.upper = Infinity;
  j.nodes = 1;
  open(j, root, 0, j.sampled, 0);
  return root;
}

/** Makes the two children of a node by its best split. */
function divide(j: Job, node: Node): void {
  finishSet(j, node);
  const middle = partition(j, node), monotone = columnAt(j, node.column).monotone;
  node.left = j.nodes;
  j.nodes += 2;
  const left = nodeAt(j, node.left), right = nodeAt(j, node.left + 1);
  left.g = node.leftG;
  left.h = node.leftH;
  right.g = node.g - node.leftG;
  right.h = node.h - node.leftH;
  left.lower = right.lower = node.lower;
  left.upper = right.upper = node.upper;
  open(j, left, node.begin, middle, node.depth + 1);
  open(j, right, middle, node.end, node.depth + 1);
  if (!monotone) return;
  const mid = (left.weight + right.weight) / 2;
  if (monotone > 0) left.upper = right.lower = mid;
  else left.lower = right.upper = mid;
}

@inline
function divisible(j: Job, node: Node): bool {
  return node.h >= 2 * j.minChild && node.end - node.begin > 1;
}

/** Evaluates a node that has its histogram; one that will be divided goes on the stack, another gives its slot back. */
@inline
function consider(j: Job, node: Node, number: u32, stack: usize): usize {
  if (divisible(j, node) && evaluate(j, node, <usize>j.chosenAt)) {
    store<u32>(stack, number);
    return stack + 4;
  }
  node.gain = 0;
  freeSlot(j, node.slot);
  return stack;
}

function grow(j: Job): void {
  const root = openRoot(j), bottom = <usize>j.stackAt;
  let stack = bottom;
  j.freeSlots = (1 << (j.depth + 1)) - 1;
  root.slot = takeSlot(j);
  build(j, 0, root.end, root.slot);
  stack = consider(j, root, 0, stack);
  while (stack > bottom) {
    stack -= 4;
    const node = nodeAt(j, load<u32>(stack));
    divide(j, node);
    const left = nodeAt(j, node.left), right = nodeAt(j, node.left + 1);
    if (node.depth + 1 == j.depth || !(divisible(j, left) || divisible(j, right))) {
      freeSlot(j, node.slot);
      continue;
    }
    const leftIsSmall = left.end - left.begin <= right.end - right.begin;
    const small = leftIsSmall ? left : right, large = leftIsSmall ? right : left;
    small.slot = takeSlot(j);
    large.slot = node.slot;
    build(j, small.begin, small.end, small.slot);
    subtract(j, large.slot, small.slot);
    stack = consider(j, right, node.left + 1, stack);
    stack = consider(j, left, node.left, stack);
  }
}

/**
 * Grows the next tree of `output` and adds it to the margins; returns how many nodes it has, which lie in the job's
 * memory until the next call. `quantile` is heeded where the job is for quantiles.
 */
export function trainTree(job: usize, output: u32, quantile: f64): u32 {
  const j = changetype<Job>(job);
  const margins = <usize>j.marginsAt + ((<usize>output * <usize>j.rows) << 2);
  sampleColumns(j);
  sampleRows(j);
  gradients(j, margins, <f32>quantile);
  grow(j);
  fitLeaves(j, margins, quantile);
  addTree(j, margins);
  return j.nodes;
}
