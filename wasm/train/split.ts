// The best split of a node by its histogram.
//
//   T(G) = sign(G)·max(0, |G| - l1)        weight = -T(G) / (H + l2)        score = T(G)² / (H + l2)
//   gain = score(left) + score(right) - score(node)
//
// With monotone columns weights are clipped to the node's bounds, and the score of a weight w that is not the best one is
// -(2·G·w + (H + l2)·w²). The rules are those of XGBoost (T. Chen, C. Guestrin, 2016).
import { sumsAt } from "./histogram";
import { binBytes, Column, columnAt, gainMin, Job, kindOneHot, kindPartition, Node, none, slotAt } from "./layout";

@inline
function threshold(g: f64, l1: f64): f64 {
  return Math.max(Math.abs(g) - l1, 0);
}

/** Weight of sums without bounds; 0 where less than a child may weigh. */
export function weightOf(j: Job, g: f64, h: f64): f64 {
  if (h < j.minChild) return 0;
  return -copysign<f64>(threshold(g, j.l1), g) / (h + j.l2);
}

@inline
export function clipped(node: Node, weight: f64): f64 {
  return Math.min(Math.max(weight, node.lower), node.upper);
}

/** Score of sums under the weight they are given. */
export function scoreOf(j: Job, g: f64, h: f64, weight: f64): f64 {
  if (j.constrained) return -(2 * g * weight + (h + j.l2) * weight * weight);
  const t = threshold(g, j.l1);
  return h > 0 ? t * t / (h + j.l2) : 0;
}

/** Both sides' scores, the bounds heeded; no number where the column must not turn that way. */
function boundedScore(j: Job, node: Node, column: Column, left: v128, right: v128): f64 {
  const g = f64x2.extract_lane(left, 0), h = f64x2.extract_lane(left, 1);
  const rightG = f64x2.extract_lane(right, 0), rightH = f64x2.extract_lane(right, 1);
  const weight = clipped(node, weightOf(j, g, h)), rightWeight = clipped(node, weightOf(j, rightG, rightH));
  if (<f64>column.monotone * (rightWeight - weight) < 0) return NaN;
  return scoreOf(j, g, h, weight) + scoreOf(j, rightG, rightH, rightWeight);
}

@inline
function freeScore(left: v128, right: v128, l1: v128, l2: v128): f64 {
  const g = v128.shuffle<f64>(left, right, 0, 2), h = v128.shuffle<f64>(left, right, 1, 3);
  const t = f64x2.max(f64x2.sub(f64x2.abs(g), l1), f64x2.splat(0));
  const scores = f64x2.div(f64x2.mul(t, t), f64x2.add(h, l2));
  return f64x2.extract_lane(scores, 0) + f64x2.extract_lane(scores, 1);
}

@inline
function keep(node: Node, score: f64, column: u32, bin: u32, defaultLeft: u32, left: v128): void {
  node.gain = score - node.score;
  node.column = column;
  node.bin = bin;
  node.defaultLeft = defaultLeft;
  node.leftG = f64x2.extract_lane(left, 0);
  node.leftH = f64x2.extract_lane(left, 1);
}

/** Splits between two bins, from the lowest on; `left` holds what goes left in any case. */
function scan(j: Job, node: Node, c: u32, slot: usize, left: v128, defaultLeft: u32): void {
  const column = columnAt(j, c), minChild = j.minChild;
  const l1 = f64x2.splat(j.l1), l2 = f64x2.splat(j.l2);
  const all = v128.load(changetype<usize>(node), offsetof<Node>("g"));
  const constrained = j.constrained;
  const first = sumsAt(slot, column, 0), past = first + <usize>column.bins * binBytes;
  let best = node.score + node.gain, bestAt: usize = 0, bestLeft = left;
  for (let at = first; at < past; at += binBytes) {
    const sums = v128.load(at);
    if (f64x2.extract_lane(sums, 1) == 0) continue;
    left = f64x2.add(left, sums);
    if (f64x2.extract_lane(left, 1) < minChild) continue;
    const right = f64x2.sub(all, left);
    if (f64x2.extract_lane(right, 1) < minChild) break;
    const score = constrained ? boundedScore(j, node, column, left, right) : freeScore(left, right, l1, l2);
    if (score > best) {
      best = score;
      bestAt = at;
      bestLeft = left;
    }
  }
  if (bestAt) keep(node, best, c, <u32>((bestAt - first) / binBytes), defaultLeft, bestLeft);
}

/** One side's sums, the other being the rest: true when it is the best so far. */
function tryRight(j: Job, node: Node, c: u32, right: v128, defaultLeft: u32): bool {
  const left = f64x2.sub(v128.load(changetype<usize>(node), offsetof<Node>("g")), right);
  if (f64x2.extract_lane(left, 1) < j.minChild || f64x2.extract_lane(right, 1) < j.minChild) return false;
  const score = j.constrained
    ? boundedScore(j, node, columnAt(j, c), left, right)
    : freeScore(left, right, f64x2.splat(j.l1), f64x2.splat(j.l2));
  if (!(score > node.score + node.gain)) return false;
  keep(node, score, c, 0, defaultLeft, left);
  return true;
}

