// Histograms of nodes: sums of gradients and hessians by column and bin.
import { binBytes, Column, columnAt, Job, laneBytes, none, slotAt } from "./layout";

/** Adds a row's sums to a bin of one lane: the bin that the byte of `word` at bit `shift` names. */
@inline
function add(slot: usize, lane: usize, word: u64, shift: u64, pair: v128): void {
  const at = slot + lane * laneBytes + ((<usize>(word >> shift) & 255) << 4);
  v128.store(at, f64x2.add(v128.load(at), pair));
}

/** Adds rows to the lanes of one group. `pick` moves the bytes of the tree's columns to the front, `lanes` of them. */
function addGroup(j: Job, from: usize, to: usize, bins: usize, pick: v128, lanes: u32, slot: usize): void {
  const pairs = <usize>j.pairsAt;
  for (; from < to; from += 4) {
    const row = <usize>load<u32>(from);
    const bytes = i8x16.swizzle(v128.load(bins + (row << 4)), pick);
    const pair = f64x2.promote_low_f32x4(v128.load64_zero(pairs + (row << 3)));
    const low = <u64>i64x2.extract_lane(bytes, 0);
    add(slot, 0, low, 0, pair);
    if (lanes > 1) add(slot, 1, low, 8, pair);
    if (lanes > 2) add(slot, 2, low, 16, pair);
    if (lanes > 3) add(slot, 3, low, 24, pair);
    if (lanes > 4) add(slot, 4, low, 32, pair);
    if (lanes > 5) add(slot, 5, low, 40, pair);
    if (lanes > 6) add(slot, 6, low, 48, pair);
    if (lanes > 7) add(slot, 7, low, 56, pair);
    if (lanes > 8) {
      const high = <u64>i64x2.extract_lane(bytes, 1);
      add(slot, 8, high, 0, pair);
      if (lanes > 9) add(slot, 9, high, 8, pair);
      if (lanes > 10) add(slot, 10, high, 16, pair);
      if (lanes > 11) add(slot, 11, high, 24, pair);
      if (lanes > 12) add(slot, 12, high, 32, pair);
      if (lanes > 13) add(slot, 13, high, 40, pair);
      if (lanes > 14) add(slot, 14, high, 48, pair);
      if (lanes > 15) add(slot, 15, high, 56, pair);
    }
  }
}

/** Makes the histogram of the rows `begin` to `end` of the order. */
export function build(j: Job, begin: u32, end: u32, slot: u32): void {
  let at = slotAt(j, slot);
  for (let c: u32 = 0; c < j.columns; c++) {
    const column = columnAt(j, c);
    if (column.lane != none) memory.fill(at + <usize>column.lane * laneBytes, 0, <usize>(column.bins + 1) * binBytes);
  }
  const from = <usize>j.orderAt + (<usize>begin << 2), to = <usize>j.orderAt + (<usize>end << 2);
  for (let first: u32 = 0; first < j.columns; first += 16) {
    const past = min<u32>(first + 16, j.columns);
    let lanes: u32 = 0;
    const pickAt = <usize>j.chosenAt;
    v128.store(pickAt, i8x16.splat(-1));
    for (let c = first; c < past; c++) {
      if (columnAt(j, c).lane != none) store<u8>(pickAt + lanes++, <u8>(c - first));
    }
    if (lanes == 0) continue;
    addGroup(j, from, to, <usize>j.binsAt + ((<usize>(first >> 4) * <usize>j.rows) << 4), v128.load(pickAt), lanes, at);
    at += <usize>lanes * laneBytes;
  }
}

/** Takes the histogram of one child from that of its parent, which becomes that of the other. */
export function subtract(j: Job, parent: u32, child: u32): void {
  for (let c: u32 = 0; c < j.columns; c++) {
    const column = columnAt(j, c);
    if (column.lane == none) continue;
    const lane = <usize>column.lane * laneBytes;
    let from = slotAt(j, child) + lane, into = slotAt(j, parent) + lane;
    const past = into + <usize>(column.bins + 1) * binBytes;
    for (; into < past; into += binBytes, from += binBytes) {
      v128.store(into, f64x2.sub(v128.load(into), v128.load(from)));
    }
  }
}

/** Sums of a column's bin in a slot. */
@inline
export function sumsAt(slot: usize, column: Column, bin: u32): usize {
  return slot + <usize>column.lane * laneBytes + <usize>bin * binBytes;
}
