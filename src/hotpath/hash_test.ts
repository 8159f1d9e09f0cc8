import { deepStrictEqual, equal, notEqual, throws } from "node:assert/strict";
import { Hotpath } from "./mod.ts";

const sizes = { endpoints: 8, blockTreeBytes: 65_536, bodyBytesMax: 1024, prefixTokensMax: 4096 };
const hotpath = await Hotpath.load(sizes, 0x0123_4567_89ab_cdefn);
const { memory, layout } = hotpath.instance;
const utf8 = (text: string) => new TextEncoder().encode(text);

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
