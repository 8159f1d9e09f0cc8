import { deepStrictEqual, equal, notEqual, throws } from "node:assert/strict";
import fc from "fast-check";
import { hashBlocksTwin, Hotpath, xxh64Twin } from "../../src/hotpath/mod.ts";

const sizes = { endpoints: 8, prefixTreeBytes: 65_536, bodyBytesMax: 1024, prefixTokensMax: 4096 };
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

Deno.test("hashPrompt() chains: prompts share hashes exactly as far as they share blocks", () => {
  const identity = { model: "m", salt: "", blockTokens: 16 };
  const bytes = Uint8Array.from({ length: 64 * 5 + 7 }, (_, i) => i * 31);
  const hashes = hotpath.hashPrompt(bytes, identity);
  equal(hashes.length, 6, "the last, partial block is hashed");
  for (let changed = 0; changed < bytes.length; changed += 13) {
    const other = bytes.slice();
    other[changed] ^= 1;
    const shared = hotpath.hashPrompt(other, identity).findIndex((hash, i) => hash !== hashes[i]);
    equal(shared, Math.floor(changed / 64), `byte ${changed}`);
  }
});

Deno.test("hashPrompt() differs by model, salt, their boundary and the process seed", async () => {
  const bytes = utf8("the same prompt");
  const first = (path: Hotpath, model: string, salt: string) =>
    path.hashPrompt(bytes, { model, salt, blockTokens: 16 })[0];
  const base = first(hotpath, "ab", "c");
  equal(first(hotpath, "ab", "c"), base);
  notEqual(first(hotpath, "a", "bc"), base);
  notEqual(first(hotpath, "ab", "d"), base);
  notEqual(first(hotpath, "ax", "c"), base);
  notEqual(first(await Hotpath.load(sizes, 7), "ab", "c"), base);
});

Deno.test("hashPrompt() takes names longer than its scratch", () => {
  const bytes = utf8("prompt");
  const long = "n".repeat(100_000);
  const hash = (salt: string) => hotpath.hashPrompt(bytes, { model: "m", salt, blockTokens: 16 })[0];
  notEqual(hash(long + "a"), hash(long + "b"));
  notEqual(hash("a" + long), hash("b" + long));
});

Deno.test("hashPrompt() leaves out what lies beyond the longest matched prefix", () => {
  const identity = { model: "m", salt: "", blockTokens: 16 };
  const bytes = new Uint8Array(4096 * 4 + 1000).fill(7);
  const hashes = hotpath.hashPrompt(bytes, identity);
  equal(hashes.length, 256);
  deepStrictEqual(hashes, hotpath.hashPrompt(bytes.subarray(0, 4096 * 4), identity));
});

Deno.test("hashPrompt() hashes in place what lies in the prompt region", () => {
  const identity = { model: "m", salt: "s", blockTokens: 16 };
  const bytes = utf8("some canonical text ".repeat(20));
  const expected = hotpath.hashPrompt(bytes, identity);
  const region = new Uint8Array(memory.buffer, layout.prompt.offset, bytes.length);
  region.set(bytes);
  deepStrictEqual(hotpath.hashPrompt(region, identity), expected);
});

Deno.test("hashPrompt() gives no hashes for an empty prompt and refuses a bad block size", () => {
  equal(hotpath.hashPrompt(new Uint8Array(), { model: "m", salt: "", blockTokens: 16 }).length, 0);
  throws(() => hotpath.hashPrompt(new Uint8Array(4), { model: "m", salt: "", blockTokens: 8 }), RangeError);
  throws(() => hotpath.hashPrompt(new Uint8Array(4), { model: "m", salt: "", blockTokens: 16.5 }), RangeError);
  throws(() => hotpath.xxh64(new Uint8Array(1_000_000), 0n), RangeError);
});
