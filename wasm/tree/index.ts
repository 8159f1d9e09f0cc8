// Prefix tree: which slot holds how many leading blocks of a prompt. Bounded; see layout.ts for the memory.
import {
  cellShift, chunkBlocks, chunkShift, Cursor, freeCells, headerBytes, holderAt, magicNumber, nodeAt, slotAt, slotBytes,
  Tree,
} from "./layout";
import { holdPath, missingHolders, nextHolder, shrink, splitNode, touchPath } from "./holders";
import { addNode, walk } from "./run";
import { findHolder, findNode } from "./table";

/**
 * How long a reader puts up with a writer before it answers that nothing matches: looks at a write under way, a few
 * nanoseconds each where a write takes microseconds, and matches that a write spoilt.
 */
const looksMax: u32 = 1 << 15;
const spoiltMax: u32 = 64;

@inline
function cursorOf(t: Tree): Cursor {
  return changetype<Cursor>(changetype<usize>(t) + offsetof<Tree>("cursorNode"));
}

/** Orders plain loads and stores around it, which an atomic load or store alone does not. `at` is the caller's own. */
@inline
function fence(at: usize): void {
  atomic.add<u32>(at, 0);
}

@inline
function beginWrite(t: Tree): void {
  atomic.add<u32>(changetype<usize>(t), 1);
  fence(changetype<usize>(t) + offsetof<Tree>("cursorNode"));
}

@inline
function endWrite(t: Tree): void {
  atomic.add<u32>(changetype<usize>(t), 1);
}

/**
 * Lays an empty tree into `bytes` at `base` (64-byte aligned), for `slots` slots of capacity 0. Memory that never held
 * a tree must be zeros. Returns the cells it has; 0 when the region is too small.
 */
export function treeInit(base: usize, bytes: u32, slots: u32): u32 {
  const fixed = headerBytes + <usize>slots * slotBytes;
  if (slots > 1024 || <usize>bytes < fixed + 4096) return 0;
  const room = <u64>bytes - fixed - 128;
  // The table has at least three entries for four cells: the shortest path takes three cells and two entries.
  let entries: u64 = 64;
  while (entries * 4 < ((room - entries * 8) / 68) * 3) entries <<= 1;
  const cells = <u32>((room - entries * 8) / 68);
  const t = changetype<Tree>(base);
  const used = t.magic == magicNumber;
  if (t.seq & 1) endWrite(t); // a writer that died at work
  beginWrite(t);
  memory.fill(base + offsetof<Tree>("magic"), 0, fixed - offsetof<Tree>("magic"));
  t.slots = slots;
  t.cells = cells;
  t.mask = <u32>(entries - 1);
  t.entriesMax = <u32>(entries - (entries >> 3));
  t.slotsAt = <u32>(base + headerBytes);
  t.tableAt = <u32>(base + fixed);
  t.nextAt = t.tableAt + <u32>(entries * 8);
  t.cellsAt = (t.nextAt + cells * 4 + 63) & ~63;
  t.bump = 1;
  if (used) memory.fill(t.tableAt, 0, <usize>(entries * 8));
  t.magic = magicNumber;
  endWrite(t);
  return cells - 1;
}

/** Drops a slot's oldest blocks beyond `limit`. */
function trim(t: Tree, slot: u32, limit: u32): void {
  const owner = slotAt(t, slot);
  while (owner.blocks > limit) {
    const cell = owner.oldest;
    const count = holderAt(t, cell).count;
    const excess = owner.blocks - limit;
    shrink(t, cell, excess < count ? count - excess : 0);
  }
}

export function treeSetCapacity(base: usize, slot: u32, blocks: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  beginWrite(t);
  const owner = slotAt(t, slot);
  owner.capacity = blocks;
  if (owner.blocks > blocks) {
    t.trimmed += owner.blocks - blocks;
    trim(t, slot, blocks);
  }
  endWrite(t);
}

export function treeClearSlot(base: usize, slot: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  beginWrite(t);
  trim(t, slot, 0);
  endWrite(t);
}

/** Drops the oldest share of all; false when there is none. */
function evictOldest(t: Tree): bool {
  const cell = t.allOldest;
  if (!cell) return false;
  t.evicted += holderAt(t, cell).count;
  shrink(t, cell, 0);
  return true;
}

/** Whether the path, `n` blocks and `position` of them present, ends or leaves inside a run that must be divided. */
function mustSplit(t: Tree, slot: u32, n: u32, position: u32): bool {
  const cursor = cursorOf(t);
  if (!cursor.node || cursor.matched == nodeAt(t, cursor.node).length) return false;
  if (position < n) return true;
  const cell = findHolder(t, cursor.node, slot);
  return cell != 0 && holderAt(t, cell).count > cursor.matched;
}

/** Evicts until the path fits; returns how much of it does, with the cursor at its end. */
function makeRoom(t: Tree, slot: u32, hashes: usize, n: u32): u32 {
  const cursor = cursorOf(t);
  let touched = false;
  while (n) {
    const position = walk(t, hashes, n, cursor);
    // A hash that is known below another prefix: not a chained hash, or a collision. What precedes it is kept.
    if (position < n && findNode(t, load<u64>(hashes + (<usize>position << 3)))) {
      n = position;
      continue;
    }
    // At most: a node and a share for the new blocks, the missing shares above, and what a split takes.
    let entries: u32 = 2 + missingHolders(t, slot, cursor.node);
    if (mustSplit(t, slot, n, position)) entries += 2 + nodeAt(t, cursor.node).holderCount;
    const cells: u32 = entries + ((n - position + chunkBlocks - 1) >> chunkShift);
    if (cells <= freeCells(t) && t.entries + entries <= t.entriesMax) return n;
    // The path itself comes last, when nothing else is left to give up.
    if (!touched) touchPath(t, slot, cursor.node);
    touched = true;
    if (!evictOldest(t)) n >>= 1;
  }
  return 0;
}

