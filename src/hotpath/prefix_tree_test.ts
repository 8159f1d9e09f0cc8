import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { Hotpath, type PrefixTree } from "./mod.ts";

const slots = 5;
const sizes = { endpoints: slots, prefixTreeBytes: 1 << 20, bodyBytesMax: 64, prefixTokensMax: 1024 };
const hotpath = await Hotpath.load(sizes, 1);

/** An empty tree over `bytes` of the region. */
function emptyTree(bytes = sizes.prefixTreeBytes): PrefixTree {
  hotpath.prefixTree.init(bytes);
  return hotpath.prefixTree;
}

/** A path whose blocks are the characters of `text`, chained. */
function path(text: string): BigUint64Array {
  let chain = 0xcbf29ce484222325n;
  return BigUint64Array.from(text, (block) => {
    chain = BigInt.asUintN(64, (chain ^ BigInt(block.charCodeAt(0))) * 0x9e3779b97f4a7c15n);
    return chain ^= chain >> 29n;
  });
}

const held = (tree: PrefixTree, text: string) => [...tree.match(path(text))];

Deno.test("match() counts each slot's leading blocks", () => {
  const tree = emptyTree();
  for (let slot = 0; slot < slots; slot++) tree.setCapacity(slot, 1000);
  tree.insert(0, path("system prompt, then a question"), true);
  tree.insert(1, path("system prompt, then another"), true);
  tree.insert(2, path("system"), true);
  tree.insert(3, path("unrelated"), true);
  deepStrictEqual(held(tree, "system prompt, then a question"), [30, 21, 6, 0, 0]);
  deepStrictEqual(held(tree, "system prompt"), [13, 13, 6, 0, 0]);
  deepStrictEqual(held(tree, "u"), [0, 0, 0, 1, 0]);
  deepStrictEqual(held(tree, ""), [0, 0, 0, 0, 0]);
});

Deno.test("insert() drops a slot's least recently inserted tails beyond its capacity", () => {
  const tree = emptyTree();
  tree.setCapacity(0, 12);
  tree.insert(0, path("abcdef"), true);
  tree.insert(0, path("abcxyz"), true);
  equal(tree.slotBlocks(0), 9);
  tree.insert(0, path("abcdef"), true);
  // Six new blocks: three of the oldest tail, xyz, go first, deepest first; abcdef is newer.
  tree.insert(0, path("123456"), true);
  equal(tree.slotBlocks(0), 12);
  deepStrictEqual([held(tree, "abcxyz")[0], held(tree, "abcdef")[0], held(tree, "123456")[0]], [3, 6, 6]);
  tree.insert(0, path("12Z"), true);
  deepStrictEqual([held(tree, "abcdef")[0], held(tree, "123456")[0], held(tree, "12Z")[0]], [5, 6, 3]);
  equal(tree.stats().trimmedBlocks, 4);
});

Deno.test("insert() keeps the leading part of a path longer than the slot's capacity", () => {
  const tree = emptyTree();
  tree.setCapacity(0, 4);
  equal(tree.insert(0, path("abcdefgh"), true), 4);
  equal(held(tree, "abcdefgh")[0], 4);
  equal(tree.insert(1, path("abcdefgh"), true), 0, "a slot starts with no capacity");
  equal(tree.insert(slots, path("abc"), true), 0, "an unknown slot holds nothing");
});

Deno.test("withdraw() removes what is neither confirmed nor on the way to other blocks", () => {
  const tree = emptyTree();
  tree.setCapacity(0, 100);
  tree.insert(0, path("abcd"), true);
  tree.insert(0, path("abcdefgh"), false);
  tree.insert(0, path("abcdefxy"), false);
  equal(tree.withdraw(0, path("abcdefgh"), 0), 2, "ef leads to xy");
  equal(held(tree, "abcdefgh")[0], 6);
  equal(tree.withdraw(0, path("abcdefxy"), 7), 1);
  equal(tree.withdraw(0, path("abcdefxy"), 0), 3);
  equal(held(tree, "abcdefxy")[0], 4, "abcd is confirmed");
  equal(tree.withdraw(0, path("abcd"), 0), 0);
});

Deno.test("clearSlot() of every slot leaves an empty tree", () => {
  const tree = emptyTree();
  for (let slot = 0; slot < slots; slot++) {
    tree.setCapacity(slot, 1000);
    for (const text of ["shared start " + slot, "shared other", "own" + slot]) tree.insert(slot, path(text), true);
  }
  ok(tree.stats().nodes > slots);
  for (let slot = 0; slot < slots; slot++) tree.clearSlot(slot);
  const { evictedBlocks: _, trimmedBlocks: __, bytesMax: ___, ...rest } = tree.stats();
  deepStrictEqual(rest, { blocks: 0, pairs: 0, nodes: 0, holders: 0, bytesUsed: 0 });
});

Deno.test("init() refuses a region too small for a tree", () => {
  throws(() => emptyTree(4096), /must be at least/);
});

Deno.test("match() stays valid over inserts and stats(), and ignores blocks beyond the longest path", () => {
  const tree = emptyTree();
  tree.setCapacity(0, 1000);
  const long = path("x".repeat(500));
  equal(tree.insert(0, long, true), tree.blocksMax);
  const match = tree.match(long);
  tree.insert(0, path("other"), true);
  tree.stats();
  deepStrictEqual([...match], [tree.blocksMax, 0, 0, 0, 0]);
});

Deno.test("insert() takes at most 48 bytes a block for unshared paths of five blocks and more, table included", () => {
  for (const blocks of [5, 16, 64]) {
    const tree = emptyTree();
    tree.setCapacity(0, 100_000);
    for (let i = 0; i < 100; i++) tree.insert(0, path(String.fromCharCode(1000 + i).padEnd(blocks, "x")), true);
    const { bytesUsed, bytesMax, pairs } = tree.stats();
    equal(pairs, 100 * blocks);
    ok(bytesUsed / bytesMax * sizes.prefixTreeBytes / pairs <= 48, `${blocks} blocks`);
  }
});
