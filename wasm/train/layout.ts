// Memory of one training. The door (src/hotpath/train_memory.ts) places the regions and writes the job; all addresses are in it.
//
//   job       what to do and where everything lies
//   columns   a record a column
//   bins      the table: 16 columns a group, a group is 16 bytes a row, one byte is the bin of a value
//   pairs     gradient and hessian a row, f32
//   order     row numbers, u32: those the tree learns from first, node by node, then the rest
//   slots     a histogram each: `laneBytes` a column of the tree, f64 gradient and hessian a bin
//   nodes     a record a node; children are neighbours
//
// A tree is grown depth first, so that a slot is needed for each level and not for each node of one, and what is worked on
// stays in the cache. Where a split is made does not depend on the order.

export * from "../../src/hotpath/train_layout";
import { columnBytes, nodeBytes } from "../../src/hotpath/train_layout";

export const none: u32 = 0xffffffff;
/** Smallest gain of a split. */
export const gainMin: f64 = 1e-6;

/** Kinds of columns. */
export const kindOneHot: u32 = 1;
export const kindPartition: u32 = 2;

@unmanaged
export class Job {
  l1: f64;
  l2: f64;
  minChild: f64;
  gamma: f64;
  rate: f64;
  /** State of chance. */
  random: u64;
  /** A row is taken where 32 bits of chance are less; 0: all are. */
  sampleBelow: u32;
  rows: u32;
  /** Rows before this one are learnt from. */
  trainingRows: u32;
  columns: u32;
  /** Columns a tree chooses. */
  columnsByTree: u32;
  depth: u32;
  /** 1: quantiles; their leaves are fitted again. */
  quantiles: u32;
  /** Some column is monotone. */
  constrained: u32;
  columnsAt: u32;
  binsAt: u32;
  labelsAt: u32;
  /** 0: every row weighs 1. */
  weightsAt: u32;
  /** f32, all rows of output 0, then of the next. */
  marginsAt: u32;
  pairsAt: u32;
  orderAt: u32;
  /** A word a row, with weights two: scratch. */
  spareAt: u32;
  slotsAt: u32;
  slotBytes: u32;
  nodesAt: u32;
  /** Numbers of nodes to divide; what is chosen and sorted for a moment. */
  stackAt: u32;
  chosenAt: u32;
  // Of the tree being grown.
  sampled: u32;
  nodes: u32;
  freeSlots: u32;
}

@unmanaged
export class Column {
  /** Bins of values. The next one is that of missing values, where there are any. */
  bins: u32;
  missing: u32;
  kind: u32;
  /** -1, 0, 1: falls, free, rises. */
  monotone: i32;
  /** Of this tree: its place in a slot, or `none`. */
  lane: u32;
}

@unmanaged
export class Node {
  g: f64;
  h: f64;
  /** Its own score, and that of the best split's two sides less it. */
  score: f64;
  gain: f64;
  leftG: f64;
  leftH: f64;
  /** Bins that go right: a bit each. */
  set0: u64;
  set1: u64;
  set2: u64;
  set3: u64;
  /** Number of the left child; 0 at a leaf. */
  left: u32;
  /** Column of the best split, `none` without one; its last bin on the left. */
  column: u32;
  bin: u32;
  defaultLeft: u32;
  begin: u32;
  end: u32;
  depth: u32;
  slot: u32;
  weight: f64;
  lower: f64;
  upper: f64;
  /** What a row that ends here is given. */
  value: f32;
}

@inline
export function columnAt(j: Job, column: u32): Column {
  return changetype<Column>(<usize>j.columnsAt + <usize>column * columnBytes);
}

@inline
export function nodeAt(j: Job, node: u32): Node {
  return changetype<Node>(<usize>j.nodesAt + <usize>node * nodeBytes);
}

@inline
export function slotAt(j: Job, slot: u32): usize {
  return <usize>j.slotsAt + <usize>slot * <usize>j.slotBytes;
}

/** Bins of row 0 in the group of `column`, at its byte. */
@inline
export function binAt(j: Job, column: u32): usize {
  return <usize>j.binsAt + ((<usize>(column >> 4) * <usize>j.rows) << 4) + (column & 15);
}

/** The next 32 bits of chance (splitmix64). */
@inline
export function chance(j: Job): u32 {
  const s = j.random + 0x9e3779b97f4a7c15;
  j.random = s;
  let z = (s ^ (s >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return <u32>((z ^ (z >> 31)) >> 32);
}
