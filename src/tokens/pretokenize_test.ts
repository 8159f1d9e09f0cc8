import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { readPreTokenizer, Splitter, translateRegex } from "./pretokenize.ts";
import { qwenPattern } from "./vocabulary_fixture.ts";

const byteLevel = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
const split = (Regex: string, more = {}) => ({
  type: "Split",
  pattern: { Regex },
  behavior: "Isolated",
  invert: false,
  ...more,
});
const sequence = (...pretokenizers: unknown[]) => ({ type: "Sequence", pretokenizers });

const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
/** As the tokenizers of GPT-4o and gpt-oss have it. */
const o200k = [
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  `[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*(?i:'s|'t|'re|'ve|'m|'ll|'d)?`,
  "\\p{N}{1,3}",
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*",
  "\\s*[\\r\\n]+",
  "\\s+(?!\\S)",
  "\\s+",
].join("|");

function words(preTokenizer: unknown, text: string): string[] {
  const { ends, count } = new Splitter(readPreTokenizer(preTokenizer)!).split(text);
  return [...ends.subarray(0, count)].map((end, i) => text.slice(i === 0 ? 0 : ends[i - 1], end));
}

Deno.test("readPreTokenizer() knows the expressions of common models and that lines may be cut under them", () => {
  ok(readPreTokenizer(sequence(split(qwenPattern), byteLevel))!.cutsAtLines);
  ok(readPreTokenizer(sequence(split(qwenPattern.replace("|\\p{N}|", "|\\p{N}{1,3}|")), byteLevel))!.cutsAtLines);
  ok(readPreTokenizer(sequence(split(o200k, { behavior: "Removed", invert: true }), byteLevel))!.cutsAtLines);
});

Deno.test("readPreTokenizer() does not cut lines under expressions it does not know, nor under several", () => {
  equal(readPreTokenizer(sequence(split("\\n\\p{L}+|\\s+"), byteLevel))!.cutsAtLines, false);
  equal(readPreTokenizer(sequence(split("\\p{N}{1,3}"), split(qwenPattern), byteLevel))!.cutsAtLines, false);
  equal(readPreTokenizer({ ...byteLevel, use_regex: true })!.cutsAtLines, false);
});

Deno.test("readPreTokenizer() refuses what is not byte-level, adds a space or may leave text out", () => {
  equal(readPreTokenizer(null), undefined);
  equal(readPreTokenizer({ type: "Metaspace" }), undefined);
  equal(readPreTokenizer(sequence(split(qwenPattern))), undefined);
  equal(readPreTokenizer(sequence(split(qwenPattern), { ...byteLevel, add_prefix_space: true })), undefined);
  equal(readPreTokenizer(sequence(split("\\p{L}+", { behavior: "Removed", invert: true }), byteLevel)), undefined);
  equal(readPreTokenizer(sequence(split("x", { behavior: "MergedWithNext" }), byteLevel)), undefined);
  equal(readPreTokenizer(sequence({ type: "Whitespace" }, byteLevel)), undefined);
});

Deno.test("translateRegex() refuses what may mean another thing in JavaScript", () => {
  for (
    const source of [
      "\\w+",
      "\\bx",
      "^x",
      "x$",
      "a.b",
      "x++",
      "x*+",
      "(?>x)",
      "(?<=x)y",
      "[a[b]]",
      "[a&&b]",
      "\\h",
      "(?<n>x)",
      "(",
    ]
  ) {
    equal(translateRegex(source), undefined, source);
  }
});

Deno.test("translateRegex() takes white space for Unicode's, inside classes and outside", () => {
  const space = new RegExp(`^(?:${translateRegex("\\s+")})$`, "u");
  const other = new RegExp(`^(?:${translateRegex("[^\\s]")})$`, "u");
  ok(space.test("\u0085\u00a0\u3000 \n") && !space.test("\ufeff"));
  ok(other.test("\ufeff") && !other.test("\u0085"));
});

Deno.test("translateRegex() takes signs in classes for themselves", () => {
  const source = "[!\\\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+";
  ok(new RegExp(`^(?:${translateRegex(source)})$`, "u").test("+ab"));
  ok(new RegExp(`^(?:${translateRegex(source)})$`, "u").test("]ab"));
});

Deno.test("split() gives matches and the gaps between them", () => {
  deepStrictEqual(words(sequence(split("\\p{N}"), byteLevel), "ab12🦊c3"), ["ab", "1", "2", "🦊c", "3"]);
  deepStrictEqual(words(sequence(split("\\p{N}"), byteLevel), "abc"), ["abc"]);
});

Deno.test("split() applies stages one after the other", () => {
  const stages = sequence(
    split("\\p{N}{1,3}"),
    { type: "Split", pattern: { String: "-" }, behavior: "Isolated" },
    { type: "Digits", individual_digits: true },
    split("[a-z]+"),
    byteLevel,
  );
  deepStrictEqual(words(stages, "x-12345-y z"), ["x", "-", "1", "2", "3", "4", "5", "-", "y", " ", "z"]);
});

Deno.test("split() follows contractions and white space as GPT-2's expression does", () => {
  deepStrictEqual(words({ ...byteLevel, use_regex: true }, "I'll go  now\n\nok"), [
    "I",
    "'ll",
    " go",
    " ",
    " now",
    "\n",
    "\n",
    "ok",
  ]);
});
