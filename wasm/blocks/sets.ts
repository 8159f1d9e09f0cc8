// Sets of holders: shared by the blocks that have the same, counted by them, in an arena of powers of two.
//
//   a set      hash u32, blocks u32, next of its chain u32, members u16, order u8 · members u32 …
//   the map    one byte a unit: at the first unit of a piece its order, + 128 when it is free
import { buildAt, inlineBit, none, orderMax, slotMask, topUnits, Tree, unitShift } from "./layout";

const setHeader: usize = 16;
const freeMark: u8 = 128;
const memberMask: u32 = inlineBit - 1;
/** What `changeHolders` gives when the arena is full. */
export const failed: u32 = none;

@inline
function unitAt(t: Tree, unit: u32): usize {
  return <usize>t.arenaAt + (<usize>unit << unitShift);
}

@inline
function markAt(t: Tree, unit: u32): usize {
  return <usize>t.mapAt + unit;
}

@inline
function freeListAt(t: Tree, order: u32): usize {
  return changetype<usize>(t) + offsetof<Tree>("free0") + (<usize>order << 2);
}

/** Links are unit + 1; a free piece begins with its next and its previous. */
function pushFree(t: Tree, unit: u32, order: u32): void {
  const list = freeListAt(t, order);
  const next = load<u32>(list);
  store<u32>(unitAt(t, unit), next);
  store<u32>(unitAt(t, unit), 0, 4);
  if (next) store<u32>(unitAt(t, next - 1), unit + 1, 4);
  store<u32>(list, unit + 1);
  store<u8>(markAt(t, unit), freeMark | <u8>order);
}

function unlinkFree(t: Tree, unit: u32, order: u32): void {
  const next = load<u32>(unitAt(t, unit));
  const previous = load<u32>(unitAt(t, unit), 4);
  if (next) store<u32>(unitAt(t, next - 1), previous, 4);
  if (previous) store<u32>(unitAt(t, previous - 1), next);
  else store<u32>(freeListAt(t, order), next);
  store<u8>(markAt(t, unit), 0);
}

function takePiece(t: Tree, order: u32): u32 {
  let at = order;
  while (at <= orderMax && !load<u32>(freeListAt(t, at))) at++;
  let unit: u32;
  if (at <= orderMax) {
    unit = load<u32>(freeListAt(t, at)) - 1;
    unlinkFree(t, unit, at);
  } else {
    if (t.topsUsed == t.tops) return none;
    unit = t.topsUsed++ << orderMax;
    at = orderMax;
  }
  while (at > order) {
    at--;
    pushFree(t, unit + (1 << at), at);
  }
  t.freeUnits -= 1 << order;
  return unit;
}

function freePiece(t: Tree, unit: u32, order: u32): void {
  t.freeUnits += 1 << order;
  for (; order < orderMax; order++) {
    const buddy = unit ^ (1 << order);
    if (load<u8>(markAt(t, buddy)) != (freeMark | <u8>order)) break;
    unlinkFree(t, buddy, order);
    unit = min(unit, buddy);
  }
  pushFree(t, unit, order);
}

/** Address of the set `id`, a unit + 1. */
@inline
export function setAt(t: Tree, id: u32): usize {
  return unitAt(t, id - 1);
}

@inline
export function setCount(set: usize): u32 {
  return load<u16>(set, 12);
}

@inline
export function setBlocks(set: usize): u32 {
  return load<u32>(set, 4);
}

@inline
export function membersAt(set: usize): usize {
  return set + setHeader;
}

@inline
function headOf(t: Tree, hash: u32): usize {
  return <usize>t.headsAt + (<usize>((<u64>hash * <u64>t.heads) >> 32) << 2);
}

function contentHash(at: usize, count: u32): u32 {
  let hash: u64 = count;
  for (let i: u32 = 0; i < count; i++) {
    hash = (hash ^ load<u32>(at + (<usize>i << 2))) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 29;
  }
  return <u32>(hash >> 32);
}

function linkSet(t: Tree, id: u32, hash: u32): void {
  const head = headOf(t, hash);
  store<u32>(setAt(t, id), hash);
  store<u32>(setAt(t, id), load<u32>(head), 8);
  store<u32>(head, id);
}

function unlinkSet(t: Tree, id: u32): void {
  let at = headOf(t, load<u32>(setAt(t, id)));
  while (load<u32>(at) != id) at = setAt(t, load<u32>(at)) + 8;
  store<u32>(at, load<u32>(setAt(t, id), 8));
}

function findSet(t: Tree, hash: u32, content: usize, count: u32): u32 {
  for (let id = load<u32>(headOf(t, hash)); id; id = load<u32>(setAt(t, id), 8)) {
    const set = setAt(t, id);
    if (load<u32>(set) != hash || setCount(set) != count) continue;
    if (memory.compare(membersAt(set), content, <usize>count << 2) == 0) return id;
  }
  return 0;
}

@inline
function orderOf(count: u32): u32 {
  const bytes = <u32>setHeader + (count << 2);
  return bytes <= 32 ? 0 : 27 - clz<u32>(bytes - 1);
}

/** One block fewer has the set; true when that was the last and the set is gone. */
function dropSet(t: Tree, id: u32): bool {
  const set = setAt(t, id);
  const blocks = setBlocks(set) - 1;
  store<u32>(set, blocks, 4);
  if (blocks) return false;
  if (t.lastRef == id || t.lastTo == id) t.lastRef = 0;
  unlinkSet(t, id);
  t.sets--;
  freePiece(t, id - 1, load<u8>(set, 14));
  return true;
}

