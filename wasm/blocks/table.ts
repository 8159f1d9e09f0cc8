// The table: open addressing in buckets of four, without moves and without tombstones.
import {
  entryAt, indexMask, kindNode, kindRecord, kindSide, none, recordNode, sideExtra, sideNode, sideSlot, slotMask, Tree,
} from "./layout";

const P1: u64 = 0x9e3779b97f4a7c15;
const P2: u64 = 0xd6e8feb86659fd93;

/** Home bucket of a well mixed hash: any number of buckets, by its high half. */
@inline
function bucketOf(t: Tree, hash: u64): u32 {
  return <u32>(((hash >> 32) * <u64>t.buckets) >> 32);
}

@inline
function nodeHome(t: Tree, key: u64): u32 {
  return bucketOf(t, (key ^ (key >> 32)) * P1);
}

@inline
function recordHome(t: Tree, hash: u64, slot: u32): u32 {
  return bucketOf(t, ((hash ^ (hash >> 32)) + (<u64>slot + 1) * P1) * P2);
}

@inline
function sideHome(t: Tree, pair: u64, extra: u32): u32 {
  const mixed = (pair + extra + 1) * P2;
  return bucketOf(t, (mixed ^ (mixed >> 32)) * P1);
}

@inline
export function pairKey(node: u32, slot: u32): u64 {
  return <u64>node | (<u64>slot << 27);
}

@inline
function after(t: Tree, bucket: u32): u32 {
  return select<u32>(0, bucket + 1, bucket + 1 == t.buckets);
}

@inline
function isFull(t: Tree, bucket: u32): bool {
  return load<u8>(<usize>t.overflowAt + bucket) != 0;
}

/** Loads the home buckets of nodes all at once, so that the searches to come find them near. Safe for readers. */
export function warmNodes(t: Tree, keys: usize, n: u32): u32 {
  let sum: u32 = 0;
  for (const end = keys + (<usize>n << 3); keys < end; keys += 8) {
    sum += load<u32>(entryAt(t, nodeHome(t, load<u64>(keys)) << 2));
  }
  return sum;
}

/** As `warmNodes`, with the overflow counts that a search in vain looks at. */
export function warmNewNodes(t: Tree, keys: usize, n: u32): u32 {
  let sum: u32 = 0;
  for (const end = keys + (<usize>n << 3); keys < end; keys += 8) {
    const bucket = nodeHome(t, load<u64>(keys));
    sum += load<u32>(entryAt(t, bucket << 2)) + <u32>load<u8>(<usize>t.overflowAt + bucket);
  }
  return sum;
}

/** As `warmNewNodes`, for a slot's records. */
export function warmRecords(t: Tree, hashes: usize, n: u32, slot: u32): u32 {
  let sum: u32 = 0;
  for (const end = hashes + (<usize>n << 3); hashes < end; hashes += 8) {
    const bucket = recordHome(t, load<u64>(hashes), slot);
    sum += load<u32>(entryAt(t, bucket << 2)) + <u32>load<u8>(<usize>t.overflowAt + bucket);
  }
  return sum;
}

/** Loads the nodes of a slot's records, whose buckets are near. */
export function warmNodesOfRecords(t: Tree, hashes: usize, n: u32, slot: u32): u32 {
  let sum: u32 = 0;
  for (const end = hashes + (<usize>n << 3); hashes < end; hashes += 8) {
    const index = findRecord(t, load<u64>(hashes), slot);
    if (index != none) sum += load<u32>(entryAt(t, recordNode(entryAt(t, index))));
  }
  return sum;
}

/** Loads the routed entries of a slot's pairs with these nodes, whose buckets are near. */
export function warmSides(t: Tree, keys: usize, n: u32, slot: u32): u32 {
  let sum: u32 = 0;
  for (const end = keys + (<usize>n << 3); keys < end; keys += 8) {
    const node = findNode(t, load<u64>(keys));
    if (node == none) continue;
    const bucket = sideHome(t, pairKey(node, slot), 0);
    sum += load<u32>(entryAt(t, bucket << 2)) + <u32>load<u8>(<usize>t.overflowAt + bucket);
  }
  return sum;
}

@inline
function isNode(entry: usize, key: u64): bool {
  return load<u64>(entry) == key && (load<u32>(entry, 8) & 3) == kindNode;
}

