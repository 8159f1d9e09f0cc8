// From columns of features to the test columns of one block of rows.
import {
  blockColumnBytes, categoryEnd, featuresMax, headerBytes, kindNumberMissingLeft, kindSet, kindSetMissingLeft, lanes,
  testBytes, testCountAt, testKindAt, testsMax, testSetAt, testWordsAt,
} from "../../src/hotpath/forest_layout";

/** Fills the block for `count` rows from row 0 of `columns` on, rounded up to whole lanes; `end` is that of the sets. */
export function fillBlock(
  forest: usize,
  end: u32,
  columns: usize,
  column: usize,
  block: usize,
  count: u32,
): void {
  const tests = min<u32>(min<u32>(load<u32>(forest, testCountAt), testsMax), (max<u32>(end, headerBytes) - headerBytes) / testBytes);
  const rows = (count + lanes - 1) & ~(lanes - 1);
  for (let i: u32 = 0; i < tests; i++) {
    const test = forest + headerBytes + <usize>i * testBytes;
    const from = columns + <usize>(load<u32>(test) & (featuresMax - 1)) * column;
    const kind = load<u32>(test, testKindAt);
    const to = block + <usize>i * blockColumnBytes;
    if (kind < <u32>kindSet) {
      numbers(from, to, rows, kind == kindNumberMissingLeft ? i32.MIN_VALUE : i32.MAX_VALUE);
      continue;
    }
    const set = min<u32>(load<u32>(test, testSetAt), end);
    const words = min<u32>(load<u32>(test, testWordsAt), (end - set) >> 2);
    codes(from, to, rows, forest + set, words, <i32>(kind != kindSetMissingLeft));
  }
}

/** Integers in the order of the numbers, -0 as 0; `missing` for NaN. */
function numbers(from: usize, to: usize, rows: u32, missing: i32): void {
  for (let at: usize = 0; at < <usize>rows << 2; at += 16) {
    const value = v128.load(from + at);
    const bits = f32x4.add(value, f32x4.splat(0));
    const key = v128.xor(bits, v128.and(i32x4.shr_s(bits, 31), i32x4.splat(i32.MAX_VALUE)));
    v128.store(to + at, v128.bitselect(key, i32x4.splat(missing), f32x4.eq(value, value)));
  }
}

/** 1 for a code of the set, 0 for any other number, `missing` for NaN. */
function codes(from: usize, to: usize, rows: u32, set: usize, words: u32, missing: i32): void {
  for (let at: usize = 0; at < <usize>rows << 2; at += 4) {
    const value = load<f32>(from + at);
    let key = missing;
    if (value == value) {
      key = 0;
      if (value >= 0 && value < <f32>categoryEnd) {
        const code = <u32>value;
        if (code >> 5 < words) key = (load<u32>(set + ((code >> 5) << 2)) >> (code & 31)) & 1;
      }
    }
    store<i32>(to + at, key);
  }
}
