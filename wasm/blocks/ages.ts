// Changes of a whole slot at once, by its age; see layout.ts.
import { freshAt, oldAt, restAt, Slot, slotAt, Tree } from "./layout";
import { beginWrite, endWrite } from "./lock";
import { nextAge } from "./room";

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
