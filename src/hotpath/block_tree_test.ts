import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { KvTier } from "../core/mod.ts";
import { BlockTreeTwin } from "./block_tree_twin.ts";
import { type BlockTree, Hotpath } from "./mod.ts";

const sizes = { endpoints: 8, bodyBytesMax: 64, prefixTokensMax: 64 };
const blockTreeBytes = 1 << 20;

async function emptyTree(bytes = blockTreeBytes, seed = 7n): Promise<BlockTree> {
  return (await Hotpath.load({ ...sizes, blockTreeBytes: bytes }, seed)).blockTree;
}

const blockTokens = 16;
const tokensOf = (blocks: number, from = 0) => Uint32Array.from({ length: blocks * blockTokens }, (_, i) => from + i);
const hashesOf = (blocks: number, from = 1) => BigUint64Array.from({ length: blocks }, (_, i) => BigInt(from + i));
const storeOf = (blocks: number, from = 1) => ({
  tier: KvTier.Gpu,
  hashes: hashesOf(blocks, from),
  tokens: tokensOf(blocks, from),
  blockTokens,
  lora: "",
});
const reaped = (tree: BlockTree) => {
  while (tree.reap(1000) > 0);
  return tree.stats();
};

Deno.test("chain() gives the golden values of the four-byte step of XXH64 from a root of seed and adapter", async () => {
  const tree = await emptyTree();
  const chain = (lora: string, extras?: ReadonlyMap<number, readonly string[]>) =>
    [...tree.chain({ tokens: tokensOf(2), blockTokens, lora, extras })].map((hash) => hash.toString(16));
  deepStrictEqual(chain(""), ["b2eb438aca16b45e", "6558d13856737855"]);
  deepStrictEqual(chain("sql-lora"), ["b472589c497b637f", "1f21d98a966028a"]);
  deepStrictEqual(chain("", new Map([[1, ["image-1", "salt"]]])), ["b2eb438aca16b45e", "3e4d1340e2c356bd"]);
});

Deno.test("chain() equals its twin's for any block size, adapter and extras, and differs by seed", async () => {
  const [tree, twin] = [await emptyTree(), new BlockTreeTwin(8, 7n)];
  for (const blockTokens of [1, 3, 16, 64, 500]) {
    for (const lora of ["", "é-adapter"]) {
      for (const extras of [undefined, new Map([[0, ["salt"]], [2, ["a", "b"]]])]) {
        const prompt = { tokens: tokensOf(70), blockTokens, lora, extras };
        deepStrictEqual([...tree.chain(prompt)], [...twin.chain(prompt)]);
      }
    }
  }
  const prompt = { tokens: tokensOf(1), blockTokens, lora: "" };
  ok(tree.chain(prompt)[0] !== (await emptyTree(blockTreeBytes, 8n)).chain(prompt)[0]);
  throws(() => tree.chain({ ...prompt, blockTokens: 0 }), RangeError);
});

Deno.test("chain() and store() take more than fits the scratch", async () => {
  const [tree, twin] = [await emptyTree(8 << 20), new BlockTreeTwin(8, 7n)];
  const tokens = Uint32Array.from({ length: 700_000 }, (_, i) => i * 31);
  for (const blockTokens of [16, 300_000]) {
    deepStrictEqual(tree.chain({ tokens, blockTokens, lora: "" }), twin.chain({ tokens, blockTokens, lora: "" }));
  }
  const blocks = 40_000;
  const store = { ...storeOf(blocks), tokens, extras: [["salt"], undefined, ["x"]] };
  equal(tree.store(3, store), true);
  const path = tree.changed.slice();
  equal(path.length, blocks);
  equal(tree.match(path).blocks[3], blocks);
  twin.store(3, store);
  deepStrictEqual(path, twin.changed);
  equal(tree.remove(3, KvTier.Gpu, hashesOf(blocks)), blocks);
  deepStrictEqual(tree.changed, path);
  equal(tree.hold(2, KvTier.Cpu, new BigUint64Array(200_000).map((_, i) => BigInt(i))), 200_000);
  throws(() => tree.store(3, { ...storeOf(1), blockTokens: 300_000, tokens }), RangeError);
  throws(() => tree.store(3, { ...storeOf(2), tokens: tokensOf(1) }), RangeError);
});

Deno.test("store() is the first thing a tree is asked and keeps the engine's hashes", async () => {
  const tree = await emptyTree();
  tree.store(0, storeOf(3));
  deepStrictEqual([...tree.held(0)].map(({ engineHash }) => engineHash).sort(), [1n, 2n, 3n]);
});

