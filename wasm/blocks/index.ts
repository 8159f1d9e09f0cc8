// Block tree: which slot holds which blocks on which tier. Bounded; see layout.ts for the memory.
import { extend, mixWord } from "./chain";
import {
  directBit, entryAt, freshAt, headerBytes, holdersOf, inlineBit, keysAt, kindNode, kindOf, kindRecord, magicNumber, none, oldAt,
  orderMax, recordNode, restAt, Slot, slotAt, slotBytes, slotMask, topUnits, touch, Tree, unitShift,
} from "./layout";
import { matchOnce } from "./match";
import { aliveTiers, dropDirect, gain, gained, noRoom, sureTiers } from "./pairs";
import {
  freeUnheld, livingRecord, nodeOf, recordTiers, refsOf, setRecord, tell, tellAgain, untell, withdraw,
} from "./records";
import { betweenBlocks, makeRoom, nextAge, sweep } from "./room";
import { claimBlock, settleBlock, trimKept } from "./routed";
import { memberOf, membersAt, setAt, setCount } from "./sets";
import { findNode, findRecord, warmNewNodes, warmNodesOfRecords, warmRecords } from "./table";

/**
 * How long a reader puts up with a writer before it answers that nothing matches: looks at a write under way, a few
 * nanoseconds each where a step of a write takes microseconds, and matches that a write spoilt.
 */
const looksMax: u32 = 1 << 15;
const spoiltMax: u32 = 64;
/** Blocks written between two moments in which readers may look. */
const step: u32 = 32;
/** Entries one write of a block needs at most: node, record and extra. */
const entriesMax: u32 = 3;
/** Buckets swept for each block written, while anything is dead. */
const sweptPerBlock: u32 = 4;

/** Orders plain loads and stores around it, which an atomic load or store alone does not. `at` is the caller's own. */
@inline
function fence(at: usize): void {
  atomic.add<u32>(at, 0);
}

@inline
function beginWrite(t: Tree): void {
  atomic.add<u32>(changetype<usize>(t), 1);
  fence(changetype<usize>(t) + offsetof<Tree>("fenceWord"));
}

@inline
function endWrite(t: Tree): void {
  atomic.add<u32>(changetype<usize>(t), 1);
}

/** Between the blocks of a long write: readers may look. */
@inline
function pause(t: Tree, i: u32): void {
  if ((i & (step - 1)) != step - 1) return;
  if (t.sweepLeft) sweep(t, step * sweptPerBlock, none);
  endWrite(t);
  beginWrite(t);
}

@inline
function finish(t: Tree): void {
  if (t.sweepLeft) sweep(t, step * sweptPerBlock, none);
  endWrite(t);
}

/** Keeps what was loaded ahead from being left out. */
@inline
function warm(t: Tree, loaded: u32): void {
  t.warmWord = loaded;
}

@inline
function aligned(at: usize): u32 {
  return <u32>((at + 63) & ~63);
}

/**
 * Lays an empty tree into `bytes` at `base` (64-byte aligned), for `slots` slots. Memory that never held a tree must be
 * zeros. A twentieth is for sets of holders, the rest for the table. Returns the table's entries; 0 when the region is too
 * small.
 */
