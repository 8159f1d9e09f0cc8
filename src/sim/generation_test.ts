import { deepStrictEqual, equal, notDeepStrictEqual, ok } from "node:assert/strict";
import { answerTo, embeddingOf, relevanceOf } from "./generation.ts";
import { detokenize, specialTokens, tokenize } from "./tokenizer.ts";

const prompt = tokenize("Tell me something about prefixes");

Deno.test("answerTo() reaches the limit unless it may stop, and its text is its tokens", () => {
  const { ids, finishReason } = answerTo(prompt, 0, 1, { tokensMax: 50, mayStop: false });
  equal(ids.length, 50);
  equal(finishReason, "length");
  deepStrictEqual(tokenize(detokenize(ids)), ids);
  ok(/^( [a-z]{3}){50}$/.test(detokenize(ids)));
});

Deno.test("answerTo() gives the same answer for the same seed, prompt and choice only", () => {
  const limits = { tokensMax: 20, mayStop: false };
  const base = answerTo(prompt, 0, 1, limits);
  deepStrictEqual(answerTo(prompt.slice(), 0, 1, limits), base);
  notDeepStrictEqual(answerTo(prompt, 1, 1, limits), base);
  notDeepStrictEqual(answerTo(prompt, 0, 2, limits), base);
  notDeepStrictEqual(answerTo(prompt.subarray(1), 0, 1, limits), base);
});

Deno.test("answerTo() that may stop has lengths by the histogram and ends with the end token", () => {
  const buckets = new Int32Array(6);
  for (let seed = 0; seed < 6000; seed++) {
    const { ids, finishReason } = answerTo(prompt, 0, seed, { tokensMax: 600, mayStop: true });
    ok(ids.length >= 1 && ids.length <= 600);
    equal(finishReason, ids.length === 600 ? "length" : "stop");
    if (finishReason === "stop") equal(ids.at(-1), specialTokens.messageEnd);
    buckets[Math.floor((ids.length - 1) / 100)]++;
  }
  // Expected 1200 1800 1200 300 600 900, five deviations (at most 36 each) either way.
  [1200, 1800, 1200, 300, 600, 900].forEach((expected, i) => ok(Math.abs(buckets[i] - expected) < 180, `${buckets}`));
});

Deno.test("embeddingOf() is a unit vector of its text alone", () => {
  const vector = embeddingOf(prompt, 384, 0);
  equal(vector.length, 384);
  ok(Math.abs(Math.hypot(...vector) - 1) < 1e-6);
  deepStrictEqual(embeddingOf(prompt.slice(), 384, 0), vector);
  notDeepStrictEqual(embeddingOf(tokenize("other"), 384, 0), vector);
});

Deno.test("relevanceOf() depends on query and document", () => {
  const [a, b, c] = ["a", "b", "c"].map(tokenize);
  const score = relevanceOf(a, b, 0);
  ok(score >= 0 && score < 1);
  equal(relevanceOf(a, b, 0), score);
  equal(new Set([score, relevanceOf(a, c, 0), relevanceOf(c, b, 0), relevanceOf(b, a, 0)]).size, 4);
});
