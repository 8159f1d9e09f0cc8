import { equal, notEqual, ok } from "node:assert/strict";
import { ChainHash } from "./hash.ts";

function chain(words: number[], linkEvery: number, seed = 1): number[] {
  const hash = new ChainHash(seed);
  const keys: number[] = [];
  words.forEach((word, i) => {
    hash.update(word);
    if ((i + 1) % linkEvery === 0) keys.push(hash.link());
  });
  return keys;
}

Deno.test("link() gives integers in [0, 2^53) that differ over a million links", () => {
  const hash = new ChainHash(7);
  const seen = new Set<number>();
  for (let i = 0; i < 1_000_000; i++) {
    hash.update(i);
    const key = hash.link();
    if (!(Number.isSafeInteger(key) && key >= 0)) throw new Error(`key ${key} at ${i}`);
    seen.add(key);
  }
  equal(seen.size, 1_000_000);
});

Deno.test("link() depends on the seed, on every earlier word and on their order", () => {
  const base = chain([1, 2, 3, 4], 2);
  equal(base[1], chain([1, 2, 3, 4], 2)[1]);
  notEqual(base[1], chain([9, 2, 3, 4], 2)[1]);
  notEqual(base[1], chain([2, 1, 3, 4], 2)[1]);
  notEqual(base[1], chain([1, 2, 3, 4], 2, 2)[1]);
  equal(base[0], chain([1, 2, 8, 8], 2)[0]);
});

Deno.test("link() spreads its low bits evenly over a table", () => {
  const hash = new ChainHash(3);
  const counts = new Int32Array(256);
  for (let i = 0; i < 256_000; i++) {
    hash.update(i * 16);
    counts[hash.link() & 255]++;
  }
  // 1,000 a bucket expected, deviation 31.6: six deviations either way.
  ok(counts.every((count) => count > 810 && count < 1190), `${Math.min(...counts)}..${Math.max(...counts)}`);
});

Deno.test("updateText() tells texts apart that join to the same string", () => {
  const key = (...texts: string[]) => {
    const hash = new ChainHash(0);
    for (const text of texts) hash.updateText(text);
    return hash.link();
  };
  notEqual(key("ab", "c"), key("a", "bc"));
  notEqual(key("", "a"), key("a", ""));
});
