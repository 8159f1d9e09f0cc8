// Room: sweeping up the dead, and giving up the least useful when the table is full.
import {
  ageShift, buildAt, directBit, entryAt, extraBit, freshShift, holdersOf, inlineBit, kindNode, kindOf, kindRecord, kindSide, none, orderMax,
  recordNode, setHolders, sideAge, sideExtra, sideKept, sideNode, sideSlot, Slot, slotAt, slotMask, tiersShift, Tree,
} from "./layout";
import { account, ageOf, aliveTiers, changePair, dropDirect, endRouted, stripped, unkeep } from "./pairs";
import { recordTiers, removeRecord, renumberRecord, withdraw } from "./records";
import { dropHolders, memberOf, membersAt, setAt, setBlocks, setCount, shrinkSet } from "./sets";
import { removeEntry } from "./table";

const memberMask: u32 = inlineBit - 1;

/** A living member as it is told once `least` moves up to the slot's age, or to one below it while doubting. */
function renumbered(s: Slot, member: u32): u32 {
  const tiers = aliveTiers(s, member);
  if (!tiers || (s.doubting && ageOf(member) == (s.age & 7))) return member;
  const age = s.doubting ? (s.age - 1) & 7 : s.age & 7;
  const kept = member & ~((15 << freshShift) | (7 << ageShift));
  return kept | (tiers << freshShift) | (age << ageShift);
}

@inline
function swept(t: Tree, node: u32, member: u32, renumber: u32): u32 {
  const slot = member & slotMask;
  const s = slotAt(t, slot);
  const rest = stripped(t, s, node, slot, member);
  return rest && slot == renumber ? renumbered(s, rest) : rest;
}

/** Frees the dead members of a set for all its blocks; returns how many pairs that are. */
function sweepSet(t: Tree, node: u32, id: u32, renumber: u32): u32 {
  const set = setAt(t, id);
  const members = membersAt(set);
  const built = changetype<usize>(t) + buildAt;
  const blocks = setBlocks(set);
  const count = setCount(set);
  let left: u32 = 0;
  let changed = false;
  for (let i: u32 = 0; i < count; i++) {
    const member = load<u32>(members + (<usize>i << 2));
    const rest = swept(t, node, member, renumber);
    if (rest != member) {
      changed = true;
      const s = slotAt(t, member & slotMask);
      if ((member & slotMask) != renumber) {
        account(t, s, member, 0 - blocks);
        if (rest) account(t, s, rest, blocks);
      } else if (!rest) account(t, s, member, 0 - blocks);
    }
    if (rest) store<u32>(built + (<usize>(left++) << 2), rest);
  }
  if (changed) shrinkSet(t, id, left);
  return (count - left) * blocks;
}

/** Frees a node's dead members. */
function sweepNode(t: Tree, node: u32, renumber: u32): u32 {
  const at = entryAt(t, node);
  const ref = holdersOf(at);
  if (ref & inlineBit) {
    const member = ref & memberMask;
    const slot = member & slotMask;
    const rest = swept(t, node, member, renumber);
    if (rest == member) return 0;
    if (slot == renumber && rest) setHolders(at, inlineBit | rest);
    else changePair(t, slotAt(t, slot), node, slot, member, rest);
    return rest ? 0 : 1;
  }
  const freed = sweepSet(t, node, ref, renumber);
  const set = setAt(t, ref);
  const left = setCount(set);
  if (left > 1) return freed;
  if (left) setHolders(at, inlineBit | load<u32>(membersAt(set)));
  dropHolders(t, ref);
  if (!left) removeEntry(t, node);
  return freed;
}

function sweepSide(t: Tree, index: u32): u32 {
  const side = entryAt(t, index);
  const slot = sideSlot(side);
  const s = slotAt(t, slot);
  if (load<u32>(side, 8) & sideExtra) {
    const node = entryAt(t, sideNode(side));
    if (kindOf(node) != kindNode || !(memberOf(t, holdersOf(node), slot) & extraBit)) removeEntry(t, index);
    return 0;
  }
  if (sideAge(side) == (s.routedAge & 7)) return 0;
  s.dead--;
  removeEntry(t, index);
  return 1;
}

function sweepBucket(t: Tree, bucket: u32, renumber: u32): u32 {
  let freed: u32 = 0;
  for (let index = bucket << 2, end = index + 4; index < end; index++) {
    const entry = entryAt(t, index);
    const kind = kindOf(entry);
    if (!kind) continue;
    if (kind == kindNode) {
      freed += sweepNode(t, index, renumber);
    } else if (kind == kindRecord) {
      const slot = load<u32>(entry, 12) & slotMask;
      const s = slotAt(t, slot);
      if (!recordTiers(s, entry)) {
        removeRecord(t, s, index);
        freed++;
      } else if (slot == renumber) {
        renumberRecord(s, entry);
      }
    } else {
      freed += sweepSide(t, index);
    }
  }
  return freed;
}

