import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import type { HeldBlock } from "./block_tree_types.ts";
import { HeldBlocks, heldWords } from "./held_blocks.ts";

const hash = fc.bigInt(0n, 2n ** 64n - 1n);
const refs = fc.nat(255);
const block: fc.Arbitrary<HeldBlock> = fc.oneof(
  fc.tuple(hash, refs, refs).map(([hash, gpu, disk]): HeldBlock => ({ hash, tiers: [gpu, 0, disk, 255] })),
  fc.tuple(hash, hash, refs, refs).map(([hash, engineHash, cpu, shared]): HeldBlock => ({
    hash,
    engineHash,
    tiers: [1, cpu, 0, shared],
  })),
);

Deno.test("HeldBlocks gives back what was added, one by one or packed", () => {
  fc.assert(
    fc.property(fc.array(block, { maxLength: 60 }), (held) => {
      const blocks = HeldBlocks.from(held);
      equal(blocks.length, held.length);
      deepStrictEqual([...blocks], held);
      const copy = new HeldBlocks();
      for (let at = 0; at < held.length; at += 7) {
        const words = blocks.words(at, at + 7);
        copy.extend(words.length / heldWords).set(words);
      }
      deepStrictEqual([...copy], held);
    }),
    { seed: 5, numRuns: 50 },
  );
});

Deno.test("HeldBlocks.add() counts references beyond 255 as 255", () => {
  deepStrictEqual([...HeldBlocks.from([{ hash: 1n, tiers: [300, 0, 0, 256] }])][0].tiers, [255, 0, 0, 255]);
});
