// What a slot's engine told, out and in again.
import {
  directBit, entryAt, holdersOf, kindNode, kindOf, kindRecord, none, recordNode, Slot, slotAt, slotMask, Tree,
} from "./layout";
import { beginWrite, finish, pause } from "./lock";
import { aliveTiers } from "./pairs";
import { recordTiers, refsOf, setRecord } from "./records";
import { memberOf } from "./sets";
import { findNode, findRecord } from "./table";
import { holdBlock, storeBlock } from "./tell";

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
 * Writes what a slot's engine told in `look` entries from entry `from` on, at most `max` of 24 bytes: chained hash u64, engine
 * hash u64, references 4 × u8, u32 1 when told by engine hash. Writes the next entry to look at (u32, `none` at the end) to
 * `next` and returns how many.
 */
export function blocksHeld(base: usize, slot: u32, from: u32, look: u32, out: usize, max: u32, next: usize): u32 {
  const t = changetype<Tree>(base);
  const s = slotAt(t, min(slot, t.slots - 1));
  const entries = t.buckets << 2;
  const end = from < entries ? from + min(look, entries - from) : from;
  let written: u32 = 0;
  for (; from < end && written < max; from++) {
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