export function blocksInit(base: usize, bytes: u32, slots: u32, seed: u32): u32 {
  const fixed = headerBytes + <usize>slots * slotBytes;
  const topBytes = (<usize>topUnits << unitShift) + topUnits + topUnits * 2;
  if (slots > slotMask + 1 || <usize>bytes < fixed + topBytes + 4096) return 0;
  const room = <usize>bytes - fixed - 320;
  const tops = max<u32>(1, <u32>(room / 20 / topBytes));
  const buckets = min<u32>(<u32>((room - <usize>tops * topBytes) / 65), 1 << 25);
  const t = changetype<Tree>(base);
  const used = t.magic == magicNumber;
  if (t.seq & 1) endWrite(t); // a writer that died at work
  beginWrite(t);
  memory.fill(base + 4, 0, fixed - 4);
  t.slots = slots;
  t.buckets = buckets;
  t.usedMax = <u32>((<u64>buckets * 4 * 85) / 100);
  t.tops = tops;
  t.freeUnits = tops << orderMax;
  t.reserveUnits = t.freeUnits >> 2;
  t.heads = t.freeUnits >> 1;
  t.tickEvery = max<u32>(64, t.usedMax >> 8);
  t.random = seed | 1;
  t.slotsAt = <u32>(base + headerBytes);
  t.headsAt = aligned(base + fixed);
  t.arenaAt = aligned(<usize>t.headsAt + (<usize>t.heads << 2));
  t.mapAt = t.arenaAt + (t.freeUnits << unitShift);
  t.overflowAt = aligned(<usize>t.mapAt + t.freeUnits);
  t.tableAt = aligned(<usize>t.overflowAt + buckets);
  if (used) {
    memory.fill(t.headsAt, 0, <usize>t.heads << 2);
    memory.fill(t.mapAt, 0, t.freeUnits);
    memory.fill(t.overflowAt, 0, buckets);
    memory.fill(t.tableAt, 0, <usize>buckets << 6);
  }
  t.magic = magicNumber;
  endWrite(t);
  return buckets << 2;
}

/** The chained state after `count` tokens. */
export function blocksExtend(state: u64, tokens: usize, count: u32): u64 {
  return extend(state, tokens, count);
}

/** The chained state after an extra string of hash `word`. */
export function blocksMix(state: u64, word: u64): u64 {
  return mixWord(state, word);
}

/** Writes the state after each `blockTokens` of `blocks` × `blockTokens` tokens to `out`; returns the last. */
export function blocksChain(state: u64, tokens: usize, blocks: u32, blockTokens: u32, out: usize): u64 {
  for (let i: u32 = 0; i < blocks; i++) {
    state = extend(state, tokens, blockTokens);
    tokens += <usize>blockTokens << 2;
    store<u64>(out + (<usize>i << 3), state);
  }
  return state;
}

/** As `matchOnce`, for any thread. -1, with zeros, when the writer left no quiet moment. */
export function blocksMatch(base: usize, hashes: usize, n: u32, out: usize, slots: u32): i32 {
  const t = changetype<Tree>(base);
  for (let looks: u32 = 0, spoilt: u32 = 0; looks < looksMax && spoilt < spoiltMax;) {
    const seq = atomic.load<u32>(base);
    if (seq & 1) {
      looks++;
      continue;
    }
    const most = matchOnce(t, hashes, n, out, slots);
    fence(out + <usize>slots * 24);
    if (atomic.load<u32>(base) == seq) return most;
    spoilt++;
  }
  memory.fill(out, 0, <usize>slots * 20);
  return -1;
}

/** One block of `blocksStore`. True when the slot did not have it on the tier. */
function storeBlock(t: Tree, s: Slot, slot: u32, tier: u32, hash: u64, key: u64, depth: u32): bool {
  if (!makeRoom(t, entriesMax)) {
    t.evicted++;
    return false;
  }
  let index = livingRecord(t, s, hash, slot);
  if (index != none) {
    const node = entryAt(t, recordNode(entryAt(t, index)));
    if (load<u64>(node) != key) {
      // The engine's hash means another block now.
      withdraw(t, s, slot, index);
      index = none;
    } else {
      touch(t, node);
    }
  }
  const result = index == none
    ? tell(t, s, slot, hash, nodeOf(t, key, depth), tier)
    : tellAgain(t, s, slot, index, tier);
  if (result == noRoom) t.evicted++;
  return result == gained;
}

/**
 * Blocks a slot's engine told: hashes u64 at `hashes`, `blockTokens` u32 each at `tokens`. The chain goes on from the
 * block `parent` when `hasParent`, else from the state `parent`. `extras` is 0, or the address of a number of words
 * (u32) a block, then the words (u64) to mix in before its tokens. Writes the chained hashes of blocks new on the tier to
 * `changed` and returns their number; -1, and nothing done, when the parent is unknown.
 */