/** Sweeps up to `buckets` of those that are left, or until `budget` is used up; returns how much was freed. */
export function sweep(t: Tree, buckets: u32, budget: u32): u32 {
  let freed: u32 = 0;
  for (; t.sweepLeft && buckets && freed < budget; buckets--) {
    const bucket = t.sweepAt;
    t.sweepAt = bucket + 1 == t.buckets ? 0 : bucket + 1;
    t.sweepLeft--;
    freed += sweepBucket(t, bucket, none);
  }
  return freed;
}

/** A new age for a slot. Before three bits come round, everything dead is swept and, if need be, old ages are merged. */
export function nextAge(t: Tree, slot: u32): void {
  const s = slotAt(t, slot);
  if (!s.dead) s.oldest = s.least;
  if (s.age + 1 - s.oldest > 7) {
    t.sweepLeft = t.buckets;
    sweep(t, none, none);
    s.oldest = s.least;
  }
  if (s.age + 1 - s.least > 7) {
    for (let bucket: u32 = 0; bucket < t.buckets; bucket++) sweepBucket(t, bucket, slot);
    mergeAges(s);
  }
  s.age++;
}

/** The counts and bounds after everything of the slot was renumbered. */
function mergeAges(s: Slot): void {
  s.least = s.doubting ? s.age - 1 : s.age;
  s.oldest = s.least;
  if (s.doubting) return;
  const cells = changetype<usize>(s) + offsetof<Slot>("curFresh");
  for (let tier: usize = 0; tier < 16; tier += 4) {
    const fresh = cells + tier;
    store<u32>(fresh, load<u32>(fresh) + load<u32>(fresh, 16) + load<u32>(fresh, 32));
    store<u32>(fresh, 0, 16);
    store<u32>(fresh, 0, 32);
  }
  s.curBlocks += s.oldBlocks;
  s.curBoth += s.oldBoth;
  s.curRecords += s.oldRecords;
  s.oldBlocks = 0;
  s.oldBoth = 0;
  s.oldRecords = 0;
}

/** The slot of a member told by chained hash, or `none`. */
function directSlot(t: Tree, node: usize): u32 {
  const ref = holdersOf(node);
  if (ref & inlineBit) return ref & directBit ? ref & slotMask : none;
  const set = setAt(t, ref);
  for (let i: u32 = 0, count = setCount(set); i < count; i++) {
    const member = load<u32>(membersAt(set) + (<usize>i << 2));
    if (member & directBit) return member & slotMask;
  }
  return none;
}

/** How little an entry is worth: what is routed and at rest first, then by time since touched, then by depth. 0: stays. */
function worthless(t: Tree, index: u32): u64 {
  const entry = entryAt(t, index);
  const kind = kindOf(entry);
  let node = entry;
  let first: u64 = 1;
  if (kind == kindNode) {
    if (!t.anyDirect || directSlot(t, entry) == none) return 0;
  } else if (kind == kindRecord) {
    node = entryAt(t, recordNode(entry));
    if (!recordTiers(slotAt(t, load<u32>(entry, 12) & slotMask), entry)) return <u64>1 << 40;
  } else {
    if ((load<u32>(entry, 8) & (sideExtra | sideKept)) != sideKept || load<u16>(entry, 12)) return 0;
    if (sideAge(entry) != (slotAt(t, sideSlot(entry)).routedAge & 7)) return 0;
    node = entryAt(t, sideNode(entry));
    first = 2;
  }
  const age = (t.tick - load<u16>(node, 12)) & 0xffff;
  return (first << 32) | (<u64>age << 16) | <u64>load<u16>(node, 14);
}

function giveUp(t: Tree, index: u32): void {
  const entry = entryAt(t, index);
  const kind = kindOf(entry);
  const before = t.pairs;
  if (kind == kindRecord) {
    const slot = load<u32>(entry, 12) & slotMask;
    const s = slotAt(t, slot);
    if (recordTiers(s, entry)) withdraw(t, s, slot, index);
    else removeRecord(t, s, index);
  } else if (kind == kindNode) {
    for (;;) {
      const slot = directSlot(t, entry);
      if (slot == none) break;
      const s = slotAt(t, slot);
      const old = memberOf(t, holdersOf(entry), slot);
      const done = aliveTiers(s, old)
        ? dropDirect(t, s, index, slot, 15)
        : changePair(t, s, index, slot, old, stripped(t, s, index, slot, old));
      if (!done || kindOf(entry) != kindNode) break;
    }
  } else {
    endRouted(t, slotAt(t, sideSlot(entry)), index);
  }
  t.evicted += before - t.pairs;
}

