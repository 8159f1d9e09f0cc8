import { deepStrictEqual, equal, notEqual, ok } from "node:assert/strict";
import { AddedTokenMatcher } from "./added_tokens.ts";
import { InlineBudget } from "./inline_budget.ts";
import { TextHasher } from "./text_hash.ts";
import { TokenCache } from "./token_cache.ts";

const hasher = new TextHasher(Uint32Array.of(1, 2, 3, 4));
const keyOf = (text: string, own = hasher) => own.key(text, 0, text.length);

Deno.test("key() tells texts apart that differ in one unit, in length or in a trailing NUL", () => {
  const seen = new Set<string>();
  let count = 0;
  for (let length = 0; length <= 40; length++) {
    for (let at = -1; at < length; at++) {
      const text = at < 0 ? "\0".repeat(length) : "\0".repeat(at) + "\u0001" + "\0".repeat(length - at - 1);
      seen.add(keyOf(text));
      count++;
    }
  }
  equal(seen.size, count);
});

Deno.test("key() depends on the units between its bounds, on the tag and on the seeds, and on nothing else", () => {
  const text = "abcdefghijklmnopqrstuvwxyz";
  equal(hasher.key(text, 3, 20), hasher.key(text.slice(3, 20), 0, 17));
  notEqual(hasher.key(text, 3, 20), hasher.key(text, 3, 20, 1));
  notEqual(keyOf("abc"), keyOf("abc", new TextHasher(Uint32Array.of(1, 2, 3, 5))));
  notEqual(keyOf("abc", new TextHasher()), keyOf("abc", new TextHasher()));
  equal(keyOf("").length, 8);
});

Deno.test("key() changes about half of its bits with one bit of the text", () => {
  const bits = (a: string, b: string) => {
    let count = 0;
    for (let i = 0; i < 8; i++) {
      for (let x = a.charCodeAt(i) ^ b.charCodeAt(i); x > 0; x &= x - 1) count++;
    }
    return count;
  };
  for (let at = 0; at < 30; at++) {
    const text = "the quick brown fox jumps over".split("");
    const before = keyOf(text.join(""));
    text[at] = String.fromCharCode(text[at].charCodeAt(0) ^ 1);
    const changed = bits(before, keyOf(text.join("")));
    ok(changed > 35 && changed < 93, `${changed} of 128 bits`);
  }
});

Deno.test("the cache drops what was not used longest, and counts its bytes", () => {
  const cache = new TokenCache(3 * (40 + 200));
  for (const key of ["a", "b", "c"]) cache.set(key, new Uint32Array(10));
  ok(cache.get("a"));
  cache.set("d", new Uint32Array(10));
  deepStrictEqual(["a", "b", "c", "d"].map((key) => cache.get(key) !== undefined), [true, false, true, true]);
  equal(cache.bytes, 3 * 240);
  cache.set("a", new Uint32Array(0));
  equal(cache.bytes, 2 * 240 + 200);
  cache.clear();
  equal(cache.bytes + cache.size, 0);
});

Deno.test("the cache keeps nothing that is larger than itself", () => {
  const cache = new TokenCache(300);
  cache.set("small", new Uint32Array(2));
  cache.set("large", new Uint32Array(100));
  equal(cache.get("large"), undefined);
  ok(cache.get("small"));
});

Deno.test("marks() finds the longest of the tokens that begin at one place, from left to right", () => {
  const of = (content: string, id: number) => ({ id, content, lstrip: false, rstrip: false, normalized: false });
  const matcher = new AddedTokenMatcher([of("<a", 1), of("<abc>", 2), of("]]", 3), of("\ud83e\udd8a", 4), of("", 5)]);
  deepStrictEqual(matcher.marks("<abc><abd ]]]🦊"), [
    { start: 0, end: 5, id: 2 },
    { start: 5, end: 7, id: 1 },
    { start: 10, end: 12, id: 3 },
    { start: 13, end: 15, id: 4 },
  ]);
  deepStrictEqual(matcher.marks("a < b > c"), []);
  deepStrictEqual(new AddedTokenMatcher([]).marks("<abc>"), []);
});

Deno.test("the inline bound grows while prompts are cheap, halves with a dear one, and has a ceiling", () => {
  const budget = new InlineBudget();
  const first = budget.bytesMax;
  for (let i = 0; i < 60; i++) budget.spent(2000, 0.4);
  const cheap = budget.bytesMax;
  ok(first < cheap && cheap < 20_000, `${first} ${cheap}`);
  budget.spent(2000, 40);
  equal(budget.bytesMax, Math.floor(cheap / 2));
  equal(budget.longestMs, 40);
  for (let i = 0; i < 1000; i++) budget.spent(2000, 0.0001);
  equal(budget.bytesMax, 64 * 1024);
});

Deno.test("the inline bound spares short prompts the way to a worker, however slow the machine was", () => {
  const budget = new InlineBudget();
  equal(budget.bytesMax, 4096, "before anything was measured");
  for (let i = 0; i < 10; i++) budget.spent(1300, 50);
  equal(budget.bytesMax, 4096);
});

Deno.test("the inline bound recovers from one dear prompt though all that follow are too long for it", () => {
  const budget = new InlineBudget();
  for (let i = 0; i < 10; i++) budget.spent(100, 50);
  for (let i = 0; i < 1000; i++) budget.passed();
  ok(budget.bytesMax >= 8192 && budget.bytesMax < 8600, `${budget.bytesMax}`);
});
