import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";
import { startSimServer } from "../server.ts";

const request = {
  model: "sim/model-8b",
  max_tokens: 5,
  system: "You are a careful assistant. ".repeat(10),
  messages: [{ role: "user" as const, content: [{ type: "text" as const, text: "Hello" }] }],
};

Deno.test("messages() answers the official client, whole and streamed, and countTokens() agrees", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const client = new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
  try {
    const whole = await client.messages.create(request);
    equal(whole.type, "message");
    equal(whole.stop_reason, "max_tokens");
    equal(whole.usage.output_tokens, 5);
    const [block] = whole.content;
    ok(block.type === "text" && /^( [a-z]{3}){5}$/.test(block.text));
    const types: string[] = [];
    const stream = client.messages.stream(request);
    for await (const event of stream) types.push(event.type);
    deepStrictEqual(types, [
      "message_start",
      "content_block_start",
      ...new Array(5).fill("content_block_delta"),
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    const final = await stream.finalMessage();
    equal(final.usage.cache_read_input_tokens, Math.floor((whole.usage.input_tokens - 1) / 16) * 16);
    equal(final.usage.output_tokens, 5);
    deepStrictEqual(final.content[0].type === "text" && final.content[0].text, block.text);
    const { max_tokens: _, ...prompt } = request;
    equal((await client.messages.countTokens(prompt)).input_tokens, whole.usage.input_tokens);
  } finally {
    await server.stop();
  }
});

Deno.test("messages() refuses in Anthropic's shape", async () => {
  const server = startSimServer({ port: 0 });
  const client = new Anthropic({ baseURL: server.url, apiKey: "none", maxRetries: 0 });
  try {
    await rejects(
      client.messages.create({ ...request, model: "other" }),
      (error) => error instanceof Anthropic.NotFoundError && /not_found_error/.test(error.message),
    );
    await rejects(
      client.messages.create({ ...request, max_tokens: 0 }),
      (error) => error instanceof Anthropic.BadRequestError && /invalid_request_error/.test(error.message),
    );
  } finally {
    await server.stop();
  }
});
