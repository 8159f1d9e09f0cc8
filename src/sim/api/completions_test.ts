import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import OpenAI from "openai";
import { startSimServer } from "../server.ts";
import { tokenize } from "../tokenizer.ts";
import { promptsOf } from "./completions.ts";

Deno.test("promptsOf() reads text and token ids, single and several", () => {
  deepStrictEqual(promptsOf("ab").map(({ ids }) => ids), [tokenize("ab")]);
  deepStrictEqual(promptsOf(["a", "b"]).map(({ ids }) => ids), [tokenize("a"), tokenize("b")]);
  deepStrictEqual(promptsOf([5, 6]).map(({ ids }) => ids), [Uint32Array.of(5, 6)]);
  deepStrictEqual(promptsOf([[5], [6, 7]]).map(({ ids }) => ids), [Uint32Array.of(5), Uint32Array.of(6, 7)]);
});

Deno.test("completions() answers the official client for every form of prompt, whole and streamed", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  const model = "sim/model-8b";
  try {
    const texts: string[] = [];
    for (const prompt of ["Once upon", [...tokenize("Once upon")], ["Once upon", "a time"], [[1, 2], [3]]]) {
      const whole = await client.completions.create({ model, prompt, max_tokens: 3, n: 2 });
      const several = typeof prompt !== "string" && typeof prompt[0] !== "number";
      equal(whole.choices.length, several ? 4 : 2);
      equal(whole.usage?.completion_tokens, whole.choices.length * 3);
      const streamed = whole.choices.map(() => "");
      for await (const chunk of await client.completions.create({ model, prompt, max_tokens: 3, n: 2, stream: true })) {
        for (const choice of chunk.choices) streamed[choice.index] += choice.text;
      }
      deepStrictEqual(streamed, whole.choices.map(({ text }) => text));
      texts.push(whole.choices[0].text);
    }
    equal(texts[0], texts[1]);
    equal((await client.completions.create({ model, prompt: "x" })).usage?.completion_tokens, 16);
    ok((await client.completions.create({ model, prompt: "x", max_tokens: 1 })).id.startsWith("cmpl-"));
  } finally {
    await server.stop();
  }
});

Deno.test("completions() refuses empty prompts", async () => {
  const server = startSimServer({ port: 0 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  try {
    for (const prompt of ["", [], [""], [[]], [-1]] as (string | string[])[]) {
      await rejects(client.completions.create({ model: "sim/model-8b", prompt }), OpenAI.BadRequestError);
    }
  } finally {
    await server.stop();
  }
});
