import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Hotpath, type PrefixTree } from "../../src/hotpath/mod.ts";
import { PrefixTreeTwin } from "../../src/hotpath/prefix_tree_twin.ts";
import { checkTree } from "./tree_invariants.ts";

const slots = 5;
const sizes = { endpoints: slots, prefixTreeBytes: 1 << 20, bodyBytesMax: 64, prefixTokensMax: 16_384 };
const hotpath = await Hotpath.load(sizes, 1);
const check = () => checkTree(hotpath.instance.memory.buffer, hotpath.instance.layout.prefixTree.offset);

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

type Op =
  | { kind: "insert"; slot: number; text: string; confirmed: boolean }
  | { kind: "withdraw"; slot: number; text: string; from: number }
  | { kind: "capacity"; slot: number; blocks: number }
  | { kind: "clear"; slot: number };

const slot = fc.nat(slots - 1);
// Few letters and shared stems, so that paths meet, part and end inside each other's runs at every chunk offset.
const text = fc.tuple(
  fc.constantFrom("", "a", "abcdefgh", "abcdefghijklmnopqrstu", "zzzzzzzzzzzz"),
  fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 25 }),
  fc.constantFrom("", "tail", "the same long tail of a path"),
).map((parts) => parts.join(""));
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("insert" as const), slot, text, confirmed: fc.boolean() }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("withdraw" as const), slot, text, from: fc.nat(40) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("capacity" as const), slot, blocks: fc.nat(120) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("clear" as const), slot }) },
);

function apply(tree: PrefixTree | PrefixTreeTwin, op: Op): number | void {
  switch (op.kind) {
    case "insert":
      return tree.insert(op.slot, path(op.text), op.confirmed);
    case "withdraw":
      return tree.withdraw(op.slot, path(op.text), op.from);
    case "capacity":
      return tree.setCapacity(op.slot, op.blocks);
    case "clear":
      return tree.clearSlot(op.slot);
  }
}

Deno.test("the kernel answers as its twin after any operations, victims in the same order", () => {
  fc.assert(
    fc.property(fc.array(op, { minLength: 1, maxLength: 60 }), fc.nat(150), (ops, capacity) => {
      const tree = emptyTree();
      const twin = new PrefixTreeTwin(slots);
      const texts = new Set<string>();
      for (let slot = 0; slot < slots; slot++) {
        tree.setCapacity(slot, capacity);
        twin.setCapacity(slot, capacity);
      }
      for (const op of ops) {
        equal(apply(tree, op), apply(twin, op), op.kind);
        if ("text" in op) texts.add(op.text);
        check();
        for (let slot = 0; slot < slots; slot++) equal(tree.slotBlocks(slot), twin.slotBlocks(slot));
        for (const text of texts) deepStrictEqual([...tree.match(path(text))], [...twin.match(path(text))]);
      }
      // Squeezing block by block shows the whole order in which blocks are given up.
      for (let slot = 0; slot < slots; slot++) {
        for (let blocks = twin.slotBlocks(slot) - 1; blocks >= 0; blocks--) {
          tree.setCapacity(slot, blocks);
          twin.setCapacity(slot, blocks);
          for (const text of texts) equal(tree.match(path(text))[slot], twin.match(path(text))[slot]);
        }
      }
      check();
      equal(tree.stats().bytesUsed, 0);
    }),
    { seed: 3, numRuns: 1500 },
  );
});

Deno.test("insert() never fails in a memory too small: it evicts the oldest and keeps what was just inserted", () => {
  const bytes = 4352 + slots * 32;
  fc.assert(
    fc.property(fc.array(op, { minLength: 20, maxLength: 120 }), (ops) => {
      const tree = emptyTree(bytes);
      for (let slot = 0; slot < slots; slot++) tree.setCapacity(slot, 10_000);
      for (const op of ops) {
        const recorded = apply(tree, op);
        check();
        if (op.kind === "insert") equal(tree.match(path(op.text))[op.slot] >= recorded!, true);
      }
      for (let slot = 0; slot < slots; slot++) tree.clearSlot(slot);
      equal(tree.stats().bytesUsed, 0);
    }),
    { seed: 4, numRuns: 500 },
  );
});

Deno.test("insert() under eviction keeps the most recent paths whole and gives up the oldest", () => {
  const tree = emptyTree(16_384);
  for (let slot = 0; slot < slots; slot++) tree.setCapacity(slot, 10_000);
  const texts = Array.from({ length: 60 }, (_, i) => `${i}: a prompt of its own, with some forty blocks in it`);
  texts.forEach((text, i) => equal(tree.insert(i % slots, path(text), true), text.length));
  const whole = texts.map((text, i) => tree.match(path(text))[i % slots] === text.length);
  const first = whole.indexOf(true);
  ok(first > 0 && whole.slice(first).every(Boolean), "a suffix of the insertions survives");
  ok(tree.stats().evictedBlocks > 0);
  check();
  equal(tree.insert(0, path("x".repeat(2000)), true) > 0, true, "longer than the memory: a leading part is kept");
  check();
});

Deno.test("insert() and withdraw() of hashes that are not chained break no invariant", () => {
  const garbage = fc.array(fc.bigInt({ min: 0n, max: 6n }), { maxLength: 30 }).map((h) => BigUint64Array.from(h));
  fc.assert(
    fc.property(fc.array(fc.tuple(slot, garbage, fc.boolean()), { maxLength: 60 }), (steps) => {
      const tree = emptyTree(8192);
      for (let slot = 0; slot < slots; slot++) tree.setCapacity(slot, 50);
      for (const [slot, hashes, insert] of steps) {
        if (insert) tree.insert(slot, hashes, true);
        else tree.withdraw(slot, hashes, 0);
        const match = tree.match(hashes);
        ok(match.every((blocks) => blocks >= 0 && blocks <= hashes.length));
        check();
      }
    }),
    { seed: 5, numRuns: 1000 },
  );
});
