import { deepStrictEqual, equal, notEqual, throws } from "node:assert/strict";
import { promptFromTokens, promptFromTrace } from "./prompt.ts";

const ids = (count: number, from = 0) => Uint32Array.from({ length: count }, (_, i) => from + i);

Deno.test("promptFromTokens() has a key for each full block and none for the partial one", () => {
  const prompt = promptFromTokens(ids(39), { blockSize: 16 });
  equal(prompt.tokens, 39);
  equal(prompt.keys.length, 2);
});

Deno.test("promptFromTokens() gives prompts with a common prefix common leading keys only", () => {
  const a = promptFromTokens(ids(64), { blockSize: 16 }).keys;
  const b = promptFromTokens([...ids(32), ...ids(32, 900)], { blockSize: 16 }).keys;
  deepStrictEqual([...a.slice(0, 2)], [...b.slice(0, 2)]);
  notEqual(a[2], b[2]);
  notEqual(a[3], b[3]);
});

Deno.test("promptFromTokens() separates adapters and salts from the first block on", () => {
  const keys = [
    promptFromTokens(ids(16), { blockSize: 16 }),
    promptFromTokens(ids(16), { blockSize: 16, adapter: "a" }),
    promptFromTokens(ids(16), { blockSize: 16, salt: "a" }),
    promptFromTokens(ids(16), { blockSize: 16, adapter: "b" }),
  ].map((prompt) => prompt.keys[0]);
  equal(new Set(keys).size, 4);
});

Deno.test("promptFromTokens() names the blocks the output fills as the next turn's prompt does", () => {
  const first = promptFromTokens(ids(20), { blockSize: 16 }, ids(30, 20));
  const next = promptFromTokens(ids(50), { blockSize: 16 });
  equal(first.tokens, 20);
  deepStrictEqual([...first.keys], [...next.keys]);
});

Deno.test("promptFromTrace() splits trace blocks in engine blocks and shares what the ids share", () => {
  const a = promptFromTrace([5, 6, 7], 1100, { blockSize: 16 });
  const b = promptFromTrace([5, 6, 8], 1536, { blockSize: 16 });
  equal(a.tokens, 1100);
  equal(a.keys.length, 68);
  equal(b.keys.length, 96);
  deepStrictEqual([...a.keys.slice(0, 64)], [...b.keys.slice(0, 64)]);
  notEqual(a.keys[64], b.keys[64]);
  equal(new Set(b.keys).size, 96);
});

Deno.test("promptFromTrace() refuses a block size that does not divide the trace's", () => {
  throws(() => promptFromTrace([1], 512, { blockSize: 48 }), /multiple of the block size 48/);
});
