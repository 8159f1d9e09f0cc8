// Routed evidence: claims of open requests, and what they left, kept by recency up to the slot's capacity.
import {
  entryAt, holdersOf, kindSide, none, routedAgeShift, routedBit, sideAge, sideKept, Slot, touch, Tree,
} from "./layout";
import { changePair, endRouted, isRouted, keepNewest, stripped, sureTiers, unkeep } from "./pairs";
import { freeUnheld, nodeOf } from "./records";
import { betweenBlocks, makeRoom } from "./room";
import { memberOf } from "./sets";
import { addSide, findNode, findSide, removeEntry } from "./table";

@inline
function claimsOf(side: usize): u32 {
  return load<u16>(side, 12);
}

/** The living routed entry of a pair, or `none`; a dead one is freed. */
function livingSide(t: Tree, s: Slot, node: u32, slot: u32): u32 {
  const index = findSide(t, node, slot, 0);
  if (index == none || sideAge(entryAt(t, index)) == (s.routedAge & 7)) return index;
  s.dead--;
  removeEntry(t, index);
  return none;
}

/** One more open request at the slot has the block, `depth` blocks into its prompt. */
export function claimBlock(t: Tree, s: Slot, slot: u32, key: u64, depth: u32): void {
  if (!makeRoom(t, 2)) {
    t.evicted++;
    return;
  }
  const node = nodeOf(t, key, depth);
  const at = entryAt(t, node);
  const old = memberOf(t, holdersOf(at), slot);
  if (sureTiers(s, old)) return;
  let index = livingSide(t, s, node, slot);
  if (index != none) {
    const side = entryAt(t, index);
    if (claimsOf(side) != 0xffff) store<u16>(side, <u16>(claimsOf(side) + 1), 12);
    return;
  }
  const bits = routedBit | ((s.routedAge & 7) << routedAgeShift);
  const rest = old ? stripped(t, s, node, slot, old) : 0;
  if (!changePair(t, s, node, slot, old, (rest ? rest & ~bits : slot) | bits)) {
    freeUnheld(t, node);
    t.evicted++;
    return;
  }
  index = addSide(t, node, slot, 0);
  store<u32>(entryAt(t, index), kindSide, 8);
  store<u32>(entryAt(t, index), 1 | ((s.routedAge & 7) << 16), 12);
}

/** Ends a claim on a block. `keep` makes it the slot's most recent. */
export function settleBlock(t: Tree, s: Slot, slot: u32, key: u64, keep: bool): void {
  const node = findNode(t, key);
  if (node == none || !isRouted(s, memberOf(t, holdersOf(entryAt(t, node)), slot))) return;
  const index = livingSide(t, s, node, slot);
  if (index == none) return;
  const side = entryAt(t, index);
  const claims = claimsOf(side);
  if (claims) store<u16>(side, <u16>(claims - 1), 12);
  if (keep) {
    keepNewest(t, s, index);
    touch(t, entryAt(t, node));
  } else if (claims <= 1 && !(load<u32>(side, 8) & sideKept)) {
    endRouted(t, s, index);
  }
}

/**
 * Gives up the slot's least recent kept blocks until what is kept and what is claimed, which takes room at the engine too,
 * is within `limit`; those with claims stay as claimed. Returns how many.
 */
export function trimKept(t: Tree, s: Slot, limit: u32): u32 {
  let done: u32 = 0;
  while (s.last && s.routed > limit) {
    betweenBlocks(t);
    if (!s.last) break;
    done++;
    const index = s.last - 1;
    if (claimsOf(entryAt(t, index))) unkeep(t, s, index);
    else endRouted(t, s, index);
  }
  return done;
}
