import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import OpenAI from "openai";
import { startSimServer } from "../server.ts";

const messages = [{ role: "user" as const, content: "What is a prefix cache? ".repeat(20) }];

Deno.test("chat() answers the official client, and the second turn finds the first in the cache", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  try {
    const first = await client.chat.completions.create({ model: "sim/model-8b", messages, max_completion_tokens: 30 });
    equal(first.object, "chat.completion");
    equal(first.choices.length, 1);
    equal(first.choices[0].finish_reason, "length");
    equal(first.usage?.completion_tokens, 30);
    equal(first.usage?.prompt_tokens_details?.cached_tokens, 0);
    equal(first.usage?.total_tokens, first.usage!.prompt_tokens + 30);
    const again = await client.chat.completions.create({ model: "sim/model-8b", messages, max_completion_tokens: 30 });
    equal(again.choices[0].message.content, first.choices[0].message.content);
    const cached = Math.floor((first.usage!.prompt_tokens - 1) / 16) * 16;
    equal(again.usage?.prompt_tokens_details?.cached_tokens, cached);
    const turn = await client.chat.completions.create({
      model: "sim/model-8b",
      messages: [...messages, first.choices[0].message, { role: "user", content: "More" }],
      max_tokens: 5,
    });
    // The whole first prompt and all of the answer but its last token were computed.
    const computed = first.usage!.prompt_tokens + 29;
    equal(turn.usage?.prompt_tokens_details?.cached_tokens, Math.floor(computed / 16) * 16);
  } finally {
    await server.stop();
  }
});

Deno.test("chat() streams a role, one chunk a token, the finish reason, and usage when asked", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  try {
    const stream = await client.chat.completions.create({
      model: "sim/model-8b",
      messages,
      max_tokens: 4,
      n: 2,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) chunks.push(chunk);
    for (const index of [0, 1]) {
      const choices = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.index === index);
      deepStrictEqual(choices[0].delta, { role: "assistant", content: "" });
      deepStrictEqual(choices.map((choice) => choice.finish_reason), [null, null, null, null, "length"]);
      ok(choices.slice(1).every((choice) => /^ [a-z]{3}$/.test(choice.delta.content!)));
    }
    const last = chunks.at(-1)!;
    deepStrictEqual(last.choices, []);
    equal(last.usage?.completion_tokens, 8);
    equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
    const plain = await client.chat.completions.create({ model: "", messages, max_tokens: 1, stream: true });
    for await (const chunk of plain) ok(!("usage" in chunk));
  } finally {
    await server.stop();
  }
});

Deno.test("chat() stops by itself at random when no limit is given, its last token the end token", async () => {
  const server = startSimServer({ port: 0, speed: 50, defaultOutputTokensMax: 40 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  try {
    const reasons = new Set<string>();
    for (let i = 0; i < 8; i++) {
      const answer = await client.chat.completions.create({
        model: "sim/model-8b",
        messages: [{ role: "user", content: `Question ${i}` }],
      });
      const [{ finish_reason, message }] = answer.choices;
      reasons.add(finish_reason);
      const words = message.content!.split(" ").length - 1;
      equal(words, answer.usage!.completion_tokens - (finish_reason === "stop" ? 1 : 0));
    }
    ok(reasons.has("stop"));
  } finally {
    await server.stop();
  }
});

Deno.test("chat() refuses an unknown model with 404 and what cannot fit with 400", async () => {
  const server = startSimServer({ port: 0, maxModelLen: 1000 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  const create = (more: Partial<OpenAI.ChatCompletionCreateParamsNonStreaming>) =>
    client.chat.completions.create({ model: "sim/model-8b", messages, ...more });
  try {
    await rejects(
      create({ model: "other" }),
      (error) => error instanceof OpenAI.NotFoundError && error.param === "model",
    );
    await rejects(
      create({ max_tokens: 1000 }),
      (error) => error instanceof OpenAI.BadRequestError && /context length is 1000 tokens/.test(error.message),
    );
    await rejects(create({ messages: [] }), OpenAI.BadRequestError);
    await rejects(
      create({ max_tokens: 0 }),
      (error) => error instanceof OpenAI.BadRequestError && error.param === "max_tokens",
    );
  } finally {
    await server.stop();
  }
});
