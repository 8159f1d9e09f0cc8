// deno-fmt-ignore-file
// Reads a prefix tree's memory as wasm/tree/layout.ts draws it and checks every invariant: a witness of its own.
import { deepStrictEqual, equal, ok } from "node:assert/strict";

const slotBytes = 32;
const holderBit = 0x8000_0000;
const header = {
  seq: 0, magic: 1, allNewest: 2, allOldest: 3, slots: 6, cells: 7, mask: 8, entries: 9, slotsAt: 11, tableAt: 12,
  nextAt: 13, cellsAt: 14, bump: 15, freeHead: 16, freeCount: 17, nodes: 18, holders: 19, blocks: 20, pairs: 22,
};
const node = { parent: 4, depth: 5, length: 6, skip: 7, chunk: 8, newest: 9, oldest: 10, holderCount: 11, full: 12 };
const holder = { node: 0, slot: 1, count: 2, confirmed: 3, kids: 4, nodeNewer: 5, slotNewer: 7, allNewer: 9 };

/** Throws where the tree at `base` breaks a rule of its layout. */
export function checkTree(buffer: ArrayBufferLike, base: number): void {
  const words = new Uint32Array(buffer);
  const hashes = new BigUint64Array(buffer);
  const head = (field: number) => words[base / 4 + field];
  const cell = (id: number) => (head(header.cellsAt) + id * 64) / 4;
  const next = (id: number) => words[head(header.nextAt) / 4 + id];
  const cells = head(header.cells);
  equal(head(header.seq) % 2, 0, "no write under way");

  /** A list from newest to oldest, its back links checked. */
  const list = (newest: number, oldest: number, link: number): number[] => {
    const ids: number[] = [];
    for (let id = newest, above = 0; id; above = id, id = words[cell(id) + link + 1]) {
      ok(id < cells && ids.length < cells, "list within bounds");
      equal(words[cell(id) + link], above, "list linked both ways");
      ids.push(id);
    }
    equal(ids.at(-1) ?? 0, oldest, "list ends at its oldest");
    return ids;
  };

  const used = new Set<number>();
  const use = (id: number) => {
    ok(id > 0 && id < head(header.bump) && !used.has(id), `cell ${id} has one use`);
    used.add(id);
  };

  // The table names every node and holder once.
  const nodes: number[] = [], holders: number[] = [];
  for (let i = 0; i <= head(header.mask); i++) {
    const id = words[head(header.tableAt) / 4 + i * 2 + 1];
    if (id) (id >= holderBit ? holders : nodes).push((id & ~holderBit) >>> 0);
  }
  equal(nodes.length, head(header.nodes));
  equal(holders.length, head(header.holders));
  equal(nodes.length + holders.length, head(header.entries));

  const rank = new Map(list(head(header.allNewest), head(header.allOldest), holder.allNewer).map((id, i) => [id, i]));
  equal(rank.size, holders.length, "the list of all has every holder");

  let blocks = 0, pairs = 0;
  const share = new Map<string, number>();
  for (const id of nodes) {
    use(id);
    const at = cell(id);
    const length = words[at + node.length], skip = words[at + node.skip];
    ok(length > 0 && skip < 8);
    blocks += length;
    const run: bigint[] = [];
    let chunk = words[at + node.chunk];
    for (let i = skip; i < skip + length; i++) {
      if (i === skip || i % 8 === 0) {
        if (i !== skip) chunk = next(chunk);
        use(chunk);
      }
      run.push(hashes[cell(chunk) / 2 + (i % 8)]);
    }
    equal(next(chunk), 0, "a run has no chunk too many");
    deepStrictEqual([hashes[at / 2], hashes[at / 2 + 1]], [run[0], run.at(-1)], "first and last");
    const parent = words[at + node.parent];
    if (parent) equal(words[at + node.depth], words[cell(parent) + node.depth] + words[cell(parent) + node.length]);
    else equal(words[at + node.depth], 0);

    const shares = list(words[at + node.newest], words[at + node.oldest], holder.nodeNewer);
    equal(shares.length, words[at + node.holderCount]);
    const counts = shares.map((h) => words[cell(h) + holder.count]);
    equal(Math.max(...counts), length, "a run is as long as its longest share");
    equal(counts.filter((count) => count === length).length, words[at + node.full]);
    for (const h of shares) {
      equal(words[cell(h) + holder.node], id);
      share.set(`${id}/${words[cell(h) + holder.slot]}`, h);
    }
  }
  equal(share.size, holders.length, "one share of a node a slot");
  equal(blocks, head(header.blocks));

  const kids = new Map<number, number>();
  for (const h of holders) {
    use(h);
    const at = cell(h);
    const count = words[at + holder.count];
    pairs += count;
    ok(count > 0 && words[at + holder.confirmed] <= count);
    const parent = words[cell(words[at + holder.node]) + node.parent];
    if (!parent) continue;
    const above = share.get(`${parent}/${words[at + holder.slot]}`);
    ok(above, "closed under prefix");
    equal(words[cell(above) + holder.count], words[cell(parent) + node.length], "with the whole of the parent");
    ok(words[cell(above) + holder.confirmed] === words[cell(above) + holder.count] || words[at + holder.confirmed] === 0);
    ok(rank.get(above)! < rank.get(h)!, "a parent's share is newer");
    kids.set(above, (kids.get(above) ?? 0) + 1);
  }
  for (const h of holders) equal(words[cell(h) + holder.kids], kids.get(h) ?? 0);
  equal(pairs, words[base / 4 + header.pairs]);

  for (let slot = 0; slot < head(header.slots); slot++) {
    const at = (head(header.slotsAt) + slot * slotBytes) / 4;
    const own = list(words[at], words[at + 1], holder.slotNewer);
    const ranks = own.map((h) => rank.get(h)!);
    ok(ranks.every((r, i) => i === 0 || ranks[i - 1] < r), "a slot's order is that of all");
    equal(own.reduce((sum, h) => sum + words[cell(h) + holder.count], 0), words[at + 3], "blocks of the slot");
    ok(words[at + 3] <= words[at + 2], "within capacity");
    equal(own.length, holders.filter((h) => words[cell(h) + holder.slot] === slot).length);
  }

  let free = 0;
  for (let id = head(header.freeHead); id; id = next(id), free++) use(id);
  equal(free, head(header.freeCount));
  equal(used.size, head(header.bump) - 1, "every cell is used or free");
}
