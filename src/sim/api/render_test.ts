import { deepStrictEqual, equal } from "node:assert/strict";
import { startSimServer } from "../server.ts";
import { specialTokens, tokenize } from "../tokenizer.ts";

Deno.test("render, tokenize and generation agree on the prompt's tokens", async () => {
  const server = startSimServer({ port: 0, speed: 50 });
  const post = async (path: string, body: unknown) => {
    const response = await fetch(server.url + path, { method: "POST", body: JSON.stringify(body) });
    return { status: response.status, body: await response.json() };
  };
  try {
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "user", content: [{ type: "text", text: "Look" }, { type: "image_url", image_url: { url: "data:," } }] },
    ];
    const tools = [{ type: "function", function: { name: "f" } }];
    const rendered = (await post("/v1/chat/completions/render", { messages, tools })).body;
    deepStrictEqual((await post("/tokenize", { messages, tools })).body.tokens, rendered.token_ids);
    const { usage } = (await post("/v1/chat/completions", { messages, tools, max_tokens: 1 })).body;
    equal(usage.prompt_tokens, rendered.token_ids.length);
    const [place] = rendered.features.mm_placeholders.image;
    deepStrictEqual(
      new Set(rendered.token_ids.slice(place.offset, place.offset + place.length)),
      new Set([specialTokens.media]),
    );
    equal(rendered.features.mm_hashes.image[0].length, 64);
    const plain = (await post("/v1/chat/completions/render", { messages: messages.slice(0, 1) })).body;
    deepStrictEqual(Object.keys(plain), ["token_ids"]);
    const prompts = (await post("/v1/completions/render", { prompt: ["one two", "three"] })).body;
    deepStrictEqual(prompts.map((each: { token_ids: number[] }) => each.token_ids), [
      [...tokenize("one two")],
      [...tokenize("three")],
    ]);
    deepStrictEqual((await post("/v1/completions/render", { prompt: [5, 6] })).body[0].token_ids, [5, 6]);
    equal((await post("/detokenize", { tokens: prompts[0].token_ids })).body.prompt, "one two");
    equal((await post("/v1/completions/render", { prompt: "" })).status, 400);
    equal((await post("/v1/chat/completions/render", { messages, model: "other" })).status, 404);
  } finally {
    await server.stop();
  }
});

Deno.test("two images in the same place do not share a cached prefix, the same image does", async () => {
  const server = startSimServer({ port: 0, speed: 50 });
  const cached = async (url: string) => {
    const messages = [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }];
    const body = JSON.stringify({ messages, max_tokens: 1 });
    const response = await fetch(`${server.url}/v1/chat/completions`, { method: "POST", body });
    return (await response.json()).usage.prompt_tokens_details.cached_tokens;
  };
  try {
    deepStrictEqual([await cached("a"), await cached("b"), await cached("a")], [0, 0, 576]);
  } finally {
    await server.stop();
  }
});
