import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { startSimServer } from "../server.ts";
import { detokenize, tokenize } from "../tokenizer.ts";

function client(url: string) {
  const post = (path: string, body: unknown) => fetch(url + path, { method: "POST", body: JSON.stringify(body) });
  return {
    async json(path: string, body: unknown) {
      const response = await post(path, body);
      return { status: response.status, body: await response.json() };
    },
    async events(path: string, body: unknown) {
      const { body: stream } = await post(path, body);
      const events = stream!.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream());
      const data = (await Array.fromAsync(events)).map((event) => event.data);
      equal(data.pop(), "[DONE]");
      return data.map((each) => JSON.parse(each));
    },
  };
}

Deno.test("generate() takes and gives token ids, whole and streamed", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const { json, events } = client(server.url);
  try {
    const request = {
      model: "sim/model-8b",
      token_ids: [...tokenize("Hello there")],
      sampling_params: { max_tokens: 4 },
    };
    const { body } = await json("/inference/v1/generate", request);
    equal(body.choices[0].token_ids.length, 4);
    equal(body.choices[0].finish_reason, "length");
    const frames = await events("/inference/v1/generate", { ...request, stream: true });
    deepStrictEqual(frames.flatMap((frame) => frame.choices[0].token_ids), body.choices[0].token_ids);
    equal((await json("/inference/v1/generate", { token_ids: [] })).status, 400);
  } finally {
    await server.stop();
  }
});

Deno.test("sglangGenerate() gives text, ids and meta_info; its stream repeats the text so far", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const { json, events } = client(server.url);
  try {
    const request = { text: "Once upon a time ".repeat(10), sampling_params: { max_new_tokens: 3 } };
    const { body } = await json("/generate", request);
    equal(body.text, detokenize(body.output_ids));
    deepStrictEqual(body.meta_info.finish_reason, { type: "length", length: 3 });
    equal(body.meta_info.completion_tokens, 3);
    equal(body.meta_info.cached_tokens, 0);
    const frames = await events("/generate", { ...request, stream: true });
    deepStrictEqual(frames.map((frame) => frame.text), [1, 2, 3].map((n) => body.text.slice(0, 4 * n)));
    equal(frames.at(-1).meta_info.cached_tokens, Math.floor((body.meta_info.prompt_tokens - 1) / 16) * 16);
    const salted = await json("/generate", { ...request, extra_key: "tenant" });
    equal(salted.body.meta_info.cached_tokens, 0);
    const list = await json("/generate", { input_ids: [[1, 2], [3, 4]], sampling_params: { max_new_tokens: 1 } });
    equal(list.body.length, 2);
    equal((await json("/generate", {})).status, 400);
  } finally {
    await server.stop();
  }
});

Deno.test("tokenizeText() and detokenizeIds() are inverse, and chat counts as chat does", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const { json } = client(server.url);
  try {
    const { body } = await json("/tokenize", { model: "sim/model-8b", prompt: "Hello there" });
    deepStrictEqual(body, { count: 3, max_model_len: 131072, tokens: [...tokenize("Hello there")], token_strs: null });
    deepStrictEqual((await json("/detokenize", { tokens: body.tokens })).body, { prompt: "Hello there" });
    const messages = [{ role: "user", content: "Hello" }];
    const chat = await json("/v1/chat/completions", { messages, max_tokens: 1 });
    equal((await json("/tokenize", { messages })).body.count, chat.body.usage.prompt_tokens);
    ok((await json("/tokenize", {})).status === 400);
  } finally {
    await server.stop();
  }
});
