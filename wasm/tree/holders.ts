// Holders: which slot has how much of a node, and in which order shares are given up.
import {
  freeCell, Holder, holderAt, holderBit, List, Node, nodeAt, Slot, slotAt, takeCell, Tree,
} from "./layout";
import { link, older, unlink } from "./list";
import { cutRun, splitRun } from "./run";
import { addEntry, findHolder, holderTag, removeEntry } from "./table";

const nodeLink = offsetof<Holder>("nodeNewer");
const slotLink = offsetof<Holder>("slotNewer");
const allLink = offsetof<Holder>("allNewer");

@inline
function allList(t: Tree): List {
  return changetype<List>(changetype<usize>(t) + offsetof<Tree>("allNewest"));
}

@inline
function slotList(slot: Slot): List {
  return changetype<List>(changetype<usize>(slot));
}

@inline
function nodeList(node: Node): List {
  return changetype<List>(changetype<usize>(node) + offsetof<Node>("holdersNewest"));
}

@inline
export function nextHolder(t: Tree, cell: u32): u32 {
  return older(t, cell, nodeLink);
}

/** Makes a share the newest of its slot and of all. */
function renew(t: Tree, cell: u32): void {
  const holder = holderAt(t, cell);
  const list = slotList(slotAt(t, holder.slot));
  if (t.allNewest == cell) return;
  unlink(t, list, slotLink, cell);
  link(t, list, slotLink, cell, 0);
  unlink(t, allList(t), allLink, cell);
  link(t, allList(t), allLink, cell, 0);
}

/** A share of no blocks yet, newest, or just newer than the share `below` of the same slot. */
function addHolder(t: Tree, node: u32, slot: u32, below: u32): u32 {
  const cell = takeCell(t);
  const holder = holderAt(t, cell);
  holder.node = node;
  holder.slot = slot;
  const run = nodeAt(t, node);
  link(t, nodeList(run), nodeLink, cell, 0);
  run.holderCount++;
  link(t, slotList(slotAt(t, slot)), slotLink, cell, below);
  link(t, allList(t), allLink, cell, below);
  addEntry(t, holderTag(node, slot), cell | holderBit);
  t.holders++;
  return cell;
}

/** Makes what `slot` has of the path ending at `node` its newest shares, the root last. */
export function touchPath(t: Tree, slot: u32, node: u32): void {
  while (node) {
    const cell = findHolder(t, node, slot);
    if (cell) renew(t, cell);
    node = nodeAt(t, node).parent;
  }
}

/** Nodes of the path ending at `node` of which `slot` has no share. */
export function missingHolders(t: Tree, slot: u32, node: u32): u32 {
  let missing: u32 = 0;
  while (node && !findHolder(t, node, slot)) {
    missing++;
    node = nodeAt(t, node).parent;
  }
  return missing;
}

/** Gives `slot` the first `count` blocks of `node` and all above; the path becomes its newest. */
export function holdPath(t: Tree, slot: u32, node: u32, count: u32, confirmed: bool): void {
  const owner = slotAt(t, slot);
  let added: u32 = 0;
  while (node) {
    const run = nodeAt(t, node);
    let cell = findHolder(t, node, slot);
    const fresh = !cell;
    if (fresh) cell = addHolder(t, node, slot, 0);
    const holder = holderAt(t, cell);
    holder.kids += added;
    if (count > holder.count) {
      owner.blocks += count - holder.count;
      t.pairs += count - holder.count;
      holder.count = count;
      if (count == run.length) run.full++;
    }
    if (confirmed && count > holder.confirmed) holder.confirmed = count;
    renew(t, cell);
    added = fresh ? 1 : 0;
    node = run.parent;
    if (node) count = nodeAt(t, node).length;
  }
}

function dropHolder(t: Tree, cell: u32): void {
  const holder = holderAt(t, cell);
  const run = nodeAt(t, holder.node);
  if (run.parent) {
    const above = findHolder(t, run.parent, holder.slot);
    holderAt(t, above).kids--;
  }
  unlink(t, nodeList(run), nodeLink, cell);
  run.holderCount--;
  unlink(t, slotList(slotAt(t, holder.slot)), slotLink, cell);
  unlink(t, allList(t), allLink, cell);
  removeEntry(t, holderTag(holder.node, holder.slot), cell | holderBit);
  freeCell(t, cell);
  t.holders--;
}

/** Lessens a share that has no kids to `count` blocks; blocks that nobody has left are freed. */
export function shrink(t: Tree, cell: u32, count: u32): void {
  const holder = holderAt(t, cell);
  const node = holder.node;
  const run = nodeAt(t, node);
  const lost = holder.count - count;
  const wasFull = holder.count == run.length;
  slotAt(t, holder.slot).blocks -= lost;
  t.pairs -= lost;
  holder.count = count;
  holder.confirmed = min(holder.confirmed, count);
  if (!count) dropHolder(t, cell);
  if (!wasFull || --run.full) return;
  let longest: u32 = 0;
  for (let h = run.holdersNewest; h; h = nextHolder(t, h)) {
    const share = holderAt(t, h).count;
    if (share > longest) {
      longest = share;
      run.full = 0;
    }
    if (share == longest) run.full++;
  }
  cutRun(t, node, longest);
}

/** Divides `node` after `k` blocks. Takes two cells and one for each holder of more than `k`. */
export function splitNode(t: Tree, node: u32, k: u32): u32 {
  const above = splitRun(t, node, k);
  const head = nodeAt(t, above);
  const rest = nodeAt(t, node);
  for (let cell = rest.holdersNewest; cell;) {
    const next = nextHolder(t, cell);
    const holder = holderAt(t, cell);
    if (holder.count > k) {
      const upper = holderAt(t, addHolder(t, above, holder.slot, cell));
      upper.count = k;
      upper.confirmed = min(k, holder.confirmed);
      upper.kids = 1;
      holder.count -= k;
      holder.confirmed -= upper.confirmed;
      head.full++;
    } else {
      removeEntry(t, holderTag(node, holder.slot), cell | holderBit);
      unlink(t, nodeList(rest), nodeLink, cell);
      rest.holderCount--;
      holder.node = above;
      link(t, nodeList(head), nodeLink, cell, 0);
      head.holderCount++;
      addEntry(t, holderTag(above, holder.slot), cell | holderBit);
      if (holder.count == k) head.full++;
    }
    cell = next;
  }
  return above;
}