@inline
export function dropHolders(t: Tree, ref: u32): void {
  if (ref && !(ref & inlineBit)) dropSet(t, ref);
}

/** The member of `slot`, or 0. */
export function memberOf(t: Tree, ref: u32, slot: u32): u32 {
  if (ref & inlineBit) {
    const member = ref & memberMask;
    return (member & slotMask) == slot ? member : 0;
  }
  if (!ref) return 0;
  const set = setAt(t, ref);
  const at = membersAt(set);
  let low: u32 = 0;
  let high = setCount(set);
  while (low < high) {
    const middle = (low + high) >> 1;
    const member = load<u32>(at + (<usize>middle << 2));
    if ((member & slotMask) == slot) return member;
    if ((member & slotMask) < slot) low = middle + 1;
    else high = middle;
  }
  return 0;
}

/** Writes the members of `ref`, that of `slot` replaced by `member` (0: left out), to the build area. */
function build(t: Tree, ref: u32, slot: u32, member: u32): u32 {
  const out = changetype<usize>(t) + buildAt;
  if (ref & inlineBit) {
    const other = ref & memberMask;
    const first = (other & slotMask) < slot;
    store<u32>(out, first ? other : member);
    store<u32>(out, first ? member : other, 4);
    return 2;
  }
  const set = setAt(t, ref);
  const from = membersAt(set);
  const count = setCount(set);
  let low: u32 = 0;
  while (low < count && (load<u32>(from + (<usize>low << 2)) & slotMask) < slot) low++;
  const has = low < count && (load<u32>(from + (<usize>low << 2)) & slotMask) == slot;
  memory.copy(out, from, <usize>low << 2);
  let to = out + (<usize>low << 2);
  if (member) {
    store<u32>(to, member);
    to += 4;
  }
  const rest = low + (has ? 1 : 0);
  memory.copy(to, from + (<usize>rest << 2), <usize>(count - rest) << 2);
  return count + (member ? 1 : 0) - (has ? 1 : 0);
}

/** A set of what is in the build area, for one block more; 0 when the arena is full. */
function setOfBuilt(t: Tree, count: u32, hash: u32, reserve: u32): u32 {
  const order = orderOf(count);
  const unit = t.freeUnits < (1 << order) + reserve ? none : takePiece(t, order);
  if (unit == none || t.freeUnits < t.reserveUnits >> 1) t.arenaShort = 1;
  if (unit == none) return 0;
  const id = unit + 1;
  const set = setAt(t, id);
  store<u8>(markAt(t, unit), <u8>order);
  store<u32>(set, 1, 4);
  store<u32>(set, count | (order << 16), 12);
  memory.copy(membersAt(set), changetype<usize>(t) + buildAt, <usize>count << 2);
  linkSet(t, id, hash);
  t.sets++;
  return id;
}

/** Gives a set of one block, or all blocks of a set, what is in the build area; it has room. */
function rewrite(t: Tree, id: u32, count: u32, hash: u32): void {
  const set = setAt(t, id);
  if (t.lastRef == id || t.lastTo == id) t.lastRef = 0;
  unlinkSet(t, id);
  store<u16>(set, <u16>count, 12);
  memory.copy(membersAt(set), changetype<usize>(t) + buildAt, <usize>count << 2);
  linkSet(t, id, hash);
}

/**
 * A block's holders `ref` with the member `old` of `slot` (0: none) replaced by `member` (0: removed). Takes the block's
 * part in `ref` and gives one in the result; or gives `failed` and leaves all as it was.
 */
export function changeHolders(t: Tree, ref: u32, slot: u32, old: u32, member: u32): u32 {
  if (!ref || ((ref & inlineBit) && (ref & slotMask) == slot)) return member ? inlineBit | member : 0;
  if (ref == t.lastRef && old == t.lastOld && member == t.lastNew) {
    const to = t.lastTo;
    if (!(to & inlineBit)) store<u32>(setAt(t, to), setBlocks(setAt(t, to)) + 1, 4);
    dropHolders(t, ref);
    return to;
  }
  const built = changetype<usize>(t) + buildAt;
  const count = build(t, ref, slot, member);
  let to: u32 = 0;
  if (count == 1) {
    to = inlineBit | load<u32>(built);
  } else if (count) {
    const hash = contentHash(built, count);
    to = findSet(t, hash, built, count);
    if (to) {
      store<u32>(setAt(t, to), setBlocks(setAt(t, to)) + 1, 4);
    } else {
      const own = !(ref & inlineBit) && setBlocks(setAt(t, ref)) == 1;
      if (own && orderOf(count) == load<u8>(setAt(t, ref), 14)) {
        rewrite(t, ref, count, hash);
        return ref;
      }
      to = setOfBuilt(t, count, hash, member ? t.reserveUnits : 0);
      if (!to) return failed;
    }
  }
  const gone = !(ref & inlineBit) && dropSet(t, ref);
  if (!gone && to) {
    t.lastRef = ref;
    t.lastOld = old;
    t.lastNew = member;
    t.lastTo = to;
  }
  return to;
}

/** Replaces the members of a set for all its blocks by `count` ones in the build area, at most as many as before. */
export function shrinkSet(t: Tree, id: u32, count: u32): void {
  rewrite(t, id, count, contentHash(changetype<usize>(t) + buildAt, count));
}
