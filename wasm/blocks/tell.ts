// What engines tell: blocks stored, moved and removed, by their own hashes or by chained hash.
import { extend, mixWord } from "./chain";
import { directBit, entryAt, holdersOf, keysAt, none, recordNode, Slot, slotAt, touch, Tree } from "./layout";
import { beginWrite, endWrite, finish, pause, step, warm } from "./lock";
import { dropDirect, gain, gained, noRoom, sureTiers } from "./pairs";
import { freeUnheld, livingRecord, nodeOf, recordTiers, tell, tellAgain, untell, withdraw } from "./records";
import { betweenBlocks, makeRoom } from "./room";
import { memberOf } from "./sets";
import { findNode, findRecord, warmNewNodes, warmNodesOfRecords, warmRecords } from "./table";

/** Entries one write of a block needs at most: node, record and extra. */
const entriesMax: u32 = 3;

/** One block of `blocksStore`. True when the slot did not have it on the tier. */
export function storeBlock(t: Tree, s: Slot, slot: u32, tier: u32, hash: u64, key: u64, depth: u32): bool {
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

export function holdBlock(t: Tree, s: Slot, slot: u32, tier: u32, key: u64, depth: u32): bool {
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
