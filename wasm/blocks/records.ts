// Records: what an engine told by its own hashes, and how often.
import {
  ageShift, directBit, entryAt, freshShift, holdersOf, indexMask, kindRecord, none, recordNode, Slot, slotAt, slotMask,
  touch, Tree,
} from "./layout";
import { alive, aliveTiers, gain, gained, lose, noRoom } from "./pairs";
import { memberOf } from "./sets";
import { addNode, addRecord, findNode, findRecord, removeEntry } from "./table";

const freshBits: u32 = 10;
const refsBits: u32 = 14;

/** Shift and mask of a tier's references: six bits for the fastest, where an engine may have a block many times. */
@inline
function refsShift(tier: u32): u32 {
  return tier ? refsBits + 2 + (tier << 2) : refsBits;
}

@inline
function refsMask(tier: u32): u32 {
  return tier ? 15 : 63;
}

@inline
export function refsOf(high: u32, tier: u32): u32 {
  return (high >> refsShift(tier)) & refsMask(tier);
}

@inline
function withRefs(high: u32, tier: u32, refs: u32): u32 {
  return (high & ~(refsMask(tier) << refsShift(tier))) | (min(refs, refsMask(tier)) << refsShift(tier));
}

@inline
function tiersOf(high: u32): u32 {
  return (refsOf(high, 0) ? 1 : 0) | (refsOf(high, 1) ? 2 : 0) | (refsOf(high, 2) ? 4 : 0) | (refsOf(high, 3) ? 8 : 0);
}

@inline
function ageOf(low: u32): u32 {
  return low >> 29;
}

@inline
function freshOf(high: u32): u32 {
  return (high >> freshBits) & 15;
}

@inline
function low(node: u32, age: u32): u32 {
  return kindRecord | (node << 2) | (age << 29);
}

/** Tiers of a record that are alive. */
@inline
export function recordTiers(s: Slot, record: usize): u32 {
  const high = load<u32>(record, 12);
  return alive(s, ageOf(load<u32>(record, 8)), tiersOf(high), freshOf(high));
}

@inline
function sureTiers(s: Slot, record: usize): u32 {
  const tiers = recordTiers(s, record);
  if (!s.doubting) return tiers;
  return ageOf(load<u32>(record, 8)) == (s.age & 7) ? tiers & freshOf(load<u32>(record, 12)) : 0;
}

/** Adds (`sign` 1) or takes (`sign` -1) a record's part in the counts. */
function account(s: Slot, record: usize, sign: u32): void {
  if (!recordTiers(s, record)) s.dead += sign;
  else if (ageOf(load<u32>(record, 8)) == (s.age & 7)) s.curRecords += sign;
  else s.oldRecords += sign;
}

export function removeRecord(t: Tree, s: Slot, index: u32): void {
  account(s, entryAt(t, index), -1);
  removeEntry(t, index);
}

/** The living record of an engine hash, or `none`; a dead one is freed. */
export function livingRecord(t: Tree, s: Slot, hash: u64, slot: u32): u32 {
  const index = findRecord(t, hash, slot);
  if (index == none || recordTiers(s, entryAt(t, index))) return index;
  removeRecord(t, s, index);
  return none;
}

/** Ends all a record tells. */
export function withdraw(t: Tree, s: Slot, slot: u32, index: u32): void {
  const record = entryAt(t, index);
  const node = recordNode(record);
  const sure = sureTiers(s, record);
  // The node goes with the last tier, and not before.
  for (let tier: u32 = 0, tiers = recordTiers(s, record); tier < 4; tier++) {
    if (tiers & (1 << tier)) lose(t, s, node, slot, tier, (sure & (1 << tier)) != 0);
  }
  removeRecord(t, s, index);
}

/** The node of a chained hash, made when there is none. The caller has made room. */
export function nodeOf(t: Tree, key: u64, depth: u32): u32 {
  const node = findNode(t, key);
  if (node == none) return addNode(t, key, depth);
  touch(t, entryAt(t, node));
  return node;
}

/** Frees a node that nobody holds. */
export function freeUnheld(t: Tree, node: u32): void {
  if (!holdersOf(entryAt(t, node))) removeEntry(t, node);
}

