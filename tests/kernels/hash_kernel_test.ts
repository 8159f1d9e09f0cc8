import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { hashBlocksTwin, xxh64Twin } from "../../src/hotpath/hash_twin.ts";
import { Hotpath } from "../../src/hotpath/mod.ts";

const sizes = { endpoints: 8, blockTreeBytes: 65_536, bodyBytesMax: 1024, prefixTokensMax: 4096 };
const seed = 0x0123_4567_89ab_cdefn;
const hotpath = await Hotpath.load(sizes, seed);
const { kernels, memory, layout } = hotpath.instance;
const utf8 = (text: string) => new TextEncoder().encode(text);

/** The kernel's `hashBlocks` with a root of the test's choosing. */
function hashBlocks(bytes: Uint8Array, blockBytes: number, seed: bigint, root: bigint): bigint[] {
  new Uint8Array(memory.buffer).set(bytes, layout.prompt.offset);
  const n = kernels.hashBlocks(layout.prompt.offset, bytes.length, blockBytes, seed, root, layout.hashes.offset);
  return [...new BigUint64Array(memory.buffer, layout.hashes.offset, n)];
}

Deno.test("xxh64() gives the published values", () => {
  // From the reference implementation's documentation and test suites of its ports.
  const cases: [string, bigint, bigint][] = [
    ["", 0n, 0xef46db3751d8e999n],
    ["", 1n, 0xd5afba1336a3be4bn],
    ["a", 0n, 0xd24ec4f1a98c6e5bn],
    ["abc", 0n, 0x44bc2cf5ad770999n],
    ["message digest", 0n, 0x066ed728fceeb3ben],
    ["abcdefghijklmnopqrstuvwxyz", 0n, 0xcfe1f278fa89835cn],
    ["ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", 0n, 0xaaa46907d3047814n],
    ["12345678901234567890123456789012345678901234567890123456789012345678901234567890", 0n, 0xe04a477f19ee145dn],
  ];
  for (const [text, seed, expected] of cases) {
    equal(hotpath.xxh64(utf8(text), seed), expected, `kernel: ${text}`);
    equal(xxh64Twin(utf8(text), seed), expected, `twin: ${text}`);
  }
});

Deno.test("hashBlocks() with seed 0 gives llm-d's approximate-prefix hashes", () => {
  const tokens = new Uint8Array(Uint32Array.from({ length: 32 }, (_, i) => i + 1).buffer);
  const root = hotpath.xxh64(utf8("m"), 0n);
  equal(root, 0xba2e567083a2b2e8n);
  deepStrictEqual(hashBlocks(tokens, 64, 0n, root), [0xa4173e7ed9159bc8n, 0x6bb0a3a4c5875d6en]);
});

Deno.test("xxh64() equals its twin on any bytes and seed", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (bytes, seed) => {
      equal(hotpath.xxh64(bytes, seed), xxh64Twin(bytes, seed));
    }),
    { seed: 1, numRuns: 500 },
  );
});

Deno.test("hashBlocks() equals its twin on any bytes, block size, seed and root", () => {
  const u64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  const blockBytes = fc.constantFrom(64, 256, 68);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1000 }), blockBytes, u64, u64, (bytes, blockBytes, seed, root) => {
      deepStrictEqual(hashBlocks(bytes, blockBytes, seed, root), hashBlocksTwin(bytes, blockBytes, seed, root));
    }),
    { seed: 2, numRuns: 200 },
  );
});
