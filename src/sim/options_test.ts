import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { ConfigError } from "../core/mod.ts";
import { defaultSimOptions, engineOptions, resolveSimOptions, servedNames } from "./options.ts";

Deno.test("resolveSimOptions() fills in defaults and freezes", () => {
  const options = resolveSimOptions({ model: "m", seed: undefined });
  deepStrictEqual(options, { ...defaultSimOptions, model: "m" });
  ok(Object.isFrozen(options));
  deepStrictEqual(servedNames(options), ["m"]);
  deepStrictEqual(servedNames(resolveSimOptions({ servedModelNames: ["a", "b"] })), ["a", "b"]);
});

Deno.test("resolveSimOptions() names the option at fault", () => {
  const cases: [Parameters<typeof resolveSimOptions>[0], RegExp][] = [
    [{ port: 70_000 }, /port: must be an integer from 0 to 65535: current value is 70000/],
    [{ maxNumSeqs: 0 }, /maxNumSeqs/],
    [{ speed: 0 }, /speed: must be above 0/],
    [{ model: "" }, /model: must not be empty/],
    [{ kvCacheSize: 100 }, /maxModelLen: must fit in the KV cache of 1600 tokens: current value is 131072/],
    [{ model: "a", loraModules: [{ name: "a", path: "a" }] }, /"a" is there twice/],
    [{ cost: { ...defaultSimOptions.cost, prefillTokensPerS: 0 } }, /cost.prefillTokensPerS/],
    [{ cost: { ...defaultSimOptions.cost, stepBaseMs: 0, stepPerRequestMs: 0 } }, /duration above 0/],
    [{ kvCache: { cpuBlocks: -1 } }, /kvCache.cpuBlocks: must be an integer from 0/],
    [{ kvEvents: { firstSeq: 2 } }, /kvEvents.firstSeq: must be an integer from 0 to 1: current value is 2/],
    [{ kvEvents: { endpoint: "5557" } }, /kvEvents.endpoint: must be a ZMQ endpoint/],
    [{ kvEvents: { endpoint: "inproc://kv" } }, /kvEvents.endpoint/],
    [{ kvEvents: { replayEndpoint: "tcp://*:1" } }, /replayEndpoint: must come with an endpoint/],
    [{ grpcPort: 0.5 }, /grpcPort/],
  ];
  for (const [partial, message] of cases) {
    throws(() => resolveSimOptions(partial), (error) => error instanceof ConfigError && message.test(error.message));
  }
});

Deno.test("engineOptions() sizes an engine", () => {
  const options = resolveSimOptions({ kvCacheSize: 9000, maxNumSeqs: 7, maxLoras: 3 });
  const { cacheBlocks, maxRunning, maxLoras } = engineOptions(options);
  deepStrictEqual({ cacheBlocks, maxRunning, maxLoras }, { cacheBlocks: 9000, maxRunning: 7, maxLoras: 3 });
  equal(engineOptions(options).cost, options.cost);
});

Deno.test("resolveSimOptions() lets the engine decide how events are written and blocks are named", () => {
  const chosen = (settings: Parameters<typeof resolveSimOptions>[0]) => {
    const { kvCache, kvEvents } = resolveSimOptions(settings);
    return [kvEvents.dialect, kvCache.blockHash];
  };
  deepStrictEqual(chosen({}), ["vllm-map", "sha256-cbor"]);
  deepStrictEqual(chosen({ dialect: "sglang" }), ["sglang-d", "sglang"]);
  deepStrictEqual(chosen({ kvEvents: { dialect: "llm-d-array" } }), ["llm-d-array", "llm-d-cbor-fnv"]);
  deepStrictEqual(chosen({ dialect: "sglang", kvCache: { blockHash: "llm-d-xxh64" } }), ["sglang-d", "llm-d-xxh64"]);
});

Deno.test("engineOptions() has the tiers that hold a block", () => {
  const { offload } = engineOptions(resolveSimOptions({ kvCache: { cpuBlocks: 5, sharedBlocks: 7 } }));
  deepStrictEqual(offload.tiers.map(({ tier, blocks }) => [tier, blocks]), [["cpu", 5], ["shared", 7]]);
});