export function blocksStore(
  base: usize, slot: u32, tier: u32, hashes: usize, n: u32, hasParent: bool, parent: u64, tokens: usize, blockTokens: u32,
  extras: usize, changed: usize,
): i32 {
  const t = changetype<Tree>(base);
  if (slot >= t.slots || tier > 3) return -1;
  const s = slotAt(t, slot);
  let state = parent;
  let depth: u32 = 0;
  beginWrite(t);
  if (hasParent) {
    const index = livingRecord(t, s, parent, slot);
    if (index == none) {
      endWrite(t);
      return -1;
    }
    const node = entryAt(t, recordNode(entryAt(t, index)));
    state = load<u64>(node);
    depth = <u32>load<u16>(node, 14) + 1;
    touch(t, node);
  }
  let words = extras + ((<usize>n + 1) >> 1 << 3);
  let out = changed;
  const keys = base + keysAt;
  for (let i: u32 = 0; i < n; i++) {
    const at = i & (step - 1);
    if (!at) {
      const count = min(step, n - i);
      warm(t, warmRecords(t, hashes + (<usize>i << 3), count, slot));
      for (let j: u32 = 0; j < count; j++) {
        if (extras) {
          for (let k = load<u32>(extras + (<usize>(i + j) << 2)); k; k--, words += 8) {
            state = mixWord(state, load<u64>(words));
          }
        }
        state = extend(state, tokens, blockTokens);
        tokens += <usize>blockTokens << 2;
        store<u64>(keys + (<usize>j << 3), state);
      }
      warm(t, warmNewNodes(t, keys, count));
    }
    const key = load<u64>(keys + (<usize>at << 3));
    if (storeBlock(t, s, slot, tier, load<u64>(hashes + (<usize>i << 3)), key, depth + i)) {
      store<u64>(out, key);
      out += 8;
    }
    pause(t, i);
  }
  finish(t);
  return <i32>((out - changed) >> 3);
}

/** Adds a tier to known blocks. Writes how many were known (u32) to `known`, and changes as `blocksStore`. */
export function blocksLocate(base: usize, slot: u32, tier: u32, hashes: usize, n: u32, known: usize, changed: usize): i32 {
  const t = changetype<Tree>(base);
  store<u32>(known, 0);
  if (slot >= t.slots || tier > 3) return 0;
  const s = slotAt(t, slot);
  let found: u32 = 0;
  let out = changed;
  beginWrite(t);
  for (let i: u32 = 0; i < n; i++) {
    const roomy = makeRoom(t, 1);
    const index = livingRecord(t, s, load<u64>(hashes + (<usize>i << 3)), slot);
    if (index != none && roomy) {
      found++;
      const node = entryAt(t, recordNode(entryAt(t, index)));
      const result = tellAgain(t, s, slot, index, tier);
      if (result == gained) {
        store<u64>(out, load<u64>(node));
        out += 8;
      } else if (result == noRoom) {
        t.evicted++;
      }
    }
    pause(t, i);
  }
  finish(t);
  store<u32>(known, found);
  return <i32>((out - changed) >> 3);
}

/** Takes a reference of a tier from known blocks. As `blocksLocate`, `known` counting those known on the tier. */
export function blocksRemove(base: usize, slot: u32, tier: u32, hashes: usize, n: u32, known: usize, changed: usize): i32 {
  const t = changetype<Tree>(base);
  store<u32>(known, 0);
  if (slot >= t.slots || tier > 3) return 0;
  const s = slotAt(t, slot);
  let found: u32 = 0;
  let out = changed;
  beginWrite(t);
  for (let i: u32 = 0; i < n; i++) {
    betweenBlocks(t);
    if (!(i & (step - 1))) {
      const count = min(step, n - i);
      warm(t, warmRecords(t, hashes + (<usize>i << 3), count, slot));
      warm(t, warmNodesOfRecords(t, hashes + (<usize>i << 3), count, slot));
    }
    const index = livingRecord(t, s, load<u64>(hashes + (<usize>i << 3)), slot);
    if (index != none) {
      const key = load<u64>(entryAt(t, recordNode(entryAt(t, index))));
      const result = untell(t, s, slot, index, tier);
      if (result) found++;
      if (result == 1) {
        store<u64>(out, key);
        out += 8;
      }
    }
    pause(t, i);
  }
  finish(t);
  store<u32>(known, found);
  return <i32>((out - changed) >> 3);
}

