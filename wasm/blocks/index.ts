// Block tree: which slot holds which blocks on which tier. Bounded; see layout.ts for the memory.
import { extend, mixWord } from "./chain";
import {
  freshAt, headerBytes, magicNumber, none, orderMax, slotAt, slotBytes, slotMask, topUnits, Tree, unitShift,
} from "./layout";
import { beginWrite, endWrite, fence, step } from "./lock";
import { matchOnce } from "./match";
import { sweep } from "./room";
export { blocksHold, blocksKnows, blocksLocate, blocksRelease, blocksRemove, blocksStore } from "./tell";
export * from "./ages";
export * from "./claims";
export * from "./snapshot";

/**
 * How long a reader puts up with a writer before it answers that nothing matches: looks at a write under way, a few
 * nanoseconds each where a step of a write takes microseconds, and matches that a write spoilt.
 */
const looksMax: u32 = 1 << 15;
const spoiltMax: u32 = 64;

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
