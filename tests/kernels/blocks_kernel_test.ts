import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { KvTier, Prng } from "../../src/core/mod.ts";
import { type BlockTree, type BlockTreeApi, Hotpath } from "../../src/hotpath/mod.ts";
import { BlockTreeTwin } from "../../src/hotpath/block_tree_twin.ts";
import { apply, operation, pathOf, slots } from "./blocks_ops.ts";
import { checkBlocks } from "./blocks_invariants.ts";

const sizes = { endpoints: slots, bodyBytesMax: 64, prefixTokensMax: 64 };
const blockTreeBytes = 1 << 16;
const hotpath = await Hotpath.load({ ...sizes, blockTreeBytes }, 1);
const check = () => checkBlocks(hotpath.instance.memory.buffer, hotpath.instance.layout.blockTree.offset);

function emptyTree(bytes = blockTreeBytes): BlockTree {
  hotpath.blockTree.init(bytes);
  return hotpath.blockTree;
}

const paths = Array.from({ length: 8 }, (_, i) => pathOf(new BlockTreeTwin(slots, 1n), i));

const sorted = (tree: BlockTreeApi, slot: number) =>
  [...tree.held(slot)].map(({ hash, engineHash, tiers }) => `${hash} ${engineHash} ${tiers}`).sort();

/** Whether both say the same of everything. */
function compare(tree: BlockTree, twin: BlockTreeTwin): void {
  for (const path of paths) {
    const [is, should] = [tree.match(path), twin.match(path)];
    deepStrictEqual([...is.blocks], [...should.blocks]);
    deepStrictEqual([...is.tiers], [...should.tiers]);
  }
  for (let slot = 0; slot < slots; slot++) {
    deepStrictEqual(tree.slotStats(slot), twin.slotStats(slot), `slot ${slot}`);
    deepStrictEqual(sorted(tree, slot), sorted(twin, slot));
  }
  const [is, should] = [tree.stats(), twin.stats()];
  deepStrictEqual([is.pairs, is.trimmed, is.evicted], [should.pairs, should.trimmed, 0]);
}

Deno.test("the kernel answers as its twin after any operations", () => {
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 120, size: "max" }), (ops) => {
      const tree = emptyTree();
      const twin = new BlockTreeTwin(slots, 1n);
      for (const op of ops) {
        deepStrictEqual(apply(tree, op), apply(twin, op), op.kind);
        compare(tree, twin);
        check();
      }
      while (tree.reap(7) > 0);
      check();
      compare(tree, twin);
      equal(tree.stats().blocks, twin.stats().blocks);
      for (let slot = 0; slot < slots; slot++) tree.clear(slot);
      while (tree.reap(1000) > 0);
      equal(tree.stats().bytesUsed, 0);
    }),
    { seed: 5, numRuns: 80 },
  );
});

Deno.test("a memory too small is never overrun: counts stay true, what is left is found", () => {
  let evicted = 0;
  const bytes = fc.integer({ min: 18_600, max: 20_500 });
  fc.assert(
    fc.property(fc.array(operation, { minLength: 100, maxLength: 300, size: "max" }), bytes, (ops, bytes) => {
      const tree = emptyTree(bytes);
      for (const op of ops) {
        apply(tree, op);
        for (const path of paths) {
          const { blocks } = tree.match(path);
          ok(blocks.every((count) => count >= 0 && count <= path.length));
        }
        check();
      }
      evicted += tree.stats().evicted;
      for (let slot = 0; slot < slots; slot++) tree.clear(slot);
      while (tree.reap(1000) > 0);
      equal(tree.stats().bytesUsed, 0);
    }),
    { seed: 6, numRuns: 100 },
  );
  ok(evicted > 1000, `memory was short: ${evicted}`);
});

Deno.test("blocks that each have holders of their own never fill the memory for good", async () => {
  const { blockTree: tree, instance } = await Hotpath.load({ ...sizes, endpoints: 64, blockTreeBytes: 1 << 18 }, 1);
  const check = () => checkBlocks(instance.memory.buffer, instance.layout.blockTree.offset);
  const prng = new Prng(3);
  const blockTokens = 4;
  const storeOf = (blocks: number, from: number) => ({
    tier: KvTier.Gpu,
    hashes: BigUint64Array.from({ length: blocks }, (_, i) => BigInt(from + i)),
    tokens: Uint32Array.from({ length: blocks * blockTokens }, (_, i) => from * blockTokens + i),
    blockTokens,
    lora: "",
  });
  for (let round = 0; round < 3000; round++) {
    const store = storeOf(1 + prng.below(8), 1 + prng.below(4000));
    const slot = prng.below(64);
    if (prng.below(3) === 0) tree.remove(slot, KvTier.Gpu, store.hashes);
    else for (let i = 0; i < store.hashes.length; i++) tree.store(slot, storeOf(1, Number(store.hashes[i])));
    if (round % 100 === 0) check();
  }
  ok(tree.stats().evicted > 100, "memory was short");
  ok(tree.stats().pairs > 1000, "and used");
  const now = storeOf(40, 10_000);
  for (let slot = 0; slot < 64; slot++) tree.store(slot, now);
  const { blocks } = tree.match(tree.chain(now));
  ok(blocks.filter((count) => count === 40).length >= 60, `what is told now is known: ${blocks}`);
  for (let slot = 0; slot < 64; slot++) tree.clear(slot);
  while (tree.reap(1000) > 0);
  check();
  equal(tree.stats().bytesUsed, 0);
});
