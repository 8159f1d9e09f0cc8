import { deepStrictEqual, equal, notDeepStrictEqual } from "node:assert/strict";
import fc from "fast-check";
import { detokenize, specialTokens, tokenize, tokenizeChat } from "./tokenizer.ts";

Deno.test("tokenize() makes a token of 4 bytes, little-endian, and fills the last with zeros", () => {
  deepStrictEqual([...tokenize("abcdef")], [0x64636261, 0x6665]);
  deepStrictEqual([...tokenize("")], []);
  equal(tokenize("é".repeat(1000)).length, 500);
});

Deno.test("detokenize() gives back any text without zero bytes", () => {
  const codePoint = fc.integer({ min: 1, max: 0x10ffff }).filter((code) => code < 0xd800 || code > 0xdfff);
  fc.assert(fc.property(fc.array(codePoint, { maxLength: 200 }), (codes) => {
    const text = `${String.fromCodePoint(...codes)}.`;
    equal(detokenize(tokenize(text)), text);
  }));
});

Deno.test("detokenize() leaves special tokens out", () => {
  equal(detokenize([specialTokens.messageStart, ...tokenize(" one"), specialTokens.messageEnd]), " one");
});

Deno.test("tokenizeChat() of a longer conversation begins with the tokens of the shorter one and its answer", () => {
  const first = [{ role: "system", content: "Be brief." }, { role: "user", content: "Hello?" }];
  const answer = " one two";
  const prompt = tokenizeChat(first);
  const next = tokenizeChat([...first, { role: "assistant", content: answer }, { role: "user", content: "And?" }]);
  const expected = [...prompt, ...tokenize(answer), specialTokens.messageEnd];
  deepStrictEqual([...next.subarray(0, expected.length)], expected);
});

Deno.test("tokenizeChat() counts text parts as text, and other parts by their content", () => {
  const parts = (url: string) => tokenizeChat([{ role: "user", content: [{ type: "text", text: "Look" }, { url }] }]);
  const text = tokenizeChat([{ role: "user", content: "Look" }]);
  equal(parts("a").length, text.length + 576);
  deepStrictEqual(parts("a"), parts("a"));
  notDeepStrictEqual(parts("a"), parts("b"));
  deepStrictEqual(tokenizeChat([{ role: "user", content: ["Look"] }]), text);
  equal(tokenizeChat([{ role: "user", content: null }]).length, text.length - 1);
});
