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
  const { ids: prompt } = tokenizeChat(first);
  const { ids: next } = tokenizeChat([...first, { role: "assistant", content: answer }, {
    role: "user",
    content: "And?",
  }]);
  const expected = [...prompt, ...tokenize(answer), specialTokens.messageEnd];
  deepStrictEqual([...next.subarray(0, expected.length)], expected);
});

Deno.test("tokenizeChat() counts text parts as text, and gives other parts placeholders and a hash", () => {
  const look = { type: "text", text: "Look" };
  const parts = (url: string) => tokenizeChat([{ role: "user", content: [look, { type: "image_url", url }] }]);
  const text = tokenizeChat([{ role: "user", content: "Look" }]);
  equal(text.media, undefined);
  const [image] = parts("a").media!;
  // After the opening, the role and the text, which take one token each.
  deepStrictEqual([image.offset, image.length, image.modality], [3, 576, "image"]);
  equal(parts("a").ids.length, text.ids.length + 576);
  deepStrictEqual(new Set(parts("a").ids.subarray(3, 579)), new Set([specialTokens.media]));
  deepStrictEqual(parts("a"), parts("a"));
  deepStrictEqual(parts("a").ids, parts("b").ids);
  notDeepStrictEqual(parts("a").media, parts("b").media);
  equal(tokenizeChat([{ role: "user", content: [{ type: "input_audio" }] }]).media?.[0].modality, "audio");
  deepStrictEqual(tokenizeChat([{ role: "user", content: ["Look"] }]), text);
  equal(tokenizeChat([{ role: "user", content: null }]).ids.length, text.ids.length - 1);
});