/** Whether a slot knows an engine hash. Writer's thread only. */
export function blocksKnows(base: usize, slot: u32, hash: u64): bool {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return false;
  const index = findRecord(t, hash, slot);
  return index != none && recordTiers(slotAt(t, slot), entryAt(t, index)) != 0;
}

function holdBlock(t: Tree, s: Slot, slot: u32, tier: u32, key: u64, depth: u32): bool {
  if (!makeRoom(t, entriesMax)) {
    t.evicted++;
    return false;
  }
  const node = nodeOf(t, key, depth);
  if (sureTiers(s, memberOf(t, holdersOf(entryAt(t, node)), slot)) & (1 << tier)) return false;
  t.anyDirect = 1;
  const result = gain(t, s, node, slot, tier, directBit);
  if (result == noRoom) {
    freeUnheld(t, node);
    t.evicted++;
  }
  return result == gained;
}

/** Engine evidence by chained hash, one reference at most. Returns how many blocks are new on the tier. */
export function blocksHold(base: usize, slot: u32, tier: u32, hashes: usize, n: u32): u32 {
  const t = changetype<Tree>(base);
  if (slot >= t.slots || tier > 3) return 0;
  const s = slotAt(t, slot);
  let changed: u32 = 0;
  beginWrite(t);
  for (let i: u32 = 0; i < n; i++) {
    if (holdBlock(t, s, slot, tier, load<u64>(hashes + (<usize>i << 3)), i)) changed++;
    pause(t, i);
  }
  finish(t);
  return changed;
}

export function blocksRelease(base: usize, slot: u32, tier: u32, hashes: usize, n: u32): u32 {
  const t = changetype<Tree>(base);
  if (slot >= t.slots || tier > 3) return 0;
  const s = slotAt(t, slot);
  let changed: u32 = 0;
  beginWrite(t);
  for (let i: u32 = 0; i < n; i++) {
    betweenBlocks(t);
    const node = findNode(t, load<u64>(hashes + (<usize>i << 3)));
    if (node != none && dropDirect(t, s, node, slot, 1 << tier)) changed++;
    pause(t, i);
  }
  finish(t);
  return changed;
}

@inline
function clearCells(at: usize): void {
  memory.fill(at, 0, 16);
}

export function blocksClear(base: usize, slot: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  const s = slotAt(t, slot);
  const held = s.curBlocks + s.oldBlocks;
  const records = s.curRecords + s.oldRecords;
  if (!(held | records | s.routed)) {
    s.doubting = 0;
    return;
  }
  beginWrite(t);
  nextAge(t, slot);
  t.pairs -= <u64>(s.curBlocks + s.oldBlocks + s.routed - s.curBoth - s.oldBoth);
  s.dead += s.curBlocks + s.oldBlocks + s.curRecords + s.oldRecords + 2 * s.routed;
  s.least = s.age;
  s.routedAge++;
  s.doubting = 0;
  s.newest = 0;
  s.last = 0;
  s.kept = 0;
  s.routed = 0;
  memory.fill(changetype<usize>(s) + offsetof<Slot>("curBlocks"), 0, 24);
  memory.fill(changetype<usize>(s) + freshAt, 0, 48);
  t.sweepLeft = t.buckets;
  endWrite(t);
}

