import { deepStrictEqual, equal } from "node:assert/strict";
import type { Api } from "../core/mod.ts";
import { type EngineMethod, engineRequest, readEngineAnswer } from "./engine_protocol.ts";

const bytes = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value));

function asked(method: EngineMethod, api: Api, body: unknown, engine: "vllm" | "sglang" = "vllm"): unknown {
  const request = engineRequest(method, { api, body: bytes(body), model: "base", engine });
  if ("path" in request) return [request.path, JSON.parse(request.body)];
  return "reason" in request ? request.reason : [...request.tokens];
}

const messages = [{ role: "user", content: "hi" }];

Deno.test("engineRequest() asks render for a chat, without what only the answer needs, under the base model's name", () => {
  deepStrictEqual(
    asked("render", "chat", { model: "alias", messages, stream: true, stream_options: {}, temperature: 0.5, n: 2 }),
    ["/v1/chat/completions/render", { model: "base", messages, temperature: 0.5, return_mm_kwargs: false }],
  );
});

Deno.test("engineRequest() keeps the order of keys and the text of numbers", () => {
  const request = engineRequest("render", {
    api: "chat",
    body: bytes('{"messages":[],"tools":[{"2":1.0,"1":12345678901234567890}]}'),
    model: "base",
    engine: "vllm",
  });
  equal(
    "path" in request && request.body,
    '{"messages":[],"tools":[{"2":1.0,"1":12345678901234567890}],"return_mm_kwargs":false,"model":"base"}',
  );
});

Deno.test("engineRequest() turns other dialects into chats first", () => {
  deepStrictEqual(asked("render", "messages", { system: "s", messages }), [
    "/v1/chat/completions/render",
    { messages: [{ role: "system", content: "s" }, ...messages], return_mm_kwargs: false, model: "base" },
  ]);
});

Deno.test("engineRequest() asks render for a plain prompt, and takes given ids as the answer", () => {
  deepStrictEqual(asked("render", "completions", { prompt: "p" }), ["/v1/completions/render", {
    prompt: "p",
    model: "base",
  }]);
  deepStrictEqual(asked("render", "completions", { prompt: [1, 2] }), [1, 2]);
  equal(asked("render", "completions", { prompt: ["a", "b"] }), "several-prompts");
  equal(asked("render", "completions", { prompt: [1, 2], truncate_prompt_tokens: 1 }), "truncation");
  equal(asked("render", "sglang-generate", { text: "t" }), "api");
});

Deno.test("engineRequest() asks tokenize with the members it knows, and says why it cannot", () => {
  const body = { messages, tools: [], add_generation_prompt: true, temperature: 1, chat_template_kwargs: { a: 1 } };
  const { temperature: _, ...known } = body;
  deepStrictEqual(asked("tokenize", "chat", body), ["/tokenize", { ...known, model: "base" }]);
  deepStrictEqual(asked("tokenize", "completions", { prompt: "p" }), [
    "/tokenize",
    { prompt: "p", add_special_tokens: true, model: "base" },
  ]);
  equal(asked("tokenize", "chat", { messages, reasoning_effort: "low" }), "request-option");
  equal(asked("tokenize", "chat", { messages, truncate_prompt_tokens: 5 }), "truncation");
  const image = { role: "user", content: [{ type: "image_url", image_url: { url: "" } }] };
  equal(asked("tokenize", "chat", { messages: [image] }), "multimodal");
  equal(asked("tokenize", "completions", {}), "body");
});

Deno.test("engineRequest() asks SGLang for the ids of texts only", () => {
  equal(asked("render", "completions", { prompt: "p" }, "sglang"), "api");
  equal(asked("tokenize", "chat", { messages }, "sglang"), "api");
  deepStrictEqual(asked("tokenize", "sglang-generate", { text: "t", add_special_tokens: false }, "sglang"), [
    "/tokenize",
    { prompt: "t", add_special_tokens: false, model: "base" },
  ]);
});

Deno.test("readEngineAnswer() reads ids, media in the order of their places, and adds the salt", () => {
  const answer = {
    token_ids: [1, 2, 3],
    features: {
      mm_hashes: { image: ["h2"], audio: ["h1"] },
      mm_placeholders: { image: [{ offset: 9, length: 4 }], audio: [{ offset: 2, length: 3 }] },
    },
  };
  deepStrictEqual(readEngineAnswer("render", bytes(answer), "salt"), {
    tokens: Uint32Array.of(1, 2, 3),
    source: "render",
    extras: { media: [{ hash: "h1", offset: 2, length: 3 }, { hash: "h2", offset: 9, length: 4 }], cacheSalt: "salt" },
    cachedTokens: 0,
  });
  deepStrictEqual(readEngineAnswer("render", bytes([{ token_ids: [4] }]), undefined), {
    tokens: Uint32Array.of(4),
    source: "render",
    extras: undefined,
    cachedTokens: 0,
  });
  deepStrictEqual(readEngineAnswer("tokenize", bytes({ count: 1, tokens: [5] }), undefined), {
    tokens: Uint32Array.of(5),
    source: "tokenize",
    extras: undefined,
    cachedTokens: 0,
  });
});

Deno.test("readEngineAnswer() refuses what is not the ids of one prompt", () => {
  const wrong = ["", "[]", {}, { token_ids: [] }, { token_ids: ["1"] }, { token_ids: [-1] }, [{ token_ids: [1] }, {
    token_ids: [2],
  }], {
    token_ids: [1],
    features: { mm_hashes: { image: ["a"] } },
  }];
  for (const value of wrong) deepStrictEqual(readEngineAnswer("render", bytes(value), undefined), { reason: "engine" });
});
