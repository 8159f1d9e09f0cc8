// Open addressing with linear probing and backward-shift deletion. An entry is tag | cell << 32; a cell of 0 is empty.
// The tag also gives the entry's home, so that neither probing past nor shifting an entry reads its cell.
import { holderAt, holderBit, nodeAt, Tree } from "./layout";

@inline
function mix(key: u64): u32 {
  return <u32>((key * 0x9e3779b97f4a7c15) >> 32);
}

@inline
export function nodeTag(hash: u64): u32 {
  return mix(hash);
}

@inline
export function holderTag(node: u32, slot: u32): u32 {
  return mix(((<u64>node) << 10) | <u64>slot);
}

@inline
function entryAt(t: Tree, index: u32): usize {
  return <usize>t.tableAt + (<usize>index << 3);
}

/** The node whose run begins with the block `hash`, or 0. Safe for readers. */
export function findNode(t: Tree, hash: u64): u32 {
  const mask = t.mask;
  const tag = nodeTag(hash);
  for (let probe: u32 = 0, i = tag & mask; probe <= mask; probe++, i = (i + 1) & mask) {
    const entry = load<u64>(entryAt(t, i));
    const cell = <u32>(entry >> 32);
    if (!cell) return 0;
    // A holder's cell has the top bit and is never below `cells`.
    if (<u32>entry == tag && cell < t.cells && nodeAt(t, cell).first == hash) return cell;
  }
  return 0;
}

/** The share of `node` that `slot` has, or 0. */
export function findHolder(t: Tree, node: u32, slot: u32): u32 {
  const mask = t.mask;
  const tag = holderTag(node, slot);
  for (let probe: u32 = 0, i = tag & mask; probe <= mask; probe++, i = (i + 1) & mask) {
    const entry = load<u64>(entryAt(t, i));
    const marked = <u32>(entry >> 32);
    if (!marked) return 0;
    if (<u32>entry != tag || !(marked & holderBit)) continue;
    const holder = holderAt(t, marked & ~holderBit);
    if (holder.node == node && holder.slot == slot) return marked & ~holderBit;
  }
  return 0;
}

/** `cell` carries `holderBit` for a holder. */
export function addEntry(t: Tree, tag: u32, cell: u32): void {
  const mask = t.mask;
  let i = tag & mask;
  while (load<u32>(entryAt(t, i) + 4)) i = (i + 1) & mask;
  store<u64>(entryAt(t, i), <u64>tag | ((<u64>cell) << 32));
  t.entries++;
}

function indexOf(t: Tree, tag: u32, cell: u32): u32 {
  let i = tag & t.mask;
  while (load<u32>(entryAt(t, i) + 4) != cell) i = (i + 1) & t.mask;
  return i;
}

/** Leads an existing entry to another cell. */
export function replaceEntry(t: Tree, tag: u32, from: u32, to: u32): void {
  store<u32>(entryAt(t, indexOf(t, tag, from)) + 4, to);
}

export function removeEntry(t: Tree, tag: u32, cell: u32): void {
  const mask = t.mask;
  let hole = indexOf(t, tag, cell);
  for (let i = (hole + 1) & mask;; i = (i + 1) & mask) {
    const entry = load<u64>(entryAt(t, i));
    if (!<u32>(entry >> 32)) break;
    // Movable when its home does not lie between the hole and itself.
    if (((i - (<u32>entry & mask)) & mask) < ((i - hole) & mask)) continue;
    store<u64>(entryAt(t, hole), entry);
    hole = i;
  }
  store<u64>(entryAt(t, hole), 0);
  t.entries--;
}
