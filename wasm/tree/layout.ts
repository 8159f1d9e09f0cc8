// The prefix tree in its region. All state lies here; functions take the region's address.
//
//   ┌────────┬─────────────┬──────────────────┬───────────────┬───────────────────────────────────────────┐
//   │ header │ slots       │ table            │ next          │ cells                                     │
//   │ 256 B  │ 32 B a slot │ 8 B an entry     │ 4 B a cell    │ 64 B a cell; cell 0 is never used         │
//   └────────┴─────────────┴──────────────────┴───────────────┴───────────────────────────────────────────┘
//
// A cell is one of three things:
//
//   node    a run of consecutive blocks below a parent node      first, last, parent, depth, length, chunks, holders
//   chunk   eight hashes of a run; `next` chains a run's chunks  8 × u64
//   holder  one slot's share of one node: its leading `count`    node, slot, count, confirmed, three list links
//           blocks, the first `confirmed` of them confirmed
//
//   table: tag → cell. A node is found by the hash of its first block, a holder by (node, slot). As hashes are chained,
//   a block's hash stands for everything before it, so the end of one run leads to the next by one lookup.
//
//   root ── [h0 h1 … h9] ──┬── [h10 … h500]        holders of the parent: A:10  B:10  C:7
//            depth 0       │    depth 10           holders of this child: A:491
//                          └── [k10 … k12]         holders of this child: B:3
//
// Invariants
//   - What a slot holds is closed under prefix: a slot with a share of a child has the whole of the parent.
//   - A run is as long as its longest share; a node without holders does not exist.
//   - In a slot's list and in the list of all holders, a parent's share is newer than each of its children's, so that
//     the oldest share is always a tail.
//
// One writer. It makes `seq` odd while it works; a reader whose `seq` moved starts over. Readers check every index
// they load and bound every loop, so that data torn by the writer costs them a retry and nothing else.

export const headerBytes: usize = 256;
export const slotBytes: usize = 32;
export const cellShift: usize = 6;
export const chunkBlocks: u32 = 8;
export const chunkShift: u32 = 3;
export const magicNumber: u32 = 0x74727031;
/** Marks a table entry that leads to a holder. */
export const holderBit: u32 = 0x80000000;

/** Two ends of a doubly linked list of holders. */
@unmanaged
export class List {
  newest: u32;
  oldest: u32;
}

/** Where a walk along a path ended: the deepest node with a common block, and how many of its blocks are common. */
@unmanaged
export class Cursor {
  node: u32;
  matched: u32;
}

@unmanaged
export class Tree {
  seq: u32;
  magic: u32;
  /** All holders by recency. */
  allNewest: u32;
  allOldest: u32;
  cursorNode: u32;
  cursorMatched: u32;
  slots: u32;
  /** One past the highest cell. */
  cells: u32;
  mask: u32;
  entries: u32;
  entriesMax: u32;
  slotsAt: u32;
  tableAt: u32;
  nextAt: u32;
  cellsAt: u32;
  /** Lowest cell never used. */
  bump: u32;
  freeHead: u32;
  freeCount: u32;
  nodes: u32;
  holders: u32;
  /** Blocks held by anyone. */
  blocks: u32;
  /** Blocks summed over slots. */
  pairs: u64;
  /** Blocks given up for lack of memory. */
  evicted: u64;
  /** Blocks given up for lack of a slot's capacity. */
  trimmed: u64;
}

@unmanaged
export class Slot {
  newest: u32;
  oldest: u32;
  capacity: u32;
  blocks: u32;
}

@unmanaged
export class Node {
  /** Hashes of the run's first and last block. */
  first: u64;
  last: u64;
  parent: u32;
  /** Blocks before the run. */
  depth: u32;
  length: u32;
  /** Entries of the first chunk that do not belong to the run. */
  skip: u32;
  chunk: u32;
  holdersNewest: u32;
  holdersOldest: u32;
  holderCount: u32;
  /** Holders of the whole run. */
  full: u32;
}

@unmanaged
export class Holder {
  node: u32;
  slot: u32;
  count: u32;
  confirmed: u32;
  /** The slot's shares of child nodes. */
  kids: u32;
  nodeNewer: u32;
  nodeOlder: u32;
  slotNewer: u32;
  slotOlder: u32;
  allNewer: u32;
  allOlder: u32;
}

@inline
export function cellAt(t: Tree, cell: u32): usize {
  return <usize>t.cellsAt + (<usize>cell << cellShift);
}

@inline
export function nodeAt(t: Tree, cell: u32): Node {
  return changetype<Node>(cellAt(t, cell));
}

@inline
export function holderAt(t: Tree, cell: u32): Holder {
  return changetype<Holder>(cellAt(t, cell));
}

@inline
export function slotAt(t: Tree, slot: u32): Slot {
  return changetype<Slot>(<usize>t.slotsAt + <usize>slot * slotBytes);
}

@inline
export function nextOf(t: Tree, cell: u32): u32 {
  return load<u32>(<usize>t.nextAt + (<usize>cell << 2));
}

@inline
export function setNext(t: Tree, cell: u32, next: u32): void {
  store<u32>(<usize>t.nextAt + (<usize>cell << 2), next);
}

/** Cells that can still be taken. */
@inline
export function freeCells(t: Tree): u32 {
  return t.cells - t.bump + t.freeCount;
}

/** A cell filled with zeros; the caller has made sure that one is free. */
export function takeCell(t: Tree): u32 {
  let cell = t.freeHead;
  if (cell) {
    t.freeHead = nextOf(t, cell);
    t.freeCount--;
  } else {
    cell = t.bump++;
  }
  memory.fill(cellAt(t, cell), 0, 1 << cellShift);
  setNext(t, cell, 0);
  return cell;
}

export function freeCell(t: Tree, cell: u32): void {
  setNext(t, cell, t.freeHead);
  t.freeHead = cell;
  t.freeCount++;
}
