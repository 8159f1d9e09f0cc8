// Pairs: what one slot has of one block, as a member of the block's holders; and the counts that follow from it.
import {
  ageShift, directBit, entryAt, extraBit, freshAt, freshShift, holdersOf, kindSide, none, oldAt, restAt, routedAgeShift,
  routedBit, routedPart, setHolders, sideExtra, sideKept, sideNode, sideSlot, Slot, slotAt, tiersShift, Tree, indexMask,
} from "./layout";
import { changeHolders, dropHolders, failed, memberOf } from "./sets";
import { addSide, findSide, removeEntry } from "./table";

@inline
export function tiersOf(member: u32): u32 {
  return (member >> tiersShift) & 15;
}

@inline
export function freshOf(member: u32): u32 {
  return (member >> freshShift) & 15;
}

@inline
export function ageOf(member: u32): u32 {
  return (member >> ageShift) & 7;
}

/** Of `tiers`, `fresh` of them told at `age`, those that are alive. */
@inline
export function alive(s: Slot, age: u32, tiers: u32, fresh: u32): u32 {
  const since = (age - s.least) & 7;
  if (since > s.age - s.least) return 0;
  return since ? tiers : tiers & fresh;
}

@inline
export function aliveTiers(s: Slot, member: u32): u32 {
  return alive(s, ageOf(member), tiersOf(member), freshOf(member));
}

@inline
export function isRouted(s: Slot, member: u32): bool {
  return (member & routedBit) != 0 && ((member >> routedAgeShift) & 7) == (s.routedAge & 7);
}

/** Tiers confirmed since `doubt`. */
@inline
export function sureTiers(s: Slot, member: u32): u32 {
  const tiers = aliveTiers(s, member);
  if (!s.doubting) return tiers;
  return ageOf(member) == (s.age & 7) ? tiers & freshOf(member) : 0;
}

@inline
function count(at: usize, tiers: u32, sign: u32): void {
  for (let tier: usize = 0; tier < 4; tier++) {
    const cell = at + (tier << 2);
    store<u32>(cell, load<u32>(cell) + ((tiers >> <u32>tier) & 1) * sign);
  }
}

/** Adds (`sign` 1) or takes (`sign` -1) a member's part in the counts. */
export function account(t: Tree, s: Slot, member: u32, sign: u32): void {
  const tiers = aliveTiers(s, member);
  const routed = isRouted(s, member);
  if (tiers) {
    const cells = changetype<usize>(s);
    if (ageOf(member) == (s.age & 7)) {
      const fresh = freshOf(member) & tiers;
      s.curBlocks += sign;
      count(cells + freshAt, fresh, sign);
      if (tiers != fresh) count(cells + restAt, tiers & ~fresh, sign);
      if (routed) s.curBoth += sign;
    } else {
      s.oldBlocks += sign;
      count(cells + oldAt, tiers, sign);
      if (routed) s.oldBoth += sign;
    }
  } else if (tiersOf(member)) {
    s.dead += sign;
  }
  if (routed) s.routed += sign;
  else if (member & routedBit) s.dead += sign;
  if (tiers || routed) t.pairs += <u64><i64><i32>sign;
}

/** Replaces a pair's member (0: none); a node that nobody holds goes. False, and nothing done, when there is no room. */
export function changePair(t: Tree, s: Slot, node: u32, slot: u32, old: u32, member: u32): bool {
  if (old == member) return true;
  const at = entryAt(t, node);
  const to = changeHolders(t, holdersOf(at), slot, old, member);
  if (to == failed) return false;
  setHolders(at, to);
  if (old) account(t, s, old, -1);
  if (member) account(t, s, member, 1);
  if (!to) removeEntry(t, node);
  return true;
}

