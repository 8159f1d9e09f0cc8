// The block tree in its region. All state lies here; functions take the region's address.
//
//   ┌────────┬──────────────┬─────────┬─────────────┬─────┬──────────┬────────────────────────────────────┐
//   │ header │ slots        │ heads   │ arena       │ map │ overflow │ table                              │
//   │ 4.6 KB │ 128 B a slot │ of sets │ holder sets │     │ 1 B      │ 64 B a bucket: 4 entries of 16 B   │
//   └────────┴──────────────┴─────────┴─────────────┴─────┴──────────┴────────────────────────────────────┘
//
// One table holds four kinds of entries, each 16 B in two words, so that none of them needs a share of its own:
//
//            word 0                            word 1, low half             word 1, high half
//   node     chained hash 64                   kind 2, holders 29           touched 16, depth 16
//   record   engine hash 64                    kind 2, node 27, age 3       slot 10, fresh 4, references 6 4 4 4
//   routed   node 27, slot 10, newer 27        kind 2, 0, kept 1, older 27  claims 16, age 3
//   extra    node 27, slot 10, 0               kind 2, 1, 0                 evidence beyond the first, 8 a tier
//
// An entry lies in its home bucket or in one after it; `overflow` counts the entries that passed a bucket, so that a
// search ends where it is 0 and removal leaves no mark. An entry never moves: others name it by its index.
//
// `holders` of a node is 0, one member (bit 28 set) or the number of a set in the arena. Blocks with equal holders share
// a set, which counts them; sets are found by content when made, so that equal sets are mostly one.
//
//   member   slot 10, tiers 4, fresh 4, age 3, routed 1, routed age 3, extra 1, direct 1      sorted by slot
//
// Ages make whole slots change at once. Evidence has the slot's age of when it was told, three bits of it:
//
//        dead │ least       told before doubt │ age
//     ────────┼───────────────────────────────┼──────►     told again: age = the slot's, that tier is fresh
//
//   clear   age + 1, least = age: nothing is left            doubt   age + 1: everything is doubtful
//   drop    least = age: what is doubtful is gone            trust   no longer doubting
//
// A tier of a member or record that is not fresh was told before its age; it is dead when that age is `least`. The dead
// are swept up a few buckets at a time, at the latest before an age comes round again.
//
// One writer. It makes `seq` odd while it works; a reader whose `seq` moved starts over. Readers check every index they
// load and bound every loop, so that data torn by the writer costs them a retry and nothing else.

export const headerBytes: usize = 4672;
/** Where the writer has the chained hashes of the blocks at hand: 32. */
export const keysAt: usize = 256;
/** Where it builds a set: 1,025 members. */
export const buildAt: usize = 512;
export const slotBytes: usize = 128;
export const magicNumber: u32 = 0x626c6b31;
/** No entry, no unit. */
export const none: u32 = 0xffffffff;

export const kindNode: u32 = 1;
export const kindRecord: u32 = 2;
export const kindSide: u32 = 3;
export const sideExtra: u32 = 1 << 2;
export const sideKept: u32 = 1 << 3;
export const indexMask: u32 = (1 << 27) - 1;

/** Marks `holders` that are one member. */
export const inlineBit: u32 = 1 << 28;
export const slotMask: u32 = 1023;
export const tiersShift: u32 = 10;
export const freshShift: u32 = 14;
export const ageShift: u32 = 18;
export const routedBit: u32 = 1 << 21;
export const routedAgeShift: u32 = 22;
export const extraBit: u32 = 1 << 25;
export const directBit: u32 = 1 << 26;
/** Slot and routed evidence of a member. */
export const routedPart: u32 = slotMask | routedBit | (7 << routedAgeShift);

/** Smallest piece of the arena. */
export const unitShift: u32 = 5;
/** Pieces are 32 B << order. */
export const orderMax: u32 = 8;
export const topUnits: u32 = 1 << orderMax;