export function blocksDoubt(base: usize, slot: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  const s = slotAt(t, slot);
  // Nothing was told since the last doubt.
  if (s.doubting && !(s.curBlocks | s.curRecords)) return;
  beginWrite(t);
  nextAge(t, slot);
  s.doubting = 1;
  s.oldBlocks += s.curBlocks;
  s.oldBoth += s.curBoth;
  s.oldRecords += s.curRecords;
  s.curBlocks = 0;
  s.curBoth = 0;
  s.curRecords = 0;
  const cells = changetype<usize>(s) + freshAt;
  for (let tier: usize = 0; tier < 16; tier += 4) {
    const cell = cells + tier;
    store<u32>(cell, load<u32>(cell, 32) + load<u32>(cell) + load<u32>(cell, 16), 32);
  }
  clearCells(cells);
  clearCells(cells + 16);
  endWrite(t);
}

export function blocksTrust(base: usize, slot: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  beginWrite(t);
  slotAt(t, slot).doubting = 0;
  endWrite(t);
}

export function blocksDropDoubted(base: usize, slot: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  const s = slotAt(t, slot);
  if (!s.doubting) return;
  beginWrite(t);
  t.pairs -= <u64>(s.oldBlocks - s.oldBoth);
  s.dead += s.oldBlocks + s.oldRecords;
  s.oldBlocks = 0;
  s.oldBoth = 0;
  s.oldRecords = 0;
  s.least = s.age;
  s.doubting = 0;
  clearCells(changetype<usize>(s) + restAt);
  clearCells(changetype<usize>(s) + oldAt);
  t.sweepLeft = t.buckets;
  endWrite(t);
}

/** Claims blocks of a prompt from its beginning on, the first of them at depth `depth`. */
export function blocksClaim(base: usize, slot: u32, hashes: usize, n: u32, depth: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  const s = slotAt(t, slot);
  beginWrite(t);
  for (let i: u32 = 0; i < n; i++) {
    claimBlock(t, s, slot, load<u64>(hashes + (<usize>i << 3)), depth + i);
    pause(t, i);
  }
  finish(t);
}

/** Ends claims, the deepest block first, so that a path's end is the first to go. */
export function blocksSettle(base: usize, slot: u32, hashes: usize, n: u32, keep: bool): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  const s = slotAt(t, slot);
  keep = keep && s.capacity > 0;
  beginWrite(t);
  for (let i = n; i; i--) {
    betweenBlocks(t);
    settleBlock(t, s, slot, load<u64>(hashes + (<usize>(i - 1) << 3)), keep);
    pause(t, n - i);
  }
  t.trimmed += trimKept(t, s, s.capacity);
  finish(t);
}

export function blocksForgetRouted(base: usize, slot: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  beginWrite(t);
  trimKept(t, slotAt(t, slot), 0);
  endWrite(t);
}

export function blocksSetCapacity(base: usize, slot: u32, blocks: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  const s = slotAt(t, slot);
  beginWrite(t);
  s.capacity = blocks;
  t.trimmed += trimKept(t, s, blocks);
  endWrite(t);
}

/** Frees up to about `budget` dead pairs and records; returns how many. */
export function blocksReap(base: usize, budget: u32): u32 {
  const t = changetype<Tree>(base);
  if (!t.sweepLeft) return 0;
  beginWrite(t);
  const freed = sweep(t, none, budget);
  endWrite(t);
  return freed;
}

/** Writes f64: blocks by tier (4), blocks, doubted, routed. */
export function blocksSlotStats(base: usize, slot: u32, out: usize): void {
  const t = changetype<Tree>(base);
  const s = slotAt(t, min(slot, t.slots - 1));
  const cells = changetype<usize>(s) + freshAt;
  for (let tier: usize = 0; tier < 4; tier++) {
    const cell = cells + (tier << 2);
    store<f64>(out + (tier << 3), <f64>(load<u32>(cell) + load<u32>(cell, 16) + load<u32>(cell, 32)));
  }
  store<f64>(out, <f64>(s.curBlocks + s.oldBlocks), 32);
  store<f64>(out, s.doubting ? <f64>s.oldBlocks : 0, 40);
  store<f64>(out, <f64>s.routed, 48);
}