/** A member without its dead parts; 0 when nothing is left. Frees the extra entry of dead evidence. */
export function stripped(t: Tree, s: Slot, node: u32, slot: u32, member: u32): u32 {
  const tiers = aliveTiers(s, member);
  if (!isRouted(s, member)) member &= ~(routedBit | (7 << routedAgeShift));
  if (tiers) return (member & ~(15 << tiersShift)) | (tiers << tiersShift);
  if (member & extraBit) dropExtra(t, node, slot);
  return member & routedBit ? member & routedPart : 0;
}

function dropExtra(t: Tree, node: u32, slot: u32): void {
  const side = findSide(t, node, slot, sideExtra);
  if (side != none) removeEntry(t, side);
}

/** Evidence on a tier beyond the first. */
function extraAt(t: Tree, node: u32, slot: u32, tier: u32): usize {
  const side = findSide(t, node, slot, sideExtra);
  return side == none ? 0 : entryAt(t, side) + 12 + tier;
}

/** One more source of a tier that has one already. Returns the member's extra bit. */
function addExtra(t: Tree, node: u32, slot: u32, tier: u32): u32 {
  let at = extraAt(t, node, slot, tier);
  if (!at) {
    const side = entryAt(t, addSide(t, node, slot, sideExtra));
    store<u64>(side, kindSide | sideExtra, 8);
    at = side + 12 + tier;
  }
  const sources = load<u8>(at);
  if (sources != 255) store<u8>(at, sources + 1);
  return extraBit;
}

/** What `gain` found. */
export const noRoom: u32 = 0;
export const gained: u32 = 1;
export const hadIt: u32 = 2;

/**
 * The slot has the block on a tier, by a source that did not say so since `doubt`: a record (`direct` 0), or by chained
 * hash (`directBit`), where one reference is all there is. Replaces routed evidence.
 */
export function gain(t: Tree, s: Slot, node: u32, slot: u32, tier: u32, direct: u32): u32 {
  const old = memberOf(t, holdersOf(entryAt(t, node)), slot);
  const bit: u32 = 1 << tier;
  if (!old) {
    const member = slot | (bit << tiersShift) | (bit << freshShift) | ((s.age & 7) << ageShift) | direct;
    return changePair(t, s, node, slot, 0, member) ? gained : noRoom;
  }
  const tiers = aliveTiers(s, old);
  const sure = sureTiers(s, old);
  let flags = tiers ? old & (extraBit | directBit) : 0;
  if (!tiers && (old & extraBit)) dropExtra(t, node, slot);
  if (sure & bit) {
    if (!direct) flags |= addExtra(t, node, slot, tier);
  } else {
    if (flags & extraBit) {
      const extra = extraAt(t, node, slot, tier);
      if (extra) store<u8>(extra, 0);
    }
    flags |= direct;
  }
  const all = tiers | bit;
  const fresh = s.doubting ? sure | bit : all;
  const member = slot | (all << tiersShift) | (fresh << freshShift) | ((s.age & 7) << ageShift) | flags;
  if (!changePair(t, s, node, slot, old, member)) return noRoom;
  if (old & routedBit && isRouted(s, old)) dropRouted(t, s, node, slot);
  return tiers & bit ? hadIt : gained;
}

/** Takes a tier out of a member that has it. */
function without(s: Slot, member: u32, tiers: u32, bit: u32): u32 {
  const rest = tiers & ~bit;
  if (!rest) return 0;
  let age = ageOf(member);
  let fresh = freshOf(member) & rest;
  // What is left was told before the doubt.
  if (s.doubting && age == (s.age & 7) && !fresh) age = (s.age - 1) & 7;
  if (!fresh) fresh = rest;
  const kept = member & (extraBit | directBit | routedPart);
  return kept | (rest << tiersShift) | (fresh << freshShift) | (age << ageShift);
}

/**
 * A source that was `sure` or not no longer has the block on a tier. True when the slot has it there no more. The node may
 * be gone afterwards.
 */
