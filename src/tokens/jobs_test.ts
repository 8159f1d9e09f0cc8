import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { type Job, JobRunner, loadTokenizer } from "./jobs.ts";
import { readTokenizerFiles } from "./tokenizer_files.ts";
import { isUnavailable } from "./types.ts";
import { modelDirectory, smallFiles } from "./vocabulary_fixture.ts";

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const prompt = (body: Uint8Array, model = "m"): Job => ({ kind: "prompt", model, api: "completions", body });

function runner(): JobRunner {
  const own = new JobRunner(1 << 20);
  own.adopt("m", readTokenizerFiles(smallFiles()), {});
  return own;
}

Deno.test("run() tokenizes with the tokenizer of the request's model, and knows given ids without one", () => {
  const own = runner();
  ok(own.has("m") && !own.has("other"));
  const answer = own.run(prompt(encode({ prompt: "xy" })));
  ok("tokens" in answer);
  deepStrictEqual([...answer.tokens].slice(1), [120, 121]);
  deepStrictEqual(own.run(prompt(encode({ prompt: "ab" }), "other")), { reason: "no-source" });
  const given = own.run(prompt(encode({ prompt: [1, 2], cache_salt: "s" }), "other"));
  ok("tokens" in given);
  deepStrictEqual([[...given.tokens], given.source, given.extras?.cacheSalt], [[1, 2], "ids", "s"]);
  deepStrictEqual(own.run(prompt(encode({ prompt: [1], truncate_prompt_tokens: 1 }), "other")), {
    reason: "truncation",
  });
});

Deno.test("run() answers internal where it fails itself", () => {
  const thrower = {
    ...prompt(encode({})),
    get api(): never {
      throw new Error("a defect");
    },
  };
  deepStrictEqual(runner().run(thrower), { reason: "internal" });
});

Deno.test("run() shares one cache between models, under keys of their own", () => {
  const own = new JobRunner(1 << 20);
  const data = readTokenizerFiles(smallFiles());
  for (const model of ["a", "b"]) own.adopt(model, data, {});
  const body = encode({ prompt: "hello world ".repeat(100) });
  const cached = (model: string) => {
    const answer = own.run(prompt(body, model));
    return "tokens" in answer ? answer.cachedTokens : -1;
  };
  deepStrictEqual([cached("a"), cached("b"), cached("a") > 0], [0, 0, true]);
  ok(own.cacheBytes > 0);
});

Deno.test("adopt() takes the operator's template, format and arguments before those of the files", () => {
  const own = new JobRunner(0);
  const template = "{{ mode }}{% for m in messages %}{{ m.content | tojson }}{% endfor %}";
  own.adopt("m", readTokenizerFiles(smallFiles()), { template, contentFormat: "openai", variables: { mode: "x" } });
  const answer = own.run({ ...prompt(encode({ messages: [{ role: "user", content: "a" }] })), api: "chat" });
  ok("tokens" in answer);
  const text = new TextDecoder().decode(Uint8Array.from(answer.tokens));
  equal(text, 'x[{"type": "text", "text": "a"}]');
});

Deno.test("adopt() leaves plain prompts exact where the chat template cannot be used", () => {
  const own = new JobRunner(0);
  own.adopt("m", readTokenizerFiles(smallFiles()), { template: "{% if %}" });
  deepStrictEqual(own.run({ ...prompt(encode({ messages: [] })), api: "chat" }), { reason: "template" });
  const answer = own.run(prompt(encode({ prompt: "a" })));
  ok("tokens" in answer && !isUnavailable(answer));
});

Deno.test("loadTokenizer() reads a folder, and throws for one without a tokenizer", () => {
  ok(loadTokenizer({ directory: modelDirectory("qwen3") }).byteLevel);
  throws(() => loadTokenizer({ directory: "nowhere" }), /must hold a tokenizer.json/);
  throws(() => loadTokenizer({ archive: new Uint8Array(50) }), /no directory/);
});