/**
 * Records that `slot` holds the first `n` blocks of a path, makes them its newest, and drops its oldest beyond its
 * capacity. Blocks stay withdrawable until inserted with `confirmed`. Returns the blocks recorded: fewer than `n` only
 * when the slot's capacity or the whole memory is smaller than the path.
 */
export function treeInsert(base: usize, slot: u32, hashes: usize, n: u32, confirmed: bool): u32 {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return 0;
  const owner = slotAt(t, slot);
  n = min(n, owner.capacity);
  beginWrite(t);
  n = makeRoom(t, slot, hashes, n);
  if (n) {
    const cursor = cursorOf(t);
    let node = cursor.node;
    let count = cursor.matched;
    const position = node ? nodeAt(t, node).depth + count : 0;
    if (mustSplit(t, slot, n, position)) node = splitNode(t, node, count);
    if (position < n) {
      count = n - position;
      node = addNode(t, node, position, hashes + (<usize>position << 3), count);
    }
    holdPath(t, slot, node, count, confirmed);
    if (owner.blocks > owner.capacity) {
      t.trimmed += owner.blocks - owner.capacity;
      trim(t, slot, owner.capacity);
    }
  }
  endWrite(t);
  return n;
}

/**
 * Takes back the blocks `from` and after of a path, deepest first, up to the first that is confirmed or leads to
 * blocks that `slot` holds beyond or beside the path. Returns the blocks removed.
 */
export function treeWithdraw(base: usize, slot: u32, hashes: usize, n: u32, from: u32): u32 {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return 0;
  const before = slotAt(t, slot).blocks;
  beginWrite(t);
  const cursor = cursorOf(t);
  walk(t, hashes, n, cursor);
  let node = cursor.node;
  let count = cursor.matched;
  while (node) {
    const run = nodeAt(t, node);
    const parent = run.parent;
    const depth = run.depth;
    const cell = findHolder(t, node, slot);
    if (cell) {
      const holder = holderAt(t, cell);
      if (holder.kids || holder.count > count) break;
      const keep = max(holder.confirmed, from > depth ? from - depth : 0);
      if (keep < holder.count) shrink(t, cell, keep);
      if (keep) break;
    }
    node = parent;
    if (node) count = nodeAt(t, node).length;
  }
  endWrite(t);
  return before - slotAt(t, slot).blocks;
}

/** Writes each slot's leading blocks, deepest node first, so that a slot is settled where it is first seen. */
function collect(t: Tree, cursor: Cursor, out: usize, slots: u32): void {
  let node = cursor.node;
  let count = cursor.matched;
  let settled: u32 = 0;
  while (node && node < t.cells) {
    const run = nodeAt(t, node);
    const depth = run.depth;
    // A child's holders are among its parent's: equal numbers mean that none is left to settle.
    if (run.holderCount != settled) {
      let holder = run.holdersNewest;
      for (let seen: u32 = 0; holder && holder < t.cells && seen < t.slots; seen++) {
        const share = holderAt(t, holder);
        const slot = share.slot;
        if (slot < slots) {
          const at = out + (<usize>slot << 2);
          if (!load<u32>(at)) {
            store<u32>(at, depth + min(share.count, count));
            settled++;
          }
        }
        holder = nextHolder(t, holder);
      }
    }
    node = run.parent;
    if (!node || node >= t.cells) return;
    const above = nodeAt(t, node);
    if (above.depth >= depth) return;
    count = above.length;
  }
}

/**
 * Leading blocks of the path that each slot below `slots` holds, as i32 at `out`. `out` has room for 8 bytes more.
 * Returns the most that anyone holds, or -1, with zeros, when the writer left no quiet moment. For any thread.
 */
export function treeMatch(base: usize, hashes: usize, n: u32, out: usize, slots: u32): i32 {
  const t = changetype<Tree>(base);
  const cursor = changetype<Cursor>(out + (<usize>slots << 2));
  for (let looks: u32 = 0, spoilt: u32 = 0; looks < looksMax && spoilt < spoiltMax;) {
    const seq = atomic.load<u32>(base);
    if (seq & 1) {
      looks++;
      continue;
    }
    memory.fill(out, 0, <usize>slots << 2);
    const position = walk(t, hashes, n, cursor);
    collect(t, cursor, out, slots);
    fence(changetype<usize>(cursor));
    if (atomic.load<u32>(base) == seq) return position;
    spoilt++;
  }
  memory.fill(out, 0, <usize>slots << 2);
  return -1;
}

export function treeSlotBlocks(base: usize, slot: u32): u32 {
  const t = changetype<Tree>(base);
  return slot < t.slots ? slotAt(t, slot).blocks : 0;
}

/** Writes eight f64: blocks, pairs, nodes, holders, cells in use, cells, blocks evicted, blocks trimmed. */
export function treeStats(base: usize, out: usize): void {
  const t = changetype<Tree>(base);
  store<f64>(out, <f64>t.blocks);
  store<f64>(out + 8, <f64>t.pairs);
  store<f64>(out + 16, <f64>t.nodes);
  store<f64>(out + 24, <f64>t.holders);
  store<f64>(out + 32, <f64>(t.cells - 1 - freeCells(t)));
  store<f64>(out + 40, <f64>(t.cells - 1));
  store<f64>(out + 48, <f64>t.evicted);
  store<f64>(out + 56, <f64>t.trimmed);
}