export function lose(t: Tree, s: Slot, node: u32, slot: u32, tier: u32, sure: bool): bool {
  const old = memberOf(t, holdersOf(entryAt(t, node)), slot);
  const bit: u32 = 1 << tier;
  const tiers = aliveTiers(s, old);
  if (!old || !(tiers & bit)) return false;
  // Others confirmed it since.
  if (!sure && (sureTiers(s, old) & bit)) return false;
  if (old & extraBit) {
    const extra = extraAt(t, node, slot, tier);
    if (extra && load<u8>(extra)) {
      store<u8>(extra, load<u8>(extra) - 1);
      return false;
    }
  }
  return drop(t, s, node, slot, old, tiers, bit);
}

function drop(t: Tree, s: Slot, node: u32, slot: u32, old: u32, tiers: u32, bits: u32): bool {
  let member = without(s, old, tiers, bits);
  if (!member) {
    if (old & extraBit) dropExtra(t, node, slot);
    if (isRouted(s, old)) member = old & routedPart;
  }
  return changePair(t, s, node, slot, old, member);
}

/** Ends what was told by chained hash on the tiers `bits`. True when anything was. */
export function dropDirect(t: Tree, s: Slot, node: u32, slot: u32, bits: u32): bool {
  const old = memberOf(t, holdersOf(entryAt(t, node)), slot);
  const tiers = old & directBit ? aliveTiers(s, old) & bits : 0;
  if (!tiers) return false;
  return drop(t, s, node, slot, old, aliveTiers(s, old), tiers);
}

// Kept routed blocks of a slot, by recency. Links are entry index + 1.

@inline
function newerOf(side: usize): u32 {
  return <u32>(load<u64>(side) >> 37);
}

@inline
function olderOf(side: usize): u32 {
  return (load<u32>(side, 8) >> 4) & indexMask;
}

@inline
function setNewer(side: usize, link: u32): void {
  store<u64>(side, (load<u64>(side) & 0x1fffffffff) | (<u64>link << 37));
}

@inline
function setOlder(side: usize, link: u32): void {
  store<u32>(side, (load<u32>(side, 8) & 15) | (link << 4), 8);
}

/** Makes a routed entry the slot's most recent. */
export function keepNewest(t: Tree, s: Slot, index: u32): void {
  if (s.newest == index + 1) return;
  unkeep(t, s, index);
  const side = entryAt(t, index);
  store<u32>(side, load<u32>(side, 8) | sideKept, 8);
  setOlder(side, s.newest);
  setNewer(side, 0);
  if (s.newest) setNewer(entryAt(t, s.newest - 1), index + 1);
  else s.last = index + 1;
  s.newest = index + 1;
  s.kept++;
}

/** Takes a routed entry out of the kept ones; nothing when it is not among them. */
export function unkeep(t: Tree, s: Slot, index: u32): void {
  const side = entryAt(t, index);
  if (!(load<u32>(side, 8) & sideKept)) return;
  const newer = newerOf(side);
  const older = olderOf(side);
  if (newer) setOlder(entryAt(t, newer - 1), older);
  else s.newest = older;
  if (older) setNewer(entryAt(t, older - 1), newer);
  else s.last = newer;
  store<u32>(side, load<u32>(side, 8) & ~sideKept, 8);
  s.kept--;
}

/** Frees a pair's routed entry; its member is the caller's. */
export function dropRouted(t: Tree, s: Slot, node: u32, slot: u32): void {
  const side = findSide(t, node, slot, 0);
  if (side == none) return;
  unkeep(t, s, side);
  removeEntry(t, side);
}

/** Ends the routed evidence of the entry `index`. */
export function endRouted(t: Tree, s: Slot, index: u32): void {
  const side = entryAt(t, index);
  const node = sideNode(side);
  const slot = sideSlot(side);
  unkeep(t, s, index);
  removeEntry(t, index);
  const old = memberOf(t, holdersOf(entryAt(t, node)), slot);
  if (!(old & routedBit)) return;
  const member = old & ~(routedBit | (7 << routedAgeShift));
  changePair(t, s, node, slot, old, tiersOf(old) ? member : 0);
}
