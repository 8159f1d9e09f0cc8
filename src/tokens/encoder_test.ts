import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { ByteLevelEncoder, type ByteLevelModel, tokenCaches } from "./encoder.ts";
import { NotExactError } from "./not_exact.ts";
import { readTokenizerFiles } from "./tokenizer_files.ts";
import { modelFiles, smallFiles } from "./vocabulary_fixture.ts";

const small = readTokenizerFiles(smallFiles()).byteLevel!;
const qwen = readTokenizerFiles(modelFiles("qwen3")).byteLevel!;

function encoder(model: ByteLevelModel, bytes = 1 << 22): ByteLevelEncoder {
  return new ByteLevelEncoder(model, tokenCaches(bytes));
}

/** The same tokenizer without cuts in sections and without memory: the text as a whole. */
function plain(model: ByteLevelModel): ByteLevelEncoder {
  return encoder({ ...model, preTokenizer: { ...model.preTokenizer, cutsAtLines: false } }, 0);
}

const pieces = fc.constantFrom(
  ..."\n,\n\n, \n,\r\n,\n ,\t\n,  , ,a,B,7,12,1234,don't,'LL,\n's,hello world,naïve,e\u0301,中文,漢字かな,🦊,👩‍👩‍👧,{ },();\n,...\n\n,//\n,<|end|>,<|im_end|>,\u00a0,\u0085,\u2028,\ufeff"
    .split(","),
);
const texts = fc.array(pieces, { minLength: 1, maxLength: 60 }).map((parts) => parts.join(""));
/** Texts long enough to be cut several times. */
const longTexts = fc.array(texts, { minLength: 60, maxLength: 120 }).map((parts) => parts.join("\n"));

for (const [name, model] of [["the small vocabulary", small], ["Qwen3's vocabulary", qwen]] as const) {
  Deno.test(`encode() of a long text cut into chunks equals that of the whole with ${name}`, () => {
    const cutting = encoder(model), whole = plain(model);
    ok(model.preTokenizer.cutsAtLines);
    fc.assert(
      fc.property(longTexts, (text) => deepStrictEqual(cutting.encode(text).ids, whole.encode(text).ids)),
      { numRuns: 40, seed: 11 },
    );
  });

  Deno.test(`encode() gives the same ids when parts of the text are remembered with ${name}`, () => {
    const remembering = encoder(model), whole = plain(model);
    fc.assert(
      fc.property(longTexts, texts, (head, tail) => {
        remembering.encode(head);
        deepStrictEqual(remembering.encode(head + tail).ids, whole.encode(head + tail).ids);
      }),
      { numRuns: 30, seed: 12 },
    );
  });
}

Deno.test("text cut at any line that begins with a letter or digit has the ids of its parts", () => {
  const whole = plain(qwen);
  fc.assert(
    fc.property(texts, fc.constantFrom("a", "Z", "0", "9x"), texts, (before, first, after) => {
      const left = `${before}\n`, right = first + after;
      const joined = [...whole.encode(left).ids, ...whole.encode(right).ids];
      deepStrictEqual([...whole.encode(left + right).ids], joined);
    }),
    { numRuns: 400, seed: 13 },
  );
});

Deno.test("encode() of a conversation that grew takes all but its new messages from the cache", () => {
  const own = encoder(small);
  const turns = (from: number, to: number) => {
    let text = "";
    for (let i = from; i < to; i++) text += `<|start|>user ${i} says ${"hello world ".repeat(40 + i)}<|end|>`;
    return text;
  };
  equal(own.encode(turns(0, 20)).cachedTokens, 0);
  const { ids, cachedTokens } = own.encode(turns(0, 22));
  const fresh = plain(small).encode(turns(20, 22)).ids.length;
  const uncached = ids.length - cachedTokens;
  // Special tokens themselves are looked up, not remembered: two a message.
  equal(uncached, fresh + 20 * 2);
  deepStrictEqual(ids, plain(small).encode(turns(0, 22)).ids);
});

Deno.test("encode() takes a text it had before from the cache as a whole, under the same key", () => {
  const own = encoder(small);
  const text = "hello world 123\n".repeat(300);
  const first = own.encode(text), second = own.encode(text);
  equal(second.ids, first.ids);
  equal(second.key, first.key);
  equal(second.cachedTokens, first.ids.length);
  ok(own.encode(`${text}!`).key !== first.key);
});

Deno.test("encode() stays within the bytes of its cache and remembers nothing with none", () => {
  const caches = tokenCaches(20_000);
  const bounded = new ByteLevelEncoder(small, caches);
  for (let i = 0; i < 200; i++) {
    bounded.encode(`${i} ${"hello ".repeat(i)}`);
    ok(caches.chunks.bytes + caches.wholes.bytes <= 20_000);
  }
  ok(caches.chunks.size > 0);
  const none = encoder(small, 0);
  none.encode("hello world ".repeat(500));
  equal(none.encode("hello world ".repeat(500)).cachedTokens, 0);
});

Deno.test("encode() normalizes to NFC between special tokens", () => {
  deepStrictEqual(encoder(small).encode("e\u0301<|end|>e\u0301").ids, encoder(small).encode("\u00e9<|end|>\u00e9").ids);
  equal(encoder({ ...small, nfc: false }).encode("e\u0301").ids.length, 3);
});

Deno.test("encode() refuses characters that Unicode's versions normalize differently, only where it normalizes", () => {
  throws(() => encoder(small).encode("a\u{1e4ec}b"), new NotExactError("unicode"));
  equal(encoder({ ...small, nfc: false }).encode("a\u{1e4ec}b").ids.length, 6);
});

Deno.test("encode() refuses surrogates without their pair", () => {
  throws(() => encoder(small).encode("a\ud83eb"), new NotExactError("unicode"));
});

Deno.test("encode() refuses a word longer than its bound and takes one at it", () => {
  throws(() => encoder(small).encode("a".repeat(131_073)), new NotExactError("too-long"));
  equal(encoder(small).encode("c".repeat(131_072)).ids.length, 131_072);
});

Deno.test("encode() lets added tokens swallow the white space they ask for", () => {
  const [token] = small.addedTokens;
  const stripping = (
    lstrip: boolean,
    rstrip: boolean,
  ) => [...encoder({ ...small, addedTokens: [{ ...token, lstrip, rstrip }] }).encode("a <|start|> \nb").ids];
  deepStrictEqual(stripping(true, true), [97, token.id, 98]);
  deepStrictEqual(stripping(false, true), [97, 32, token.id, 98]);
  deepStrictEqual(stripping(true, false), [97, token.id, 32, 10, 98]);
});

Deno.test("encode() finds normalized added tokens after normalizing, and the longest of those that begin together", () => {
  const of = (content: string, id: number, normalized = false) => ({
    id,
    content,
    normalized,
    lstrip: false,
    rstrip: false,
  });
  const model = { ...small, addedTokens: [of("caf\u00e9", 900, true), of("<a", 901), of("<ab>", 902)] };
  deepStrictEqual([...encoder(model).encode("x cafe\u0301<ab><a>").ids], [120, 32, 900, 902, 901, 62]);
});
