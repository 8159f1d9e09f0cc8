// Values of leaves: by weight, or for quantiles by the residuals of the rows that end in a leaf.
//
// A quantile is found by bisection over the bits of a float: a residual's bits, made to sort as a signed integer, are
// compared four at a time with the middle of what is left. That takes 32 passes at most, moves nothing and needs no order.
import { columnAt, Job, Node, nodeAt } from "./layout";
import { clipped } from "./split";

/** A float's bits so that they sort as a signed integer, and back. */
@inline
function sortable(bits: i32): i32 {
  return bits ^ ((bits >> 31) & 0x7fffffff);
}

@inline
function valueOf(key: i32): f64 {
  return <f64>reinterpret<f32>(sortable(key));
}

/** How many of `n` keys are at most `key`. */
function countUpTo(keys: usize, n: u32, key: i32): u32 {
  const bound = i32x4.splat(key);
  let counts = i32x4.splat(0);
  let at = keys;
  const vectors = keys + (<usize>(n & ~3) << 2), past = keys + (<usize>n << 2);
  // A true comparison is -1.
  for (; at < vectors; at += 16) counts = i32x4.sub(counts, i32x4.le_s(v128.load(at), bound));
  let count = i32x4.extract_lane(counts, 0) + i32x4.extract_lane(counts, 1) + i32x4.extract_lane(counts, 2) +
    i32x4.extract_lane(counts, 3);
  for (; at < past; at += 4) count += <i32>(load<i32>(at) <= key);
  return <u32>count;
}

/** The weights of keys that are at most `key`, summed. */
function weightUpTo(keys: usize, weights: usize, n: u32, key: i32): f64 {
  let sum: f64 = 0;
  for (let i: usize = 0, past = <usize>n << 2; i < past; i += 4) {
    sum += load<i32>(keys + i) <= key ? <f64>load<f32>(weights + i) : 0;
  }
  return sum;
}

/** Smallest and largest key: where the bisection begins. */
@inline
function bounds(keys: usize, n: u32): u64 {
  let least = i32.MAX_VALUE, most = i32.MIN_VALUE;
  for (let at = keys, past = keys + (<usize>n << 2); at < past; at += 4) {
    least = min(least, load<i32>(at));
    most = max(most, load<i32>(at));
  }
  return (<u64><u32>most << 32) | <u64><u32>least;
}

@inline
function middle(low: i32, high: i32): i32 {
  return <i32>((<i64>low + <i64>high) >> 1);
}

/** The key at `rank`, from 0, in ascending order. */
function keyAt(keys: usize, n: u32, rank: u32): i32 {
  const range = bounds(keys, n);
  let low = <i32>range, high = <i32>(range >> 32);
  while (low < high) {
    const mid = middle(low, high);
    if (countUpTo(keys, n, mid) > rank) high = mid;
    else low = mid + 1;
  }
  return low;
}

/** The smallest key that is more than `key`; there is one. */
function keyAfter(keys: usize, n: u32, key: i32): i32 {
  let next = i32.MAX_VALUE;
  for (let at = keys, past = keys + (<usize>n << 2); at < past; at += 4) {
    const other = load<i32>(at);
    if (other > key) next = min(next, other);
  }
  return next;
}

/** Between the ranks around `share`·(n + 1), linearly; the ends beyond them. */
function quantileOf(keys: usize, n: u32, share: f64): f64 {
  const x = share * <f64>(n + 1);
  if (x <= 1) return valueOf(keyAt(keys, n, 0));
  if (x >= <f64>n) return valueOf(keyAt(keys, n, n - 1));
  const rank = <u32>x - 1;
  const key = keyAt(keys, n, rank);
  const next = countUpTo(keys, n, key) > rank + 1 ? key : keyAfter(keys, n, key);
  return valueOf(key) + (x - 1 - <f64>rank) * (valueOf(next) - valueOf(key));
}

/** The smallest residual whose weights and those before it come to the share of all. */
function weightedQuantileOf(keys: usize, weights: usize, n: u32, share: f64): f64 {
  const range = bounds(keys, n);
  let low = <i32>range, high = <i32>(range >> 32);
  const wanted = share * weightUpTo(keys, weights, n, high);
  while (low < high) {
    const mid = middle(low, high);
    if (weightUpTo(keys, weights, n, mid) >= wanted) high = mid;
    else low = mid + 1;
  }
  return valueOf(low);
}

/** Writes the residuals of the tree's rows as keys in their order, their weights after them. */
function residuals(j: Job, margins: usize): void {
  const labels = <usize>j.labelsAt, weights = <usize>j.weightsAt, count = <usize>j.sampled << 2;
  const order = <usize>j.orderAt, keys = <usize>j.spareAt;
  for (let at: usize = 0; at < count; at += 4) {
    const row = <usize>load<u32>(order + at) << 2;
    store<i32>(keys + at, sortable(reinterpret<i32>(load<f32>(labels + row) - load<f32>(margins + row))));
    if (weights) store<f32>(keys + count + at, load<f32>(weights + row));
  }
}

function nodeQuantile(j: Job, node: Node, quantile: f64): f64 {
  if (node.end == node.begin) return 0;
  const keys = <usize>j.spareAt + (<usize>node.begin << 2), n = node.end - node.begin;
  if (!j.weightsAt) return quantileOf(keys, n, quantile);
  return weightedQuantileOf(keys, keys + (<usize>j.sampled << 2), n, quantile);
}

/**
 * With monotone columns every node has a value, and a split on such a column bounds what lies under its two children by
 * the middle of theirs, as weights are bounded while a tree grows. Parents come before their children.
 */
function fitBounded(j: Job, quantile: f64): void {
  nodeAt(j, 0).lower = -Infinity;
  nodeAt(j, 0).upper = Infinity;
  for (let n: u32 = 0; n < j.nodes; n++) {
    const node = nodeAt(j, n);
    if (!node.left) {
      node.value = <f32>(j.rate * clipped(node, nodeQuantile(j, node, quantile)));
      continue;
    }
    const left = nodeAt(j, node.left), right = nodeAt(j, node.left + 1), monotone = columnAt(j, node.column).monotone;
    left.lower = right.lower = node.lower;
    left.upper = right.upper = node.upper;
    if (!monotone) continue;
    const mid = (clipped(node, nodeQuantile(j, left, quantile)) + clipped(node, nodeQuantile(j, right, quantile))) / 2;
    if (monotone > 0) left.upper = right.lower = mid;
    else left.lower = right.upper = mid;
  }
}

/** Gives every leaf its value. */
export function fitLeaves(j: Job, margins: usize, quantile: f64): void {
  if (j.quantiles) residuals(j, margins);
  if (j.quantiles && j.constrained) return fitBounded(j, quantile);
  for (let n: u32 = 0; n < j.nodes; n++) {
    const node = nodeAt(j, n);
    if (node.left) continue;
    node.value = <f32>(j.rate * (j.quantiles ? nodeQuantile(j, node, quantile) : node.weight));
  }
}
