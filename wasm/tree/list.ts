// Doubly linked lists of holders. A holder lies in three: its node's, its slot's, and the list of all. A list is
// named by the address of its two ends, a link by the offset of its `newer` field; `older` follows it.
import { cellAt, List, Tree } from "./layout";

@inline
function newer(t: Tree, cell: u32, link: usize): u32 {
  return load<u32>(cellAt(t, cell) + link);
}

@inline
export function older(t: Tree, cell: u32, link: usize): u32 {
  return load<u32>(cellAt(t, cell) + link + 4);
}

@inline
function setNewer(t: Tree, cell: u32, link: usize, to: u32): void {
  store<u32>(cellAt(t, cell) + link, to);
}

@inline
function setOlder(t: Tree, cell: u32, link: usize, to: u32): void {
  store<u32>(cellAt(t, cell) + link + 4, to);
}

/** Puts a holder that is in no such list at the newest end, or just above `below` when that is given. */
export function link(t: Tree, list: List, at: usize, cell: u32, below: u32): void {
  const under = below ? below : list.newest;
  const above = below ? newer(t, below, at) : 0;
  setOlder(t, cell, at, under);
  setNewer(t, cell, at, above);
  if (under) setNewer(t, under, at, cell);
  else list.oldest = cell;
  if (above) setOlder(t, above, at, cell);
  else list.newest = cell;
}

export function unlink(t: Tree, list: List, at: usize, cell: u32): void {
  const above = newer(t, cell, at);
  const under = older(t, cell, at);
  if (above) setOlder(t, above, at, under);
  else list.newest = under;
  if (under) setNewer(t, under, at, above);
  else list.oldest = above;
}
