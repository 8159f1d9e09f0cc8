/** The tokenizer and the chat templates against ids of the reference libraries; `generate.py` says how they were made. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { ChatTemplate, TemplateError } from "../../../src/tokens/chat_template.ts";
import { ByteLevelEncoder, tokenCaches } from "../../../src/tokens/encoder.ts";
import { readPreTokenizer } from "../../../src/tokens/pretokenize.ts";
import { readTokenizerFiles, type TokenizerData } from "../../../src/tokens/tokenizer_files.ts";
import { parsePythonJson, type PyObject, type PyValue } from "../../../src/tokens/python_json.ts";
import { PromptTokenizer } from "../../../src/tokens/prompt_tokenizer.ts";
import { modelFiles, type Vocabulary } from "../../../src/tokens/vocabulary_fixture.ts";

const vocabularies: readonly Vocabulary[] = ["qwen3", "llama3_1"];

function textOf(name: string): string {
  return Deno.readTextFileSync(fileURLToPath(new URL(name, import.meta.url)));
}

function read<T>(name: string): T[] {
  return textOf(name).trimEnd().split("\n").map((line) => JSON.parse(line));
}

type TextCase = { readonly text: string } & Record<Vocabulary, number[]>;

interface ChatCase {
  readonly body: string;
  readonly qwen3: Answer;
  readonly llama3_1: Answer;
  /** The template of `template.jinja` with the vocabulary of qwen3. */
  readonly custom: Answer | null;
}

interface Answer {
  readonly prompt: string;
  readonly ids: number[];
}

const texts = read<TextCase>("texts.jsonl");
const chats = read<ChatCase>("chats.jsonl");
const data = new Map<Vocabulary, TokenizerData>();

function tokenizer(name: Vocabulary, template?: string): PromptTokenizer {
  if (!data.has(name)) data.set(name, readTokenizerFiles(modelFiles(name)));
  return new PromptTokenizer(data.get(name)!, { template }, () => 0, tokenCaches(1 << 24));
}

function idsOf(tokenizer: PromptTokenizer, body: string): number[] {
  const answer = tokenizer.prompt({ api: "chat", body: new TextEncoder().encode(body) });
  ok("tokens" in answer, `${JSON.stringify(answer)} for ${body}`);
  return [...answer.tokens];
}

Deno.test("recorded cases are as many as they should be", () => {
  ok(texts.length >= 60, `${texts.length} texts`);
  ok(chats.length >= 20, `${chats.length} chats`);
});

for (const name of vocabularies) {
  Deno.test(`texts have the reference's ids with the vocabulary of ${name}`, () => {
    for (const testCase of texts) {
      const { ids } = tokenizer(name).encode(testCase.text, false);
      deepStrictEqual([...ids], testCase[name], JSON.stringify(testCase.text));
    }
  });

  Deno.test(`texts have the reference's ids a second time, from the cache, with the vocabulary of ${name}`, () => {
    const cached = tokenizer(name);
    for (const { text } of texts) cached.encode(text, false);
    for (const testCase of texts) {
      const { ids, cachedTokens } = cached.encode(testCase.text, false);
      deepStrictEqual([...ids], testCase[name], JSON.stringify(testCase.text));
      if (testCase.text.length >= 2048) equal(cachedTokens, ids.length);
    }
  });

  Deno.test(`chats have the reference's ids with the template of ${name}`, () => {
    const own = tokenizer(name);
    for (const testCase of chats) deepStrictEqual(idsOf(own, testCase.body), testCase[name].ids, testCase.body);
  });
}

Deno.test("chats have the reference's ids with a template of parts, macros, filters and numbers", () => {
  const custom = tokenizer("qwen3", textOf("template.jinja"));
  for (const { body, custom: answer } of chats) if (answer) deepStrictEqual(idsOf(custom, body), answer.ids, body);
});

Deno.test("texts have the reference's ids under the pre-tokenizers of other families", () => {
  const cases = read<{ name: string; pre_tokenizer: unknown; ids: number[][] }>("pretokenizers.jsonl");
  const short = texts.filter(({ text }) => [...text].length < 400);
  tokenizer("qwen3");
  for (const { name, pre_tokenizer, ids } of cases) {
    const preTokenizer = readPreTokenizer(pre_tokenizer);
    ok(preTokenizer, name);
    const encoder = new ByteLevelEncoder({ ...data.get("qwen3")!.byteLevel!, preTokenizer }, tokenCaches(0));
    equal(ids.length, short.length);
    short.forEach(({ text }, i) => deepStrictEqual([...encoder.encode(text).ids], ids[i], `${name}: ${text}`));
  }
  equal(cases.length, 4);
});

Deno.test("templates print what Jinja prints, or are refused", () => {
  const cases = read<{ template: string; text: string | null }>("expressions.jsonl");
  const given = parsePythonJson(
    textOf("expressions_input.json"),
  ) as PyObject;
  const input = {
    messages: given.get("messages") as PyValue[],
    tools: given.get("tools")!,
    documents: null,
    addGenerationPrompt: true,
    continueFinalMessage: false,
    variables: given.get("vars") as PyObject,
  };
  let refused = 0;
  for (const { template, text } of cases) {
    try {
      equal(new ChatTemplate(template, {}, () => 0).render(input), text, template);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      refused++;
    }
  }
  ok(refused <= 18 && cases.length >= 60, `${refused} of ${cases.length} refused`);
});

Deno.test("a text gets the tokens that the post-processor adds where it is asked for", () => {
  const llama = tokenizer("llama3_1"), qwen = tokenizer("qwen3");
  deepStrictEqual([...llama.encode("a", true).ids], [128_000, ...llama.encode("a", false).ids]);
  deepStrictEqual(qwen.encode("a", true).ids, qwen.encode("a", false).ids);
});