Deno.test("store() mixes extras in as chain() does, and goes on from a parent", async () => {
  const tree = await emptyTree();
  const store = storeOf(4);
  tree.store(1, { ...store, hashes: hashesOf(2), extras: [["salt"], ["image"]] });
  tree.store(1, { ...store, hashes: hashesOf(2, 3), tokens: store.tokens.subarray(32), parent: 2n });
  const extras = new Map([[0, ["salt"]], [1, ["image"]]]);
  const path = tree.chain({ tokens: store.tokens, blockTokens, lora: "", extras });
  equal(tree.match(path).blocks[1], 4);
  equal(tree.store(1, { ...store, parent: 99n }), false);
  equal(tree.store(0, { ...store, parent: 2n }), false, "another slot's hashes mean nothing here");
});

Deno.test("store() of a known engine hash with other tokens drops what it meant before", async () => {
  const tree = await emptyTree();
  tree.store(0, storeOf(3));
  const before = tree.chain({ tokens: tokensOf(3, 1), blockTokens, lora: "" });
  tree.store(0, { ...storeOf(3), tokens: tokensOf(3, 500) });
  equal(tree.match(before).blocks[0], 0);
  equal(tree.match(tree.chain({ tokens: tokensOf(3, 500), blockTokens, lora: "" })).blocks[0], 3);
  equal(tree.stats().blocks, 3);
});

Deno.test("two engine hashes of one block hold it until the second is removed", async () => {
  const tree = await emptyTree();
  tree.store(0, storeOf(2));
  tree.store(0, { ...storeOf(2), hashes: hashesOf(2, 100) });
  equal(tree.changed.length, 0);
  equal(tree.stats().pairs, 2);
  tree.remove(0, KvTier.Gpu, hashesOf(2));
  equal(tree.changed.length, 0);
  equal(tree.stats().pairs, 2);
  tree.remove(0, KvTier.Gpu, hashesOf(2, 100));
  equal(tree.changed.length, 2);
  equal(tree.stats().bytesUsed, 0);
});

Deno.test("clear() forgets at once whatever the number of blocks, and again and again", async () => {
  const tree = await emptyTree();
  const path = tree.chain({ tokens: tokensOf(50, 1), blockTokens, lora: "" });
  tree.store(1, storeOf(50));
  // More often than ages have bits, without reaping.
  for (let round = 0; round < 40; round++) {
    tree.store(0, storeOf(50));
    tree.setCapacity(0, 100);
    tree.claim(0, path.map((hash) => hash + 1n));
    equal(tree.match(path).blocks[0], 50);
    tree.clear(0);
    equal(tree.match(path).blocks[0], 0);
    equal(tree.knows(0, 1n), false);
    deepStrictEqual(tree.slotStats(0), { tiers: [0, 0, 0, 0], blocks: 0, doubted: 0, routed: 0 });
    equal(tree.stats().pairs, 50);
  }
  equal(tree.match(path).blocks[1], 50);
  const { blocks, pairs } = reaped(tree);
  deepStrictEqual([blocks, pairs], [50, 50]);
});

Deno.test("doubt() and trust() may alternate without end, and what is told in between is told", async () => {
  const tree = await emptyTree();
  const twin = new BlockTreeTwin(8, 7n);
  for (let round = 0; round < 40; round++) {
    for (const t of [tree, twin]) {
      t.doubt(0);
      t.store(0, storeOf(2, 1 + round * 10));
      if (round % 3 === 0) t.doubt(0);
      t.locate(0, KvTier.Cpu, hashesOf(1, 1 + (round >> 1) * 10));
      if (round % 5 !== 0) t.trust(0);
    }
    deepStrictEqual(tree.slotStats(0), twin.slotStats(0), `round ${round}`);
  }
  for (const t of [tree, twin]) {
    t.doubt(0);
    t.locate(0, KvTier.Disk, hashesOf(1));
    t.dropDoubted(0);
  }
  deepStrictEqual(tree.slotStats(0), twin.slotStats(0));
  equal(reaped(tree).pairs, 1);
});