@inline
function setAt(node: Node): usize {
  return changetype<usize>(node) + offsetof<Node>("set0");
}

@inline
function clearSet(node: Node): void {
  memory.fill(setAt(node), 0, 32);
}

@inline
function putInSet(node: Node, bin: u32): void {
  const at = setAt(node) + (bin >> 3);
  store<u8>(at, load<u8>(at) | <u8>(<u32>1 << (bin & 7)));
}

/** One category against the rest; the one goes right. */
function scanOneHot(j: Job, node: Node, c: u32, slot: usize, missing: v128): void {
  const column = columnAt(j, c);
  for (let bin: u32 = 0; bin < column.bins; bin++) {
    const right = v128.load(sumsAt(slot, column, bin));
    let better = tryRight(j, node, c, right, 1);
    if (f64x2.extract_lane(missing, 1) != 0) better = tryRight(j, node, c, f64x2.add(right, missing), 0) || better;
    if (!better) continue;
    clearSet(node);
    putInSet(node, bin);
  }
}

/** Most categories that one side's set is tried with. */
const partitionMax: u32 = 64;

/**
 * Categories in the order of their weights, the first of them right: with missing values left, growing from the first;
 * with missing values right, shrinking from the last. `sorted` has room for 256 bytes, then as many f64.
 */
function scanPartition(j: Job, node: Node, c: u32, slot: usize, missing: v128, sorted: usize): void {
  const column = columnAt(j, c), bins = column.bins, weights = sorted + 256;
  for (let bin: u32 = 0; bin < bins; bin++) {
    const at = sumsAt(slot, column, bin);
    const weight = weightOf(j, load<f64>(at), load<f64>(at, 8));
    let place = bin;
    for (; place > 0 && load<f64>(weights + (<usize>place << 3) - 8) > weight; place--) {
      store<f64>(weights + (<usize>place << 3), load<f64>(weights + (<usize>place << 3) - 8));
      store<u8>(sorted + place, load<u8>(sorted + place - 1));
    }
    store<f64>(weights + (<usize>place << 3), weight);
    store<u8>(sorted + place, <u8>bin);
  }
  const tries = min(bins, partitionMax) - 1;
  let taken: u32 = 0, right = f64x2.splat(0);
  for (let i: u32 = 0; i < tries; i++) {
    right = f64x2.add(right, v128.load(sumsAt(slot, column, load<u8>(sorted + i))));
    if (tryRight(j, node, c, right, 1)) taken = i + 1;
  }
  right = v128.load(changetype<usize>(node), offsetof<Node>("g"));
  for (let i: u32 = 0; i < tries; i++) {
    right = f64x2.sub(right, v128.load(sumsAt(slot, column, load<u8>(sorted + bins - 1 - i))));
    if (tryRight(j, node, c, right, 0)) taken = bins - 1 - i;
  }
  if (!taken) return;
  clearSet(node);
  for (let i: u32 = 0; i < taken; i++) putInSet(node, load<u8>(sorted + i));
}

/** Finds the node's best split over the tree's columns; true where one is worth it. */
export function evaluate(j: Job, node: Node, scratch: usize): bool {
  const slot = slotAt(j, node.slot);
  node.gain = gainMin;
  node.column = none;
  for (let c: u32 = 0; c < j.columns; c++) {
    const column = columnAt(j, c);
    if (column.lane == none) continue;
    const missing = column.missing ? v128.load(sumsAt(slot, column, column.bins)) : f64x2.splat(0);
    if (column.kind == kindOneHot) scanOneHot(j, node, c, slot, missing);
    else if (column.kind == kindPartition) scanPartition(j, node, c, slot, missing, scratch);
    else {
      scan(j, node, c, slot, f64x2.splat(0), 0);
      if (f64x2.extract_lane(missing, 1) != 0) scan(j, node, c, slot, missing, 1);
    }
  }
  return node.column != none && node.gain >= j.gamma;
}

/** Completes the set of bins that go right, for a column of any kind. */
export function finishSet(j: Job, node: Node): void {
  const column = columnAt(j, node.column);
  if (column.kind == 0) {
    clearSet(node);
    for (let bin = node.bin + 1; bin < column.bins; bin++) putInSet(node, bin);
  }
  if (column.missing && !node.defaultLeft) putInSet(node, column.bins);
}

/** 1 where a row of that bin goes right. */
@inline
export function goesRight(node: Node, bin: u32): u32 {
  return (load<u8>(setAt(node) + (bin >> 3)) >> <u8>(bin & 7)) & 1;
}