/** A new record's first reference. As `gain`. */
export function tell(t: Tree, s: Slot, slot: u32, hash: u64, node: u32, tier: u32): u32 {
  const result = gain(t, s, node, slot, tier, 0);
  if (result == noRoom) {
    freeUnheld(t, node);
    return noRoom;
  }
  const record = addRecord(t, hash, slot);
  store<u32>(record, low(node, s.age & 7), 8);
  store<u32>(record, withRefs(slot | ((1 << tier) << freshBits), tier, 1), 12);
  account(s, record, 1);
  return result;
}

/** A living record's next reference, the first on the tier, or the first since `doubt`. As `gain`. */
export function tellAgain(t: Tree, s: Slot, slot: u32, index: u32, tier: u32): u32 {
  const record = entryAt(t, index);
  const node = recordNode(record);
  const bit: u32 = 1 << tier;
  const tiers = recordTiers(s, record);
  const sure = sureTiers(s, record);
  const again = (sure & bit) != 0;
  const known = again && (aliveTiers(s, memberOf(t, holdersOf(entryAt(t, node)), slot)) & bit) != 0;
  const result = known ? <u32>2 : gain(t, s, node, slot, tier, 0);
  if (result == noRoom) return noRoom;
  account(s, record, -1);
  let high = load<u32>(record, 12);
  for (let other: u32 = 0; other < 4; other++) {
    if (!(tiers & (1 << other))) high = withRefs(high, other, 0);
  }
  high = withRefs(high, tier, again ? refsOf(high, tier) + 1 : 1);
  const fresh = s.doubting ? sure | bit : tiers | bit;
  store<u32>(record, (high & ~(15 << freshBits)) | (fresh << freshBits), 12);
  store<u32>(record, low(node, s.age & 7), 8);
  account(s, record, 1);
  return result;
}

/**
 * Takes one reference of a tier; a record without any is freed. 0: was not known there; 1: the slot has the block there
 * no more; 2: other references are left.
 */
export function untell(t: Tree, s: Slot, slot: u32, index: u32, tier: u32): u32 {
  const record = entryAt(t, index);
  const bit: u32 = 1 << tier;
  const tiers = recordTiers(s, record);
  if (!(tiers & bit)) return 0;
  const node = recordNode(record);
  const sure = sureTiers(s, record);
  let high = load<u32>(record, 12);
  const refs = refsOf(high, tier);
  if (refs > 1) {
    store<u32>(record, withRefs(high, tier, refs - 1), 12);
    return 2;
  }
  const rest = tiers & ~bit;
  if (!rest) {
    removeRecord(t, s, index);
  } else {
    account(s, record, -1);
    for (let other: u32 = 0; other < 4; other++) {
      if (!(rest & (1 << other))) high = withRefs(high, other, 0);
    }
    let age = ageOf(load<u32>(record, 8));
    let fresh = freshOf(high) & rest;
    // What is left was told before the doubt.
    if (s.doubting && age == (s.age & 7) && !fresh) age = (s.age - 1) & 7;
    if (!fresh) fresh = rest;
    store<u32>(record, (high & ~(15 << freshBits)) | (fresh << freshBits), 12);
    store<u32>(record, low(node, age), 8);
    account(s, record, 1);
  }
  return lose(t, s, node, slot, tier, (sure & bit) != 0) ? 1 : 2;
}

/** A living record as it is told once `least` moves up; see `renumbered` of members. */
export function renumberRecord(s: Slot, record: usize): void {
  const age = ageOf(load<u32>(record, 8));
  if (s.doubting && age == (s.age & 7)) return;
  const tiers = recordTiers(s, record);
  let high = load<u32>(record, 12);
  for (let tier: u32 = 0; tier < 4; tier++) {
    if (!(tiers & (1 << tier))) high = withRefs(high, tier, 0);
  }
  store<u32>(record, (high & ~(15 << freshBits)) | (tiers << freshBits), 12);
  store<u32>(record, low(recordNode(record), (s.doubting ? s.age - 1 : s.age) & 7), 8);
}

/** Sets the references of a tier that a record has. */
export function setRecord(record: usize, tier: u32, refs: u32): void {
  store<u32>(record, withRefs(load<u32>(record, 12), tier, refs), 12);
}
