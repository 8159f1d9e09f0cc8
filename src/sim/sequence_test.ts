import { deepStrictEqual, equal } from "node:assert/strict";
import { decodes, lengthOf, newSequence } from "./sequence.ts";

Deno.test("decodes() is true only when a token was sampled and nothing else is lacking", () => {
  const sequence = newSequence({ prompt: { tokens: 10, keys: new Float64Array() }, outputTokens: 5 }, 3);
  equal(sequence.arrivedMs, 3);
  const seen: [number, boolean][] = [];
  for (const [computed, produced] of [[0, 0], [9, 0], [10, 1], [4, 1], [11, 2]]) {
    sequence.computed = computed;
    sequence.produced = produced;
    seen.push([lengthOf(sequence), decodes(sequence)]);
  }
  deepStrictEqual(seen, [[10, false], [10, false], [11, true], [11, false], [12, true]]);
});
