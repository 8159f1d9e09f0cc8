import { deepStrictEqual, equal, ok } from "node:assert/strict";
import OpenAI from "openai";
import { startSimServer } from "../server.ts";

Deno.test("responses() answers the official client, whole and as the sequence of events", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  const request = { model: "sim/model-8b", instructions: "Be brief", input: "Why?", max_output_tokens: 3 };
  try {
    const whole = await client.responses.create(request);
    equal(whole.object, "response");
    equal(whole.status, "incomplete");
    equal(whole.incomplete_details?.reason, "max_output_tokens");
    ok(/^( [a-z]{3}){3}$/.test(whole.output_text));
    equal(whole.usage?.output_tokens, 3);
    const types: string[] = [];
    const numbers: number[] = [];
    let text = "";
    for await (const event of await client.responses.create({ ...request, stream: true })) {
      types.push(event.type);
      numbers.push(event.sequence_number);
      if (event.type === "response.output_text.delta") text += event.delta;
      if (event.type === "response.completed") equal(event.response.usage?.input_tokens, whole.usage?.input_tokens);
    }
    equal(text, whole.output_text);
    deepStrictEqual(numbers, numbers.map((_, i) => i));
    deepStrictEqual(types, [
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
  } finally {
    await server.stop();
  }
});

Deno.test("responses() reads a list of items and ends completed when it stops by itself", async () => {
  const server = startSimServer({ port: 0, speed: 100, defaultOutputTokensMax: 20, seed: 1 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  try {
    const statuses = new Set<string | undefined>();
    for (let i = 0; i < 8; i++) {
      const { status } = await client.responses.create({
        model: "sim/model-8b",
        input: [{ role: "user", content: [{ type: "input_text", text: `Question ${i}` }] }],
      });
      statuses.add(status);
    }
    ok(statuses.has("completed"));
  } finally {
    await server.stop();
  }
});