@unmanaged
export class Tree {
  seq: u32;
  magic: u32;
  slots: u32;
  buckets: u32;
  /** Entries. */
  used: u32;
  usedMax: u32;
  slotsAt: u32;
  headsAt: u32;
  arenaAt: u32;
  mapAt: u32;
  overflowAt: u32;
  tableAt: u32;
  heads: u32;
  /** Pieces of the largest order, and how many of them were ever cut. */
  tops: u32;
  topsUsed: u32;
  freeUnits: u32;
  /** Units that only removals may take. */
  reserveUnits: u32;
  /** The arena ran short: sets of few blocks are to be given up at the next moment between two blocks. */
  arenaShort: u32;
  /** Something was ever told by chained hash. */
  anyDirect: u32;
  sets: u32;
  /** Next bucket to sweep, and how many until all have been. */
  sweepAt: u32;
  sweepLeft: u32;
  /** Coarse time: grows with entries added. */
  tick: u32;
  tickCount: u32;
  tickEvery: u32;
  random: u32;
  /** Nodes. */
  blocks: u32;
  /** The last change of holders, so that a run of blocks changing alike costs one search. */
  lastRef: u32;
  lastOld: u32;
  lastNew: u32;
  lastTo: u32;
  fenceWord: u32;
  pairs: u64;
  evicted: u64;
  trimmed: u64;
  /** Heads of the free lists by order, 9 × u32. */
  free0: u32;
  free1: u32;
  free2: u32;
  free3: u32;
  free4: u32;
  free5: u32;
  free6: u32;
  free7: u32;
  free8: u32;
  warmWord: u32;
}

@unmanaged
export class Slot {
  /** Full counts of which entries keep the low three bits. */
  age: u32;
  least: u32;
  /** No dead evidence is older. */
  oldest: u32;
  routedAge: u32;
  doubting: u32;
  capacity: u32;
  /** Kept routed blocks by recency: entry index + 1. */
  newest: u32;
  last: u32;
  kept: u32;
  routed: u32;
  /** Pairs and records of the slot's age, and older ones that are alive. */
  curBlocks: u32;
  oldBlocks: u32;
  /** Of those, also routed. */
  curBoth: u32;
  oldBoth: u32;
  curRecords: u32;
  oldRecords: u32;
  /** Dead evidence and dead entries not yet swept. */
  dead: u32;
  /** u32 by tier: fresh ones and others of pairs of the slot's age, those of older pairs; 3 × 4 follow. */
  curFresh: u32;
}

export const freshAt: usize = offsetof<Slot>("curFresh");
export const restAt: usize = freshAt + 16;
export const oldAt: usize = freshAt + 32;

@inline
export function slotAt(t: Tree, slot: u32): Slot {
  return changetype<Slot>(<usize>t.slotsAt + <usize>slot * slotBytes);
}

@inline
export function entryAt(t: Tree, index: u32): usize {
  return <usize>t.tableAt + (<usize>index << 4);
}

@inline
export function kindOf(entry: usize): u32 {
  return load<u32>(entry, 8) & 3;
}

@inline
export function holdersOf(node: usize): u32 {
  return (load<u32>(node, 8) >> 2) & 0x1fffffff;
}

@inline
export function setHolders(node: usize, holders: u32): void {
  store<u32>(node, kindNode | (holders << 2), 8);
}

@inline
export function touch(t: Tree, node: usize): void {
  store<u16>(node, <u16>t.tick, 12);
}

@inline
export function recordNode(record: usize): u32 {
  return (load<u32>(record, 8) >> 2) & indexMask;
}

@inline
export function sideNode(side: usize): u32 {
  return <u32>load<u64>(side) & indexMask;
}

@inline
export function sideSlot(side: usize): u32 {
  return <u32>(load<u64>(side) >> 27) & slotMask;
}

@inline
export function sideAge(side: usize): u32 {
  return (load<u32>(side, 12) >> 16) & 7;
}
