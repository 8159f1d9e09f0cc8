import { deepStrictEqual, equal, notEqual, throws } from "node:assert/strict";
import { shapeTrace } from "../../bench/replay/shapes.ts";
import { lruHitRate, readTrace, routerHashes, type TraceRequest } from "../../bench/replay/trace.ts";

const request = (hashIds: number[], inputTokens = hashIds.length * 512): TraceRequest => ({
  atMs: 0,
  inputTokens,
  outputTokens: 1,
  hashIds,
});

Deno.test("readTrace() reads Mooncake's lines in order of time", () => {
  const text = `{"timestamp": 9, "input_length": 600, "output_length": 3, "hash_ids": [4, 5]}
{"timestamp": 0, "input_length": 512, "output_length": 7, "hash_ids": [4]}
`;
  deepStrictEqual(readTrace(text), [
    { atMs: 0, inputTokens: 512, outputTokens: 7, hashIds: [4] },
    { atMs: 9, inputTokens: 600, outputTokens: 3, hashIds: [4, 5] },
  ]);
});

Deno.test("readTrace() reads Azure's table as prompts that share nothing", () => {
  const text = `TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,1040,0
`;
  deepStrictEqual(readTrace(text), [
    { atMs: 0, inputTokens: 374, outputTokens: 44, hashIds: [0] },
    { atMs: 4315, inputTokens: 1040, outputTokens: 1, hashIds: [1, 2, 3] },
  ]);
});

Deno.test("readTrace() refuses what is no trace", () => {
  throws(() => readTrace('{"timestamp": 0, "input_length": 600, "output_length": 3, "hash_ids": [4]}'), /line 1/);
  throws(() => readTrace("a,b,c\n1,2,3"), /Azure's header/);
  throws(() => readTrace("TIMESTAMP,ContextTokens,GeneratedTokens\n"), /without requests/);
  throws(() => readTrace("TIMESTAMP,ContextTokens,GeneratedTokens\nsoon,1,2"), /line 2/);
});

Deno.test("lruHitRate() of an unbounded cache counts leading blocks seen before", () => {
  const trace = [request([1, 2]), request([1, 2, 3], 1100), request([4, 2])];
  // 2 of 7 blocks; 1024 of 3148 tokens. The last request's block 2 does not lead.
  const { blocks, tokens } = lruHitRate(trace, Infinity);
  equal(blocks, 2 / 7);
  equal(tokens, 1024 / 3148);
});

Deno.test("lruHitRate() forgets the blocks used longest ago, tails before heads", () => {
  const room = 3 * 512;
  equal(lruHitRate([request([1]), request([2]), request([3]), request([4]), request([1])], room).blocks, 0);
  equal(
    lruHitRate([request([1]), request([2]), request([1]), request([3]), request([4]), request([1])], room).blocks,
    2 / 6,
  );
  // Of the first prompt, the head is still there.
  equal(lruHitRate([request([1, 2]), request([3, 4]), request([1, 2])], room).blocks, 1 / 6);
});

Deno.test("routerHashes() are equal exactly where prefixes are", () => {
  const a = routerHashes(request([1, 2], 1000), 64), b = routerHashes(request([1, 3], 1000), 64);
  equal(a.length, 16);
  equal(new Set([...a, ...b]).size, 24);
  deepStrictEqual(a.slice(0, 8), b.slice(0, 8));
  // 1000 = 15 × 64 + 40: the last block is partial, so longer prompts with the same ids differ there.
  const longer = routerHashes(request([1, 2], 1020), 64);
  deepStrictEqual(longer.slice(0, 15), a.slice(0, 15));
  notEqual(longer[15], a[15]);
});

Deno.test("shapeTrace() is the same for the same seed and has the sharing its shape says", () => {
  const trace = shapeTrace("smoke", 3);
  deepStrictEqual(trace, shapeTrace("smoke", 3));
  notEqual(trace[0].atMs, shapeTrace("smoke", 4)[0].atMs);
  equal(new Set(trace.map(({ hashIds }) => hashIds[0])).size, 6);
  equal(new Set(trace.map(({ hashIds }) => hashIds.at(-1))).size, 18);
  equal(trace.every(({ hashIds, inputTokens }) => hashIds.length === Math.ceil(inputTokens / 512)), true);
});
