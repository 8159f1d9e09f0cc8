import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { VirtualClock } from "../../core/mod.ts";
import type { EngineOptions } from "../engine_types.ts";
import { promptFromTokens, promptFromTrace, tokensFromTrace } from "../prompt.ts";
import { SimEndpoint, type SimRequest } from "../sim_endpoint.ts";
import { blockHashNames } from "./block_hash.ts";
import type { SimKvBatch, SimStored } from "./events.ts";
import { heldIn, NaiveIndex } from "./naive_index_fixture.ts";
import type { KvWatchOptions } from "./watch_options.ts";

const ids = (length: number, family = 0) => Uint32Array.from({ length }, (_, i) => family * 1000 + i);

function make(options: Partial<EngineOptions> = {}, kv: Partial<KvWatchOptions> = {}) {
  const clock = new VirtualClock();
  const batches: SimKvBatch[] = [];
  const engine = { blockSize: 4, cacheBlocks: 16, maxLoras: 4, ...options };
  const endpoint = new SimEndpoint(clock, "e", engine, { onBatch: (batch) => batches.push(batch), ...kv });
  const run = (prompt: Uint32Array, output: Uint32Array = new Uint32Array(0), adapter?: string, salt?: string) => {
    const request: SimRequest = {
      prompt: promptFromTokens(prompt, { blockSize: 4, adapter, salt }, output),
      outputTokens: output.length,
      adapter,
    };
    let cached = -1;
    endpoint.submit(request, { onFinish: (times) => cached = times.cachedTokens });
    while (clock.step());
    return cached;
  };
  return { clock, endpoint, batches, run };
}

const told = (batches: SimKvBatch[]) =>
  batches.map(({ events }) =>
    events.map((event) => event.kind === "cleared" ? "cleared" : `${event.kind} ${event.tier} ${event.hashes.length}`)
  );

Deno.test("CacheLedger tells one store a request and step, with parent and tokens, output included", () => {
  const { batches, run } = make({ maxBatchedTokens: 8 });
  run(ids(10), Uint32Array.of(90, 91, 92));
  // Steps of 8 and 2 prompt tokens; the second output token's KV fills the third block.
  deepStrictEqual(told(batches), [["stored gpu 2"], ["stored gpu 1"]]);
  const [first, second] = batches.map(({ events }) => events[0] as SimStored);
  equal(first.parent, undefined);
  deepStrictEqual([...first.tokens], [0, 1, 2, 3, 4, 5, 6, 7]);
  deepStrictEqual(second.parent, first.hashes[1]);
  deepStrictEqual([...second.tokens], [8, 9, 90, 91]);
  equal(first.blockSize, 4);
  ok(batches[0].atMs < batches[1].atMs);
});

Deno.test("CacheLedger tells of each evicted block before what takes its place", () => {
  const { batches, run } = make({ cacheBlocks: 4 });
  run(ids(12));
  run(ids(8, 1));
  deepStrictEqual(told(batches), [["stored gpu 3"], ["removed gpu 1", "stored gpu 2"]]);
  const [stored] = batches[0].events as SimStored[];
  // The end of a chain goes first.
  deepStrictEqual((batches[1].events[0] as SimStored).hashes, [stored.hashes[2]]);
});

Deno.test("CacheLedger puts the adapter in every block's extras and the salt in the first block's", () => {
  const { batches, run, endpoint } = make();
  run(ids(8), undefined, "sql", "s");
  run(ids(8));
  const [event] = batches[0].events as SimStored[];
  deepStrictEqual(event.extras, [{ adapter: "sql", salt: "s" }, { adapter: "sql" }]);
  equal(event.adapter, "sql");
  ok(Number.isInteger(event.adapterId) && event.adapterId! > 0);
  equal(endpoint.trueCache().length, 4);
});

Deno.test("resetCache() empties every tier and tells it, but not while requests run", () => {
  const { clock, endpoint, batches, run } = make({
    offload: { tiers: [{ tier: "cpu", blocks: 8, loadNs: 0 }], policy: "store" },
  });
  run(ids(12));
  endpoint.submit({ prompt: promptFromTokens(ids(8, 2), { blockSize: 4 }), outputTokens: 9 }, { onFinish() {} });
  clock.advance(10);
  equal(endpoint.resetCache(), false);
  while (clock.step());
  equal(endpoint.resetCache(), true);
  deepStrictEqual(told(batches).at(-1), ["cleared"]);
  deepStrictEqual(endpoint.trueCache(), []);
  equal(run(ids(12)), 0);
});

Deno.test("restart() loses requests and cache without a word, and names blocks anew", () => {
  const { clock, endpoint, batches, run } = make();
  run(ids(8));
  let ended = false;
  endpoint.submit({ prompt: promptFromTokens(ids(40, 2), { blockSize: 4 }), outputTokens: 4 }, {
    onFinish: () => ended = true,
  });
  clock.advance(1);
  endpoint.restart();
  while (clock.step());
  equal(ended, false);
  equal(batches.length, 1);
  deepStrictEqual(endpoint.trueCache(), []);
  equal(run(ids(8)), 0);
  const [before, after] = batches.map(({ events }) => events[0] as SimStored);
  deepStrictEqual(before.tokens, after.tokens);
  ok(before.hashes[0].join() !== after.hashes[0].join());
});