const sampled: u32 = 8;
const bucketsLooked: u32 = 16;

/** Gives up the two least useful of a few entries, found at a chance place. */
function evictSome(t: Tree): void {
  // xorshift32 (Marsaglia).
  let random = t.random;
  random ^= random << 13;
  random ^= random >> 17;
  random ^= random << 5;
  t.random = random;
  let bucket = <u32>((<u64>random * <u64>t.buckets) >> 32);
  let worst: u64 = 0;
  let second: u64 = 0;
  let victim: u32 = none;
  let other: u32 = none;
  for (let looked: u32 = 0, seen: u32 = 0; looked < bucketsLooked && seen < sampled; looked++) {
    for (let i: u32 = 0; i < 4; i++) {
      const index = (bucket << 2) + i;
      if (!kindOf(entryAt(t, index))) continue;
      const score = worthless(t, index);
      if (!score) continue;
      seen++;
      if (score > worst) {
        other = victim;
        second = worst;
        victim = index;
        worst = score;
      } else if (score > second) {
        other = index;
        second = score;
      }
    }
    bucket = bucket + 1 == t.buckets ? 0 : bucket + 1;
  }
  if (victim != none) giveUp(t, victim);
  // The first may have taken this one's block along.
  if (other != none && worthless(t, other)) giveUp(t, other);
}

/** Gives up the sets that at most `limit` blocks have; the blocks' nodes stay, held by nobody. */
function dropSmallSets(t: Tree, limit: u32): void {
  for (let index: u32 = 0, end = t.buckets << 2; index < end; index++) {
    const entry = entryAt(t, index);
    if (kindOf(entry) != kindNode) continue;
    const ref = holdersOf(entry);
    if (!ref || ref & inlineBit) continue;
    const set = setAt(t, ref);
    if (setBlocks(set) > limit) continue;
    for (let i: u32 = 0, count = setCount(set); i < count; i++) {
      const member = load<u32>(membersAt(set) + (<usize>i << 2));
      account(t, slotAt(t, member & slotMask), member, -1);
    }
    dropHolders(t, ref);
    setHolders(entry, 0);
  }
}

@inline
function isUnheld(t: Tree, node: u32): bool {
  return !holdersOf(entryAt(t, node));
}

/** Frees the entries of nodes that nobody holds, then these. */
function dropUnheld(t: Tree): void {
  const end = t.buckets << 2;
  for (let index: u32 = 0; index < end; index++) {
    const entry = entryAt(t, index);
    const kind = kindOf(entry);
    if (kind == kindRecord) {
      const s = slotAt(t, load<u32>(entry, 12) & slotMask);
      if (isUnheld(t, recordNode(entry))) removeRecord(t, s, index);
    } else if (kind == kindSide && isUnheld(t, sideNode(entry))) {
      const s = slotAt(t, sideSlot(entry));
      if (!(load<u32>(entry, 8) & sideExtra)) {
        if (sideAge(entry) == (s.routedAge & 7)) unkeep(t, s, index);
        else s.dead--;
      }
      removeEntry(t, index);
    }
  }
  for (let index: u32 = 0; index < end; index++) {
    if (kindOf(entryAt(t, index)) == kindNode && isUnheld(t, index)) removeEntry(t, index);
  }
}

/**
 * Gives up blocks whose holders hardly any other block has, until half of the arena is free. Goes through the whole
 * table: a record names its node, not the other way round.
 */
function relieveArena(t: Tree): void {
  const before = t.pairs;
  for (let limit: u32 = 1; limit < 1 << 30 && t.freeUnits < (t.tops << orderMax) >> 1; limit <<= 2) {
    dropSmallSets(t, limit);
  }
  dropUnheld(t);
  t.evicted += before - t.pairs;
  t.arenaShort = 0;
}

/** To be called between two blocks, when no index is at hand. */
@inline
export function betweenBlocks(t: Tree): void {
  if (t.arenaShort) relieveArena(t);
}

/** Tries before a new pair is given up instead. */
const evictTries: u32 = 64;

/** Makes room for `entries`; as `betweenBlocks`. False when nothing can be given up. */
export function makeRoom(t: Tree, entries: u32): bool {
  betweenBlocks(t);
  for (let tries: u32 = 0; t.used + entries > t.usedMax; tries++) {
    if (tries == evictTries) return false;
    if (t.sweepLeft) sweep(t, 64, none);
    else evictSome(t);
  }
  return true;
}
