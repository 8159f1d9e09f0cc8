// Matching: the leading blocks of a prompt each slot has.
import { entryAt, holdersOf, inlineBit, none, Slot, slotAt, slotMask, topUnits, Tree } from "./layout";
import { aliveTiers, isRouted } from "./pairs";
import { membersAt, setAt, setCount } from "./sets";
import { findNode, warmNodes } from "./table";

/** What a slot has of a block: its fastest tier, or routed evidence alone, or nothing. */
const routedOnly: u32 = 4;
const nothing: u32 = 5;
/** Blocks looked up at a time: enough to wait for memory once, few enough to waste little beyond the end of a match. */
const ahead: u32 = 64;

@inline
function classOf(s: Slot, member: u32): u32 {
  const tiers = aliveTiers(s, member);
  if (tiers) return ctz(tiers);
  return isRouted(s, member) ? routedOnly : nothing;
}

/** Adds `run` blocks to the tiers of the slots in the list, entries of slot and class. */
function addRun(list: usize, count: u32, tiers: usize, run: u32): void {
  for (const end = list + (<usize>count << 2); list < end; list += 4) {
    const entry = load<u32>(list);
    const tier = entry >> 10;
    if (tier >= routedOnly) continue;
    const cell = tiers + (<usize>(((entry & slotMask) << 2) + tier) << 2);
    store<u32>(cell, load<u32>(cell) + run);
  }
}

/** Sets `blocks` of the slots in the list. */
function setBlocks(list: usize, count: u32, blocks: usize, value: u32): void {
  for (const end = list + (<usize>count << 2); list < end; list += 4) {
    store<u32>(blocks + (<usize>(load<u32>(list) & slotMask) << 2), value);
  }
}

/** The slots that hold a block, as a list; returns how many. */
function begin(t: Tree, members: usize, count: u32, list: usize, slots: u32): u32 {
  let active: u32 = 0;
  for (let i: u32 = 0; i < count && active < slots; i++) {
    const member = load<u32>(members + (<usize>i << 2));
    const slot = member & slotMask;
    if (slot >= slots) continue;
    const found = classOf(slotAt(t, slot), member);
    if (found != nothing) store<u32>(list + (<usize>(active++) << 2), slot | (found << 10));
  }
  return active;
}

/** Keeps in the list the slots that hold the next block too; the others are settled with `blocks`. Returns how many. */
function narrow(
  t: Tree, members: usize, count: u32, list: usize, active: u32, blocks: usize, value: u32,
): u32 {
  let kept: u32 = 0;
  let at: u32 = 0;
  for (let i: u32 = 0; i < active; i++) {
    const slot = load<u32>(list + (<usize>i << 2)) & slotMask;
    while (at < count && (load<u32>(members + (<usize>at << 2)) & slotMask) < slot) at++;
    const member = at < count ? load<u32>(members + (<usize>at << 2)) : 0;
    const found = at < count && (member & slotMask) == slot ? classOf(slotAt(t, slot), member) : nothing;
    if (found == nothing) store<u32>(blocks + (<usize>slot << 2), value);
    else store<u32>(list + (<usize>(kept++) << 2), slot | (found << 10));
  }
  return kept;
}

/**
 * Writes for each slot below `slots` the leading blocks it has, i32, then those by tier, 4 × i32 a slot; `out` has room
 * for 4 bytes a slot and 4 more. Returns the most that anyone has. Safe for readers.
 */
export function matchOnce(t: Tree, hashes: usize, n: u32, out: usize, slots: u32): u32 {
  const tiers = out + (<usize>slots << 2);
  const list = tiers + (<usize>slots << 4);
  const single = list + (<usize>slots << 2);
  memory.fill(out, 0, <usize>slots * 20);
  let active: u32 = 0;
  let last: u32 = 0;
  let since: u32 = 0;
  let i: u32 = 0;
  for (; i < n; i++) {
    if (!(i & (ahead - 1))) store<u32>(single, warmNodes(t, hashes + (<usize>i << 3), min(ahead, n - i)));
    const node = findNode(t, load<u64>(hashes + (<usize>i << 3)));
    if (node == none) break;
    const ref = holdersOf(entryAt(t, node));
    if (ref == last) continue;
    let members = single;
    let count: u32 = 1;
    if (ref & inlineBit) {
      store<u32>(single, ref);
    } else {
      if (!ref || ref > t.tops * topUnits) break;
      const set = setAt(t, ref);
      members = membersAt(set);
      count = min<u32>(setCount(set), slotMask + 1);
    }
    addRun(list, active, tiers, i - since);
    active = i ? narrow(t, members, count, list, active, out, i) : begin(t, members, count, list, slots);
    last = ref;
    since = i;
    if (!active) return i;
  }
  addRun(list, active, tiers, i - since);
  setBlocks(list, active, out, i);
  return i;
}