Deno.test("a watched engine refuses prompts whose tokens are not known; an unwatched one has no true cache", () => {
  const { endpoint } = make();
  const bare = { prompt: { tokens: 8, keys: new Float64Array(2) }, outputTokens: 0 };
  throws(() => endpoint.submit(bare, { onFinish() {} }), /must have content/);
  throws(() => new SimEndpoint(new VirtualClock(), "e").trueCache(), /not watched/);
});

Deno.test("promptFromTrace() and tokensFromTrace() speak of the same tokens", () => {
  const { batches, endpoint, clock } = make();
  const hashIds = [7, 9];
  endpoint.submit({ prompt: promptFromTrace(hashIds, 14, { blockSize: 4 }, 8), outputTokens: 1 }, { onFinish() {} });
  while (clock.step());
  const tokens = tokensFromTrace(hashIds, 14, 8);
  equal(tokens.length, 14);
  deepStrictEqual((batches[0].events[0] as SimStored).tokens, tokens.slice(0, 12));
  deepStrictEqual(tokensFromTrace([7, 1], 12, 8).slice(0, 8), tokens.slice(0, 8));
  equal(new Set(tokens).size, 14);
});

const tiers = fc.constantFrom<EngineOptions["offload"]["tiers"]>(
  [],
  [{ tier: "cpu", blocks: 6, loadNs: 10 }],
  [{ tier: "cpu", blocks: 5, loadNs: 10 }, { tier: "disk", blocks: 7, loadNs: 1e5 }, {
    tier: "shared",
    blocks: 9,
    loadNs: 2e5,
  }],
);

const call = fc.record({
  family: fc.nat(3),
  tokens: fc.integer({ min: 1, max: 40 }),
  output: fc.integer({ min: 0, max: 12 }),
  adapter: fc.constantFrom(undefined, undefined, "a", "b"),
  salt: fc.constantFrom(undefined, undefined, "x"),
  media: fc.constantFrom(undefined, undefined, "i", "j"),
  waitMs: fc.integer({ min: 0, max: 60 }),
  then: fc.constantFrom("go on", "go on", "go on", "abort", "reset"),
});

Deno.test("the events of any workload, replayed, give the true cache", () => {
  fc.assert(
    fc.property(
      fc.record({
        tiers,
        policy: fc.constantFrom("store" as const, "evict" as const),
        chunk: fc.constantFrom(1, 1, 3),
        self: fc.boolean(),
        cacheBlocks: fc.integer({ min: 13, max: 30 }),
        hash: fc.constantFrom(...blockHashNames),
      }),
      fc.array(call, { maxLength: 25 }),
      ({ tiers, policy, chunk, self, cacheBlocks, hash }, calls) => {
        const clock = new VirtualClock();
        const index = new NaiveIndex();
        const engine = { blockSize: 4, cacheBlocks, maxBatchedTokens: 24, maxLoras: 3, offload: { tiers, policy } };
        const endpoint = new SimEndpoint(clock, "e", engine, {
          blockHash: hash,
          offloadEvents: self ? "self" : "location",
          offloadChunkBlocks: chunk,
          onBatch: (batch) => index.apply(batch),
        });
        for (const { family, tokens, output, adapter, salt, media, waitMs, then } of calls) {
          const spans = media === undefined ? undefined : [{ hash: media, offset: 3, length: 6 }];
          const seed = { blockSize: 4, adapter, salt, media: spans };
          const prompt = promptFromTokens(ids(tokens, family), seed, ids(output, 9 + family));
          const handle = endpoint.submit({ prompt, outputTokens: output, adapter }, { onFinish() {} });
          clock.advance(waitMs);
          if (then === "abort") handle?.abort();
          if (then === "reset") endpoint.resetCache();
        }
        while (clock.step());
        deepStrictEqual(index.held(), heldIn(endpoint.trueCache()));
        const { cachedBlocks } = endpoint.metrics();
        equal(endpoint.trueCache().filter((block) => block.tiers.includes("gpu")).length, cachedBlocks);
      },
    ),
    { numRuns: 300, seed: 11 },
  );
});

Deno.test("trueCache() of a large cache holds every block once, with its chain", () => {
  const { run, endpoint } = make({ cacheBlocks: 5000 });
  for (let family = 0; family < 10; family++) run(ids(2000, family));
  const cache = endpoint.trueCache();
  equal(cache.length, 5000);
  const depth = new Map<unknown, number>();
  for (const block of cache) depth.set(block, block.parent === undefined ? 1 : depth.get(block.parent)! + 1);
  equal(Math.max(...depth.values()), 500);
});
