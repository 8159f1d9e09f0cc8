// Claims of open requests: the calls, block by block in routed.ts.
import { slotAt, Tree } from "./layout";
import { beginWrite, endWrite, finish, pause, warm } from "./lock";
import { betweenBlocks } from "./room";
import { claimBlock, settleBlock, trimKept } from "./routed";
import { warmNewNodes, warmSides } from "./table";

/** Blocks whose entries are loaded together, so that memory is waited for once. */
const ahead: u32 = 32;

@inline
function warmPairs(t: Tree, hashes: usize, n: u32, slot: u32): void {
  warm(t, warmNewNodes(t, hashes, n) + warmSides(t, hashes, n, slot));
}

/** Claims blocks of a prompt from its beginning on, the first of them at depth `depth`. */
export function blocksClaim(base: usize, slot: u32, hashes: usize, n: u32, depth: u32): void {
  const t = changetype<Tree>(base);
  if (slot >= t.slots) return;
  const s = slotAt(t, slot);
  beginWrite(t);
  for (let i: u32 = 0; i < n; i++) {
    if (!(i & (ahead - 1))) warmPairs(t, hashes + (<usize>i << 3), min(ahead, n - i), slot);
    claimBlock(t, s, slot, load<u64>(hashes + (<usize>i << 3)), depth + i);
    pause(t, i);
  }
  t.trimmed += trimKept(t, s, s.capacity);
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
    if (!((n - i) & (ahead - 1))) {
      const part = min(ahead, i);
      warmPairs(t, hashes + (<usize>(i - part) << 3), part, slot);
    }
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
