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

Deno.test("answerTo() goes on exactly where the beginning of an answer ends, and elsewhere where it is not the beginning", () => {
  for (let seed = 0; seed < 50; seed++) {
    const mayStop = seed % 2 === 0;
    const whole = answerTo(prompt, 0, seed, { tokensMax: 40, mayStop });
    const begun = seed % (whole.ids.length - 1 || 1);
    const resumed = Uint32Array.from([...prompt, ...whole.ids.slice(0, begun)]);
    const rest = answerTo(resumed, 0, seed, { tokensMax: 40 - begun, mayStop, begun });
    deepStrictEqual([...whole.ids.slice(0, begun), ...rest.ids], [...whole.ids]);
    equal(rest.finishReason, whole.finishReason);
    if (begun < 2) continue;
    const torn = Uint32Array.from([...prompt, ...whole.ids.slice(1, begun)]);
    const wrong = answerTo(torn, 0, seed, { tokensMax: 41 - begun, mayStop: false });
    notDeepStrictEqual(wrong.ids.slice(0, 4), whole.ids.slice(begun, begun + 4));
  }
});

Deno.test("answerTo() repeats itself no sooner than chance does", () => {
  const { ids } = answerTo(prompt, 0, 3, { tokensMax: 100_000, mayStop: false });
  const rows = new Set<string>();
  for (let i = 0; i + 8 <= ids.length; i += 8) rows.add(ids.slice(i, i + 8).join());
  ok(rows.size > 12_490, `${rows.size} of 12,500 rows of eight are new`);
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
