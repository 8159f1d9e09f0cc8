import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { deflateRawSync } from "node:zlib";
import { readTokenizerFiles, type TokenizerFileName } from "./tokenizer_files.ts";
import { smallFiles, smallTokenizer } from "./vocabulary_fixture.ts";
import { unzip } from "./zip.ts";

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

/** An archive as Python's `zipfile` writes it; names starting with `!` are stored, the others deflated. */
function zip(files: Record<string, string>, comment = ""): Uint8Array {
  const parts: Uint8Array[] = [], directory: Uint8Array[] = [];
  let at = 0;
  for (const [marked, text] of Object.entries(files)) {
    const name = bytes(marked.replace("!", "")), plain = bytes(text);
    const isStored = marked.startsWith("!");
    const packed = isStored ? plain : new Uint8Array(deflateRawSync(plain));
    const common = [20, 0, isStored ? 0 : 8, 0, 0, 0];
    const local = record(0x04034b50, 30, (view) => {
      common.forEach((value, i) => view.setUint16(4 + i * 2, value, true));
      view.setUint32(18, packed.length, true);
      view.setUint32(22, plain.length, true);
      view.setUint16(26, name.length, true);
      view.setUint16(28, 3, true);
    });
    // The header's own layout: version, flags, method, time, date.
    new DataView(local.buffer).setUint16(8, isStored ? 0 : 8, true);
    const entry = record(0x02014b50, 46, (view) => {
      view.setUint16(10, isStored ? 0 : 8, true);
      view.setUint32(20, packed.length, true);
      view.setUint32(24, plain.length, true);
      view.setUint16(28, name.length, true);
      view.setUint32(42, at, true);
    });
    parts.push(local, name, new Uint8Array(3), packed);
    directory.push(entry, name);
    at += 30 + name.length + 3 + packed.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(0x06054b50, 22, (view) => {
    view.setUint16(10, Object.keys(files).length, true);
    view.setUint32(12, size, true);
    view.setUint32(16, at, true);
    view.setUint16(20, comment.length, true);
  });
  return new Uint8Array([...parts, ...directory, end, bytes(comment)].flatMap((part) => [...part]));
}

function record(signature: number, length: number, fill: (view: DataView) => void): Uint8Array {
  const view = new DataView(new ArrayBuffer(length));
  view.setUint32(0, signature, true);
  fill(view);
  return new Uint8Array(view.buffer);
}

Deno.test("unzip() gives stored and deflated files by their names without folders", () => {
  const archive = zip({
    "model/tokenizer.json": "x".repeat(1000),
    "!config.json": "{}",
    "model/weights.bin": "no",
    "model/": "",
  }, "a note");
  const files = unzip(archive, (name) => name.endsWith(".json"));
  deepStrictEqual([...files].map(([name, content]) => [name, new TextDecoder().decode(content)]), [
    ["tokenizer.json", "x".repeat(1000)],
    ["config.json", "{}"],
  ]);
});

Deno.test("unzip() refuses what is no archive, and one that is damaged", () => {
  throws(() => unzip(new Uint8Array(100), () => true), /no directory/);
  throws(() => unzip(new Uint8Array(3), () => true), RangeError);
  const archive = zip({ "a.json": "hello hello hello" });
  const damaged = archive.slice();
  damaged[0] = 0;
  throws(() => unzip(damaged, () => true), /no file at byte 0/);
  throws(() => unzip(archive.with(40, 0xff), () => true));
});

Deno.test("readTokenizerFiles() knows a byte-level tokenizer with its added tokens and what surrounds a prompt", () => {
  const next = Math.max(...(smallTokenizer().added_tokens as { id: number }[]).map(({ id }) => id)) + 1;
  const data = readTokenizerFiles(smallFiles({}, {
    added_tokens_decoder: { [String(next)]: { content: "<|more|>", special: false } },
    bos_token: "<|bos|>",
    eos_token: { content: "<|end|>" },
    pad_token: null,
  }));
  ok(data.byteLevel);
  deepStrictEqual(data.byteLevel.addedTokens.map(({ content }) => content), [
    "<|start|>",
    "<|end|>",
    "<|bos|>",
    "<|more|>",
  ]);
  deepStrictEqual(data.byteLevel.addedTokens.at(-1), {
    id: next,
    content: "<|more|>",
    lstrip: false,
    rstrip: false,
    normalized: true,
  });
  equal(data.around!.before.length, 1);
  deepStrictEqual(data.around!.after, []);
  deepStrictEqual(data.specials, { bos_token: "<|bos|>", eos_token: "<|end|>" });
});

Deno.test("readTokenizerFiles() leaves tokenizers it does not know exactly to the general library", () => {
  const { model } = smallTokenizer() as { model: { vocab: Record<string, number> } };
  const size = Object.keys(model.vocab).length;
  ok(readTokenizerFiles(smallFiles({ added_tokens: [{ id: size, content: "xyz" }] })).byteLevel);
  const unknown: Record<string, unknown>[] = [
    { normalizer: { type: "NFKC" } },
    { pre_tokenizer: { type: "Metaspace" } },
    { model: { ...model, type: "Unigram" } },
    { model: { ...model, byte_fallback: true } },
    { model: { ...model, end_of_word_suffix: "</w>" } },
    { added_tokens: [{ id: size, content: "xyz", single_word: true }] },
    { added_tokens: [{ id: size + 1, content: "xyz" }] },
    { added_tokens: [{ id: 1, content: "x" }] },
  ];
  for (const changes of unknown) {
    const data = readTokenizerFiles(smallFiles(changes));
    equal(data.byteLevel, undefined, JSON.stringify(changes).slice(0, 80));
    ok(data.general);
  }
});

Deno.test("readTokenizerFiles() does not say what surrounds a prompt where files contradict each other", () => {
  equal(readTokenizerFiles(smallFiles({}, { add_bos_token: false })).around, undefined);
  equal(readTokenizerFiles(smallFiles({}, { add_eos_token: true })).around, undefined);
  equal(readTokenizerFiles(smallFiles({ post_processor: { type: "BertProcessing" } })).around, undefined);
  deepStrictEqual(readTokenizerFiles(smallFiles({ post_processor: null })).around, { before: [], after: [] });
  ok(readTokenizerFiles(smallFiles({}, { add_bos_token: true })).around);
});

Deno.test("readTokenizerFiles() takes the chat template from where the reference library takes it", () => {
  const templates = (config: Record<string, unknown>, more: [TokenizerFileName, string][] = []) =>
    readTokenizerFiles(
      new Map([...smallFiles({}, config), ...more.map(([name, text]) => [name, bytes(text)] as const)]),
    ).templates;
  const listed = [{ name: "default", template: "d" }, { name: "tool_use", template: "t" }];
  deepStrictEqual(templates({ chat_template: "c" }), { withTools: "c", withoutTools: "c" });
  deepStrictEqual(templates({ chat_template: listed }), { withTools: "t", withoutTools: "d" });
  deepStrictEqual(templates({ chat_template: "c" }, [["chat_template.jinja", "f"]]), {
    withTools: "f",
    withoutTools: "f",
  });
  deepStrictEqual(templates({ chat_template: "c" }, [["chat_template.json", '{"chat_template":"p"}']]), {
    withTools: "c",
    withoutTools: "p",
  });
  deepStrictEqual(templates({ chat_template: undefined }), { withTools: undefined, withoutTools: undefined });
});

Deno.test("readTokenizerFiles() refuses files without a tokenizer.json, and those of another tokenizer", () => {
  throws(() => readTokenizerFiles(new Map()), /must hold a tokenizer.json/);
  throws(() => readTokenizerFiles(new Map([...smallFiles(), ["tekken.json", bytes("{}")]])), /no tekken.json/);
  throws(() => readTokenizerFiles(new Map([["tokenizer.json", bytes("{")]])), SyntaxError);
});