/** Writes f64: blocks, pairs, sets, entries in use, entries that may be, units of the arena in use and in all, evicted, trimmed. */
export function blocksStats(base: usize, out: usize): void {
  const t = changetype<Tree>(base);
  store<f64>(out, <f64>t.blocks);
  store<f64>(out, <f64>t.pairs, 8);
  store<f64>(out, <f64>t.sets, 16);
  store<f64>(out, <f64>t.used, 24);
  store<f64>(out, <f64>t.usedMax, 32);
  store<f64>(out, <f64>((t.tops << orderMax) - t.freeUnits), 40);
  store<f64>(out, <f64>(t.tops << orderMax), 48);
  store<f64>(out, <f64>t.evicted, 56);
  store<f64>(out, <f64>t.trimmed, 64);
}

@inline
function writeHeld(out: usize, key: u64, engineHash: u64, refs: u32, told: u32): void {
  store<u64>(out, key);
  store<u64>(out, engineHash, 8);
  store<u32>(out, refs, 16);
  store<u32>(out, told, 20);
}

/** The tiers a slot was told of by chained hash. */
function directTiers(t: Tree, s: Slot, node: usize, slot: u32): u32 {
  const member = memberOf(t, holdersOf(node), slot);
  return member & directBit ? aliveTiers(s, member) : 0;
}

/**
 * Writes what a slot's engine told from entry `from` on, at most `max` of 24 bytes: chained hash u64, engine hash u64,
 * references 4 × u8, u32 1 when told by engine hash. Writes the next entry to look at (u32, `none` at the end) to `next`
 * and returns how many.
 */
export function blocksHeld(base: usize, slot: u32, from: u32, out: usize, max: u32, next: usize): u32 {
  const t = changetype<Tree>(base);
  const s = slotAt(t, min(slot, t.slots - 1));
  const entries = t.buckets << 2;
  let written: u32 = 0;
  for (; from < entries && written < max; from++) {
    const entry = entryAt(t, from);
    const kind = kindOf(entry);
    const at = out + <usize>written * 24;
    if (kind == kindNode) {
      const tiers = directTiers(t, s, entry, slot);
      if (!tiers) continue;
      writeHeld(at, load<u64>(entry), 0, (tiers & 1) | ((tiers & 2) << 7) | ((tiers & 4) << 14) | ((tiers & 8) << 21), 0);
      written++;
    } else if (kind == kindRecord && (load<u32>(entry, 12) & slotMask) == slot) {
      const tiers = recordTiers(s, entry);
      if (!tiers) continue;
      const high = load<u32>(entry, 12);
      let refs: u32 = 0;
      for (let tier: u32 = 0; tier < 4; tier++) {
        if (tiers & (1 << tier)) refs |= refsOf(high, tier) << (tier << 3);
      }
      writeHeld(at, load<u64>(entryAt(t, recordNode(entry))), load<u64>(entry), refs, 1);
      written++;
    }
  }
  store<u32>(next, from < entries ? from : none);
  return written;
}

/** Takes over what `blocksHeld` wrote; returns how many found room. */
export function blocksRestore(base: usize, slot: u32, held: usize, n: u32): u32 {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return 0;
  const s = slotAt(t, slot);
  let restored: u32 = 0;
  beginWrite(t);
  for (let i: u32 = 0; i < n; i++, held += 24) {
    const key = load<u64>(held);
    const hash = load<u64>(held, 8);
    const byHash = load<u32>(held, 20) != 0;
    for (let tier: u32 = 0; tier < 4; tier++) {
      const refs: u32 = load<u8>(held + tier, 16);
      if (!refs) continue;
      if (byHash) {
        storeBlock(t, s, slot, tier, hash, key, 0);
        const index = findRecord(t, hash, slot);
        if (index != none) setRecord(entryAt(t, index), tier, refs);
      } else {
        holdBlock(t, s, slot, tier, key, 0);
      }
    }
    const node = findNode(t, key);
    if (node != none && aliveTiers(s, memberOf(t, holdersOf(entryAt(t, node)), slot))) restored++;
    pause(t, i);
  }
  finish(t);
  return restored;
}