/** Index of the node of a chained hash, or `none`. Safe for readers. */
export function findNode(t: Tree, key: u64): u32 {
  let bucket = nodeHome(t, key);
  for (let probes = t.buckets; probes; probes--) {
    const at = entryAt(t, bucket << 2);
    if (isNode(at, key)) return bucket << 2;
    if (isNode(at + 16, key)) return (bucket << 2) + 1;
    if (isNode(at + 32, key)) return (bucket << 2) + 2;
    if (isNode(at + 48, key)) return (bucket << 2) + 3;
    if (!isFull(t, bucket)) return none;
    bucket = after(t, bucket);
  }
  return none;
}

@inline
function isRecord(entry: usize, hash: u64, slot: u32): bool {
  return load<u64>(entry) == hash && (load<u32>(entry, 8) & 3) == kindRecord &&
    (load<u32>(entry, 12) & slotMask) == slot;
}

/** Index of the record of an engine hash, or `none`. */
export function findRecord(t: Tree, hash: u64, slot: u32): u32 {
  let bucket = recordHome(t, hash, slot);
  for (let probes = t.buckets; probes; probes--) {
    const at = entryAt(t, bucket << 2);
    for (let i: u32 = 0; i < 4; i++) {
      if (isRecord(at + (<usize>i << 4), hash, slot)) return (bucket << 2) + i;
    }
    if (!isFull(t, bucket)) return none;
    bucket = after(t, bucket);
  }
  return none;
}

/** Index of the routed (`extra` 0) or extra (`sideExtra`) entry of a pair, or `none`. */
export function findSide(t: Tree, node: u32, slot: u32, extra: u32): u32 {
  const pair = pairKey(node, slot);
  let bucket = sideHome(t, pair, extra);
  for (let probes = t.buckets; probes; probes--) {
    const at = entryAt(t, bucket << 2);
    for (let i: u32 = 0; i < 4; i++) {
      const entry = at + (<usize>i << 4);
      if ((load<u64>(entry) & 0x1fffffffff) == pair && (load<u32>(entry, 8) & 7) == (kindSide | extra)) {
        return (bucket << 2) + i;
      }
    }
    if (!isFull(t, bucket)) return none;
    bucket = after(t, bucket);
  }
  return none;
}

/** Takes an entry near `home`; the caller has made room and fills it. */
function add(t: Tree, home: u32): u32 {
  if (++t.tickCount >= t.tickEvery) {
    t.tickCount = 0;
    t.tick++;
  }
  t.used++;
  let bucket = home;
  while (true) {
    const at = entryAt(t, bucket << 2);
    for (let i: u32 = 0; i < 4; i++) {
      if (!load<u32>(at + (<usize>i << 4), 8)) return (bucket << 2) + i;
    }
    const overflow = <usize>t.overflowAt + bucket;
    const count = load<u8>(overflow);
    if (count != 255) store<u8>(overflow, count + 1);
    bucket = after(t, bucket);
  }
}

export function addNode(t: Tree, key: u64, depth: u32): u32 {
  const index = add(t, nodeHome(t, key));
  const at = entryAt(t, index);
  store<u64>(at, key);
  store<u32>(at, kindNode, 8);
  store<u32>(at, (t.tick & 0xffff) | (min<u32>(depth, 0xffff) << 16), 12);
  t.blocks++;
  return index;
}

/** The caller fills word 1. */
export function addRecord(t: Tree, hash: u64, slot: u32): usize {
  const at = entryAt(t, add(t, recordHome(t, hash, slot)));
  store<u64>(at, hash);
  return at;
}

/** The caller fills word 1. */
export function addSide(t: Tree, node: u32, slot: u32, extra: u32): u32 {
  const pair = pairKey(node, slot);
  const index = add(t, sideHome(t, pair, extra));
  store<u64>(entryAt(t, index), pair);
  return index;
}

/** Frees an entry of any kind. */
export function removeEntry(t: Tree, index: u32): void {
  const at = entryAt(t, index);
  const low = load<u32>(at, 8);
  let bucket: u32;
  if ((low & 3) == kindNode) {
    bucket = nodeHome(t, load<u64>(at));
    t.blocks--;
  } else if ((low & 3) == kindRecord) {
    bucket = recordHome(t, load<u64>(at), load<u32>(at, 12) & slotMask);
  } else {
    bucket = sideHome(t, pairKey(sideNode(at), sideSlot(at)), low & sideExtra);
  }
  for (const end = index >> 2; bucket != end; bucket = after(t, bucket)) {
    const overflow = <usize>t.overflowAt + bucket;
    const count = load<u8>(overflow);
    if (count != 255) store<u8>(overflow, count - 1);
  }
  store<u64>(at, 0);
  store<u64>(at, 0, 8);
  t.used--;
}