Deno.test("held() and restore() carry a slot over, references and all", async () => {
  const [from, to] = [await emptyTree(), await emptyTree()];
  for (let i = 0; i < 3; i++) from.store(0, storeOf(2000));
  from.locate(0, KvTier.Shared, hashesOf(5));
  from.hold(1, KvTier.Disk, hashesOf(30));
  for (const slot of [0, 1]) equal(to.restore(slot, from.held(slot)), slot ? 30 : 2000);
  const text = (tree: BlockTree, slot: number) =>
    [...tree.held(slot)].map(({ hash, engineHash, tiers }) => `${hash} ${engineHash} ${tiers}`).sort();
  for (const slot of [0, 1]) deepStrictEqual(text(to, slot), text(from, slot));
  deepStrictEqual(to.slotStats(0), from.slotStats(0));
});

Deno.test("a full tree gives up routed blocks first, keeps to its memory and counts what it gives up", async () => {
  const tree = await emptyTree(65_536);
  tree.setCapacity(7, 10_000);
  const routed = hashesOf(500, 1_000_000);
  tree.claim(7, routed);
  tree.settle(7, routed, true);
  tree.store(0, storeOf(300));
  let from = 1000;
  while (tree.stats().evicted === 0) tree.store(1, storeOf(50, from += 1000));
  while (tree.slotStats(7).routed > 100) tree.store(1, storeOf(50, from += 1000));
  const { evicted } = tree.stats();
  ok(
    tree.slotStats(0).blocks + tree.slotStats(1).blocks > 0.9 * (from / 1000 - 1) * 50,
    "engines' blocks stay meanwhile",
  );
  ok(evicted >= 400);
  const fresh = 10_000_000;
  for (let i = 0; i < 200; i++) {
    tree.store(2, storeOf(50, fresh + i * 1000));
    const { bytesUsed, bytesMax } = tree.stats();
    ok(bytesUsed <= bytesMax);
  }
  const newest = tree.chain({ tokens: tokensOf(50, fresh + 199 * 1000), blockTokens, lora: "" });
  ok(tree.match(newest).blocks[2] > 30, "what was told last is mostly there");
  ok(tree.slotStats(0).blocks < 100, "what was told first is mostly gone");
});

Deno.test("settle() gives up the least recent ends beyond the capacity", async () => {
  const tree = await emptyTree();
  tree.setCapacity(0, 10);
  const [a, b] = [hashesOf(8, 100), hashesOf(8, 200)];
  for (const path of [a, b]) {
    tree.claim(0, path);
    tree.settle(0, path, true);
  }
  deepStrictEqual([tree.match(a).blocks[0], tree.match(b).blocks[0], tree.stats().trimmed], [2, 8, 6]);
  tree.setCapacity(0, 9);
  equal(tree.match(a).blocks[0], 1);
});

Deno.test("claim() takes room: what is kept gives way, and what had both is left with the claim", async () => {
  const tree = await emptyTree();
  tree.setCapacity(0, 9);
  const [a, b] = [hashesOf(8, 100), hashesOf(8, 200)];
  for (const path of [a, b]) {
    tree.claim(0, path);
    tree.settle(0, path, true);
  }
  tree.claim(0, a);
  deepStrictEqual([tree.match(a).blocks[0], tree.match(b).blocks[0], tree.slotStats(0).routed], [8, 1, 9]);
  tree.settle(0, a, false);
  deepStrictEqual([tree.match(a).blocks[0], tree.match(b).blocks[0]], [0, 1]);
});

Deno.test("a thousand slots may hold one block, each its own set of holders on the way", async () => {
  const hotpath = await Hotpath.load({ ...sizes, endpoints: 1024, blockTreeBytes: 32 << 20 }, 1);
  const tree = hotpath.blockTree;
  const path = hashesOf(40);
  for (let slot = 0; slot < 1024; slot++) equal(tree.hold((slot * 7) % 1024, KvTier.Gpu, path), 40);
  deepStrictEqual(tree.match(path).blocks, new Int32Array(1024).fill(40));
  deepStrictEqual([tree.stats().pairs, tree.stats().sets, tree.stats().blocks], [40_960, 1, 40]);
  for (let slot = 0; slot < 1024; slot++) tree.release(slot, KvTier.Gpu, path.subarray(slot % 40));
  deepStrictEqual([...tree.match(path).blocks.subarray(0, 42)], [...Array(42).keys()].map((slot) => slot % 40));
});

Deno.test("init() refuses a region too small for a tree", async () => {
  const tree = await emptyTree();
  throws(() => tree.init(18_000), /must be at least/);
  tree.init(18_752);
  tree.store(0, storeOf(5));
  equal(tree.stats().pairs, 5);
});
