import { deepStrictEqual, equal } from "node:assert/strict";
import { KvTier } from "../core/mod.ts";
import { BlockTreeTwin } from "./block_tree_twin.ts";

const tokens = Uint32Array.from({ length: 64 }, (_, i) => i * 7);
const prompt = { tokens, blockTokens: 16, lora: "" };
const hashes = BigUint64Array.of(1n, 2n, 3n, 4n);
const stored = { tier: KvTier.Gpu, hashes, tokens, blockTokens: 16, lora: "" };

Deno.test("store() of an engine's blocks is what match() finds by tokens, whatever the block size", () => {
  const twin = new BlockTreeTwin(2, 5n);
  equal(twin.store(1, stored), true);
  const path = twin.chain(prompt);
  deepStrictEqual([...twin.changed], [...path]);
  deepStrictEqual([...twin.match(path).blocks], [0, 4]);
  deepStrictEqual([...twin.match(twin.chain({ ...prompt, blockTokens: 32 })).blocks], [0, 2]);
  deepStrictEqual([...twin.match(twin.chain({ ...prompt, lora: "a" })).blocks], [0, 0]);
  equal(twin.store(0, { ...stored, parent: 9n }), false);
});

Deno.test("remove() takes one reference of one tier", () => {
  const twin = new BlockTreeTwin(1, 5n);
  twin.store(0, stored);
  twin.store(0, stored);
  equal(twin.locate(0, KvTier.Cpu, hashes.subarray(0, 2)), 2);
  equal(twin.remove(0, KvTier.Gpu, hashes), 4);
  equal(twin.changed.length, 0);
  equal(twin.remove(0, KvTier.Gpu, hashes), 4);
  deepStrictEqual(twin.slotStats(0), { tiers: [0, 2, 0, 0], blocks: 2, doubted: 0, routed: 0 });
  deepStrictEqual([...twin.match(twin.chain(prompt)).tiers], [0, 2, 0, 0]);
});

Deno.test("dropDoubted() drops each tier that was not told again, and its references", () => {
  const twin = new BlockTreeTwin(1, 5n);
  twin.store(0, stored);
  twin.locate(0, KvTier.Cpu, hashes);
  twin.doubt(0);
  equal(twin.slotStats(0).doubted, 4);
  twin.locate(0, KvTier.Cpu, hashes.subarray(0, 3));
  equal(twin.slotStats(0).doubted, 1);
  twin.dropDoubted(0);
  deepStrictEqual(twin.slotStats(0), { tiers: [0, 3, 0, 0], blocks: 3, doubted: 0, routed: 0 });
  equal(twin.knows(0, 4n), false);
  twin.remove(0, KvTier.Cpu, hashes);
  equal(twin.stats().pairs, 0);
});

Deno.test("settle() keeps leading blocks up to the capacity; engine evidence replaces routed", () => {
  const twin = new BlockTreeTwin(1, 5n);
  const path = twin.chain(prompt);
  twin.setCapacity(0, 3);
  twin.claim(0, path);
  equal(twin.match(path).blocks[0], 4);
  twin.settle(0, path, true);
  equal(twin.match(path).blocks[0], 3);
  twin.hold(0, KvTier.Disk, path.subarray(0, 1));
  deepStrictEqual(twin.slotStats(0), { tiers: [0, 0, 1, 0], blocks: 1, doubted: 0, routed: 2 });
  twin.forgetRouted(0);
  equal(twin.stats().pairs, 1);
});
