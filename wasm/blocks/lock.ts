// The writer's lock on readers, and what the long writes have in common.
import { none, Tree } from "./layout";
import { sweep } from "./room";

/** Blocks written between two moments in which readers may look. */
export const step: u32 = 32;
/** Buckets swept for each block written, while anything is dead. */
const sweptPerBlock: u32 = 4;


/** Orders plain loads and stores around it, which an atomic load or store alone does not. `at` is the caller's own. */
@inline
export function fence(at: usize): void {
  atomic.add<u32>(at, 0);
}

@inline
export function beginWrite(t: Tree): void {
  atomic.add<u32>(changetype<usize>(t), 1);
  fence(changetype<usize>(t) + offsetof<Tree>("fenceWord"));
}

@inline
export function endWrite(t: Tree): void {
  atomic.add<u32>(changetype<usize>(t), 1);
}

/** Between the blocks of a long write: readers may look. */
@inline
export function pause(t: Tree, i: u32): void {
  if ((i & (step - 1)) != step - 1) return;
  if (t.sweepLeft) sweep(t, step * sweptPerBlock, none);
  endWrite(t);
  beginWrite(t);
}

@inline
export function finish(t: Tree): void {
  if (t.sweepLeft) sweep(t, step * sweptPerBlock, none);
  endWrite(t);
}

/** Keeps what was loaded ahead from being left out. */
@inline
export function warm(t: Tree, loaded: u32): void {
  t.warmWord = loaded;
}
