// deno-fmt-ignore-file
// Reads a block tree's memory as wasm/blocks/layout.ts draws it and checks every invariant: a witness of its own.
import { deepStrictEqual, equal, ok } from "node:assert/strict";

const head = {
  seq: 0, slots: 2, buckets: 3, used: 4, usedMax: 5, slotsAt: 6, headsAt: 7, arenaAt: 8, mapAt: 9, overflowAt: 10,
  tableAt: 11, heads: 12, tops: 13, topsUsed: 14, freeUnits: 15, sets: 19, sweepLeft: 21, blocks: 26, pairs: 32, free: 38,
};
const slotField = { age: 0, least: 1, routedAge: 3, doubting: 4, newest: 6, last: 7, kept: 8, routed: 9, curBlocks: 10, dead: 16, tiers: 17 };
const mask64 = 0xffff_ffff_ffff_ffffn;

/** Throws where the tree at `base` breaks a rule of its layout. */
export function checkBlocks(buffer: ArrayBufferLike, base: number): void {
  const words = new Uint32Array(buffer), longs = new BigUint64Array(buffer), bytes = new Uint8Array(buffer);
  const at = (field: number) => words[base / 4 + field];
  equal(at(head.seq) % 2, 0, "no write under way");
  const buckets = at(head.buckets);
  const entry = (index: number) => at(head.tableAt) + index * 16;
  const kind = (index: number) => words[entry(index) / 4 + 2] & 3;
  const high = (index: number) => words[entry(index) / 4 + 3];
  const slotWord = (slot: number, field: number) => words[(at(head.slotsAt) + slot * 128) / 4 + field];
  const isAlive = (slot: number, age: number, tiers: number, fresh: number) => {
    const span = slotWord(slot, slotField.age) - slotWord(slot, slotField.least);
    const since = (age - slotWord(slot, slotField.least)) & 7;
    ok(span <= 7);
    return since > span ? 0 : since ? tiers : tiers & fresh;
  };

  // Sets: as many blocks as their nodes, content hashed and chained, pieces that do not overlap.
  const sets = new Map<number, number>();
  for (let i = 0; i < at(head.heads); i++) {
    for (let id = words[at(head.headsAt) / 4 + i]; id; id = words[(at(head.arenaAt) + (id - 1) * 32) / 4 + 2]) {
      ok(!sets.has(id) && id <= at(head.tops) * 256, "a set is in one chain");
      sets.set(id, 0);
    }
  }
  equal(sets.size, at(head.sets));
  const membersOf = (holders: number): number[] => {
    if (holders & (1 << 28)) return [holders & ((1 << 28) - 1)];
    ok(sets.has(holders), "a node's set exists");
    sets.set(holders, sets.get(holders)! + 1);
    const set = at(head.arenaAt) + (holders - 1) * 32;
    const count = words[set / 4 + 3] & 0xffff, order = bytes[set + 14];
    ok(16 + count * 4 <= 32 << order, "a set fits its piece");
    return Array.from({ length: count }, (_, i) => words[set / 4 + 4 + i]);
  };

  let used = 0, blocks = 0;
  const pairs = new Map<string, number>();
  const passed = new Uint32Array(buckets);
  const keys = new Set<bigint>();
  for (let index = 0; index < buckets * 4; index++) {
    if (!kind(index)) {
      equal(longs[entry(index) / 8 + 1], 0n);
      continue;
    }
    used++;
    if (kind(index) !== 1) continue;
    const key = longs[entry(index) / 8];
    ok(!keys.has(key), "a block has one node");
    keys.add(key);
    blocks++;
    const members = membersOf((words[entry(index) / 4 + 2] >>> 2) & 0x1fffffff);
    let before = -1;
    for (const member of members) {
      ok((member & 1023) > before && (member & 1023) < at(head.slots), "members are sorted by slot");
      before = member & 1023;
      pairs.set(`${index}/${before}`, member);
    }
  }
  equal(used, at(head.used));
  equal(blocks, at(head.blocks));
  for (const [id, count] of sets) equal(count, words[(at(head.arenaAt) + (id - 1) * 32) / 4 + 1], "blocks of a set");
  checkArena();

  // Counts of each slot, from the members.
  let alivePairs = 0;
  const tally = Array.from({ length: at(head.slots) }, () => ({ blocks: 0, routed: 0, tiers: [0, 0, 0, 0], dead: 0, records: 0 }));
  for (const [name, member] of pairs) {
    const slot = member & 1023, count = tally[slot];
    const tiers = isAlive(slot, (member >> 18) & 7, (member >> 10) & 15, (member >> 14) & 15);
    const routedBit = (member >> 21) & 1;
    const routed = routedBit && ((member >> 22) & 7) === (slotWord(slot, slotField.routedAge) & 7);
    if (tiers) count.blocks++;
    else if ((member >> 10) & 15) count.dead++;
    if (routed) count.routed++;
    else if (routedBit) count.dead++;
    if (tiers || routed) alivePairs++;
    for (let tier = 0; tier < 4; tier++) count.tiers[tier] += (tiers >> tier) & 1;
    ok(((member >> 10) & 15) || routedBit, `${name} holds something`);
  }
  equal(BigInt(alivePairs), longs[(base + head.pairs * 4) / 8], "pairs");

  const kept = new Map<number, Set<number>>();
  for (let index = 0; index < buckets * 4; index++) {
    const low = words[entry(index) / 4 + 2], word = longs[entry(index) / 8];
    if (kind(index) === 2) {
      const slot = high(index) & 1023, node = (low >>> 2) & ((1 << 27) - 1);
      const refs = [(high(index) >>> 14) & 63, (high(index) >>> 20) & 15, (high(index) >>> 24) & 15, high(index) >>> 28];
      const told = refs.reduce((sum, n, tier) => sum | (n ? 1 << tier : 0), 0);
      const tiers = isAlive(slot, low >>> 29, told, (high(index) >>> 10) & 15);
      if (!tiers) tally[slot].dead++;
      else {
        tally[slot].records++;
        equal(kind(node), 1, "a living record has a node");
        const member = pairs.get(`${node}/${slot}`) ?? 0;
        equal(tiers & ~isAlive(slot, (member >> 18) & 7, (member >> 10) & 15, (member >> 14) & 15), 0, "and the pair its tiers");
      }
    } else if (kind(index) === 3) {
      const node = Number(word & 0x7ff_ffffn), slot = Number((word >> 27n) & 1023n);
      const member = pairs.get(`${node}/${slot}`) ?? 0;
      if (low & 4) continue;
      if (((high(index) >>> 16) & 7) !== (slotWord(slot, slotField.routedAge) & 7)) tally[slot].dead++;
      else {
        ok((member >> 21) & 1, "a living routed entry has its member");
        if (low & 8) kept.set(slot, (kept.get(slot) ?? new Set()).add(index));
        else ok(high(index) & 0xffff, "claimed when not kept");
      }
    }
  }
  tally.forEach((count, slot) => {
    equal(slotWord(slot, slotField.curBlocks) + slotWord(slot, slotField.curBlocks + 1), count.blocks, "blocks of a slot");
    equal(slotWord(slot, slotField.routed), count.routed, "routed");
    equal(slotWord(slot, slotField.dead), count.dead, "dead");
    equal(slotWord(slot, slotField.curBlocks + 4) + slotWord(slot, slotField.curBlocks + 5), count.records, "records");
    deepStrictEqual([0, 1, 2, 3].map((tier) => [0, 4, 8].reduce((sum, part) => sum + slotWord(slot, slotField.tiers + part + tier), 0)), count.tiers);
    const list: number[] = [];
    for (let link = slotWord(slot, slotField.newest), newer = 0; link; newer = link, link = (words[entry(link - 1) / 4 + 2] >>> 4) & ((1 << 27) - 1)) {
      ok(list.length <= used);
      equal(Number(longs[entry(link - 1) / 8] >> 37n), newer, "kept blocks are linked both ways");
      list.push(link - 1);
    }
    equal((list.at(-1) ?? -1) + 1, slotWord(slot, slotField.last));
    equal(list.length, slotWord(slot, slotField.kept));
    deepStrictEqual(new Set(list), kept.get(slot) ?? new Set());
  });

  // Overflow counts: each entry passed the buckets from its home on.
  for (let index = 0; index < buckets * 4; index++) {
    for (let bucket = kind(index) ? home(index) : index >> 2; bucket !== index >> 2; bucket = (bucket + 1) % buckets) passed[bucket]++;
  }
  for (let bucket = 0; bucket < buckets; bucket++) {
    const count = bytes[at(head.overflowAt) + bucket];
    ok(count === passed[bucket] || (count === 255 && passed[bucket] <= 255), "overflow counts");
  }

  function home(index: number): number {
    const p1 = 0x9e3779b97f4a7c15n, p2 = 0xd6e8feb86659fd93n;
    const word = longs[entry(index) / 8], low = words[entry(index) / 4 + 2];
    let mixed: bigint;
    if (kind(index) === 1) mixed = (word ^ (word >> 32n)) * p1;
    else if (kind(index) === 2) mixed = (((word ^ (word >> 32n)) + BigInt((high(index) & 1023) + 1) * p1) & mask64) * p2;
    else {
      const first = (((word & 0x1f_ffff_ffffn) + BigInt(low & 4) + 1n) * p2) & mask64;
      mixed = (first ^ (first >> 32n)) * p1;
    }
    return Number((((mixed & mask64) >> 32n) * BigInt(buckets)) >> 32n);
  }

  /** Free pieces, sets and what was never cut cover the arena once. */
  function checkArena(): void {
    const cover = new Uint8Array(at(head.topsUsed) * 256);
    const take = (unit: number, order: number) => {
      equal(unit % (1 << order), 0);
      for (let i = unit; i < unit + (1 << order); i++) equal(cover[i]++, 0, `unit ${i} has one use`);
    };
    let free = (at(head.tops) - at(head.topsUsed)) * 256;
    for (let order = 0; order <= 8; order++) {
      for (let link = at(head.free + order), before = 0; link; before = link, link = words[(at(head.arenaAt) + (link - 1) * 32) / 4]) {
        equal(words[(at(head.arenaAt) + (link - 1) * 32) / 4 + 1], before, "free pieces are linked both ways");
        equal(bytes[at(head.mapAt) + link - 1], 128 | order);
        take(link - 1, order);
        free += 1 << order;
      }
    }
    for (const id of sets.keys()) take(id - 1, bytes[at(head.arenaAt) + (id - 1) * 32 + 14]);
    ok(cover.every((uses) => uses === 1));
    equal(free, at(head.freeUnits));
  }
}
