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
