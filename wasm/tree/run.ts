// Runs: the blocks of a node, in chunks of eight.
import {
  cellAt, chunkBlocks, chunkShift, Cursor, freeCell, nextOf, nodeAt, Node, setNext, takeCell, Tree,
} from "./layout";
import { addEntry, findNode, nodeTag, removeEntry, replaceEntry } from "./table";

@inline
function hashAt(t: Tree, chunk: u32, index: u32): u64 {
  return load<u64>(cellAt(t, chunk) + (<usize>index << 3));
}

/** Leading blocks of the run equal to `hashes`, at most `limit`. Safe for readers. */
function common(t: Tree, node: Node, hashes: usize, limit: u32): u32 {
  let chunk = node.chunk;
  let at = node.skip & (chunkBlocks - 1);
  let done: u32 = 0;
  while (done < limit) {
    if (!chunk || chunk >= t.cells) return done;
    const span = min(chunkBlocks - at, limit - done);
    // Hashes are chained: equal ends mean equal spans.
    if (hashAt(t, chunk, at + span - 1) != load<u64>(hashes + (<usize>(done + span - 1) << 3))) {
      let i: u32 = 0;
      while (i < span && hashAt(t, chunk, at + i) == load<u64>(hashes + (<usize>(done + i) << 3))) i++;
      return done + i;
    }
    done += span;
    chunk = nextOf(t, chunk);
    at = 0;
  }
  return done;
}

/** Follows `hashes` as far as anyone holds them; returns the number of blocks. Safe for readers. */
export function walk(t: Tree, hashes: usize, n: u32, cursor: Cursor): u32 {
  let node: u32 = 0;
  let matched: u32 = 0;
  let position: u32 = 0;
  while (position < n) {
    const below = findNode(t, load<u64>(hashes + (<usize>position << 3)));
    if (!below) break;
    const next = nodeAt(t, below);
    const length = next.length;
    if (next.parent != node || next.depth != position || !length) break;
    node = below;
    const rest = n - position;
    if (length <= rest && next.last == load<u64>(hashes + (<usize>(position + length - 1) << 3))) {
      matched = length;
      position += length;
      continue;
    }
    matched = common(t, next, hashes + (<usize>position << 3), min(length, rest));
    position += matched;
    break;
  }
  cursor.node = node;
  cursor.matched = matched;
  return position;
}

/** A node for `count` blocks below `parent`; the caller has made room. */
export function addNode(t: Tree, parent: u32, depth: u32, hashes: usize, count: u32): u32 {
  const cell = takeCell(t);
  const node = nodeAt(t, cell);
  node.parent = parent;
  node.depth = depth;
  node.length = count;
  node.first = load<u64>(hashes);
  node.last = load<u64>(hashes + (<usize>(count - 1) << 3));
  let before: u32 = 0;
  for (let done: u32 = 0; done < count; done += chunkBlocks) {
    const chunk = takeCell(t);
    memory.copy(cellAt(t, chunk), hashes + (<usize>done << 3), <usize>min(chunkBlocks, count - done) << 3);
    if (before) setNext(t, before, chunk);
    else node.chunk = chunk;
    before = chunk;
  }
  addEntry(t, nodeTag(node.first), cell);
  t.nodes++;
  t.blocks += count;
  return cell;
}

function freeChunks(t: Tree, chunk: u32): void {
  while (chunk) {
    const next = nextOf(t, chunk);
    freeCell(t, chunk);
    chunk = next;
  }
}

/** Shortens a run; a run of no blocks is freed with its node. */
export function cutRun(t: Tree, cell: u32, length: u32): void {
  const node = nodeAt(t, cell);
  t.blocks -= node.length - length;
  if (!length) {
    removeEntry(t, nodeTag(node.first), cell);
    freeChunks(t, node.chunk);
    freeCell(t, cell);
    t.nodes--;
    return;
  }
  let chunk = node.chunk;
  const end = node.skip + length - 1;
  for (let i = end >> chunkShift; i; i--) chunk = nextOf(t, chunk);
  node.last = hashAt(t, chunk, end & (chunkBlocks - 1));
  node.length = length;
  freeChunks(t, nextOf(t, chunk));
  setNext(t, chunk, 0);
}

/**
 * Puts the run's first `k` blocks into a new node above it, and returns that. The node keeps its number for the rest,
 * so that its children still find it. Takes at most two cells; the holders are the caller's to divide.
 */
export function splitRun(t: Tree, cell: u32, k: u32): u32 {
  const node = nodeAt(t, cell);
  const above = takeCell(t);
  const head = nodeAt(t, above);
  head.first = node.first;
  head.parent = node.parent;
  head.depth = node.depth;
  head.length = k;
  head.skip = node.skip;
  const cut = node.skip + k;
  const at = cut & (chunkBlocks - 1);
  let before: u32 = 0;
  let chunk = node.chunk;
  for (let i = cut >> chunkShift; i; i--) {
    before = chunk;
    chunk = nextOf(t, chunk);
  }
  // A chunk that the cut divides stays with the rest; the head gets a copy of its part.
  let tail: u32 = 0;
  if (at) {
    tail = takeCell(t);
    memory.copy(cellAt(t, tail), cellAt(t, chunk), <usize>at << 3);
  }
  if (before) setNext(t, before, tail);
  head.chunk = before ? node.chunk : tail;
  head.last = at ? hashAt(t, tail, at - 1) : hashAt(t, before, chunkBlocks - 1);
  replaceEntry(t, nodeTag(node.first), cell, above);
  node.first = hashAt(t, chunk, at);
  node.parent = above;
  node.depth += k;
  node.length -= k;
  node.skip = at;
  node.chunk = chunk;
  addEntry(t, nodeTag(node.first), cell);
  t.nodes++;
  return above;
}
