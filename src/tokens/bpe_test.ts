import { deepStrictEqual, equal, throws } from "node:assert/strict";
import fc from "fast-check";
import { Bpe, IdBuffer } from "./bpe.ts";
import { buildTables } from "./bpe_tables.ts";
import { smallTokenizer } from "./vocabulary_fixture.ts";

interface Model {
  readonly vocab: Record<string, number>;
  readonly merges: [string, string][];
}

/** The bytes, then merges of pairs of what there is, drawn at random: many overlap. */
function randomModel(seed: number): Model {
  const { vocab } = structuredClone(smallTokenizer().model) as Model;
  for (const token of Object.keys(vocab)) if (vocab[token] > 255) delete vocab[token];
  const tokens = ["a", "b", "c"];
  const merges: [string, string][] = [];
  for (let i = 0; i < 60; i++) {
    seed = Math.imul(seed, 1_103_515_245) + 12_345 >>> 0;
    const pair: [string, string] = [tokens[(seed >>> 8) % tokens.length], tokens[(seed >>> 16) % tokens.length]];
    if (merges.some(([a, b]) => a === pair[0] && b === pair[1])) continue;
    merges.push(pair);
    const joined = pair.join("");
    vocab[joined] ??= Object.keys(vocab).length;
    if (joined.length < 12 && !tokens.includes(joined)) tokens.push(joined);
  }
  return { vocab, merges };
}

/** BPE as its definition says: merge the pair of lowest rank, the leftmost of equals, until there is none. */
function byDefinition({ vocab, merges }: Model, word: string): number[] {
  const rank = new Map(merges.map((pair, i) => [pair.join(" "), i]));
  const symbols = [...word];
  for (;;) {
    let best = -1, bestRank = Infinity;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const own = rank.get(`${symbols[i]} ${symbols[i + 1]}`) ?? Infinity;
      if (own < bestRank) [best, bestRank] = [i, own];
    }
    if (best < 0) return symbols.map((symbol) => vocab[symbol]);
    symbols.splice(best, 2, symbols[best] + symbols[best + 1]);
  }
}

function idsOf(bpe: Bpe, word: string): number[] {
  const units = Uint16Array.from(word, (char) => char.charCodeAt(0));
  const out = new IdBuffer();
  bpe.word(units, 0, units.length, out);
  return [...out.ids.subarray(0, out.length)];
}

Deno.test("word() merges as the definition of BPE says, short words and long ones", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 140 }),
      (seed, letters) => {
        const model = randomModel(seed);
        const bpe = new Bpe(buildTables({ ...model, ignoreMerges: false }), 64);
        const word = letters.join("");
        deepStrictEqual(idsOf(bpe, word), byDefinition(model, word));
        deepStrictEqual(idsOf(bpe, word), byDefinition(model, word));
      },
    ),
    { numRuns: 300, seed: 5 },
  );
});

Deno.test("word() keeps words apart that share a place in its memory", () => {
  const model = randomModel(3);
  const bpe = new Bpe(buildTables({ ...model, ignoreMerges: false }), 1);
  for (const word of ["ab", "ba", "ab", "abc", "a", "ab"]) deepStrictEqual(idsOf(bpe, word), byDefinition(model, word));
});

Deno.test("word() takes a word that is a token whole where merges are ignored, though merges lead elsewhere", () => {
  const { vocab } = randomModel(1);
  const model = { vocab: { ...vocab, abc: 5000, ca: 5001 }, merges: [["c", "a"]] as [string, string][] };
  const whole = new Bpe(buildTables({ ...model, ignoreMerges: true }));
  const merged = new Bpe(buildTables({ ...model, ignoreMerges: false }));
  deepStrictEqual(idsOf(whole, "abc"), [5000]);
  deepStrictEqual(idsOf(merged, "abc"), [97, 98, 99]);
  deepStrictEqual(idsOf(whole, "abca"), [97, 98, 5001]);
});

Deno.test("word() writes characters of every length in UTF-8", () => {
  const bpe = new Bpe(buildTables({ ...randomModel(1), ignoreMerges: false }));
  const word = "é中🦊z";
  const units = Uint16Array.from({ length: word.length }, (_, i) => word.charCodeAt(i));
  const out = new IdBuffer();
  bpe.word(units, 0, units.length, out);
  deepStrictEqual([...out.ids.subarray(0, out.length)], [...new TextEncoder().encode(word)]);
});

Deno.test("buildTables() refuses a vocabulary without a byte or without a merge's result", () => {
  const { vocab, merges } = randomModel(1);
  const { a: _, ...withoutA } = vocab;
  throws(() => buildTables({ vocab: withoutA, merges: [], ignoreMerges: false }), /token "a" is missing/);
  throws(() => buildTables({ vocab, merges: [["a", "!"]], ignoreMerges: false }), /token "a!" is missing/);
  equal(buildTables({ vocab, merges, ignoreMerges: false }).words, undefined);
});
