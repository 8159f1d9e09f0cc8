/** The APIs that have no official client, and paths the router does not know. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import { eventData, fact, model, openAiError, post, withRouter } from "./harness.ts";

const one = { sims: [{}] };

async function answer(response: Response): Promise<Record<string, unknown>> {
  const text = await response.text();
  equal(response.status, 200, text);
  return JSON.parse(text);
}

fact(
  "/inference/v1/generate takes token ids, whole and streamed",
  () =>
    withRouter(one, async ({ url, accessLine }) => {
      const asked = { model, token_ids: [5, 6, 7, 8], sampling_params: { max_tokens: 4 } };
      const response = await post(`${url}/inference/v1/generate`, asked, { headers: { "x-request-id": "ids" } });
      const whole = await answer(response) as { choices: { token_ids: number[] }[] };
      equal(whole.choices[0].token_ids.length, 4);
      deepStrictEqual((await accessLine("ids")).api, "generate");
      const stream = await post(`${url}/inference/v1/generate`, { ...asked, stream: true });
      match(stream.headers.get("content-type")!, /^text\/event-stream/);
      const events = eventData(await stream.text());
      equal(events.at(-1), "[DONE]");
      const ids = events.slice(0, -1).flatMap((event) => JSON.parse(event).choices[0]?.token_ids ?? []);
      deepStrictEqual(ids, whole.choices[0].token_ids);
    }),
);

fact("/generate is SGLang's own API, whole and streamed", () =>
  withRouter(one, async ({ url, accessLine }) => {
    const asked = { text: "Once upon a time", sampling_params: { max_new_tokens: 5 } };
    const response = await post(`${url}/generate`, asked, { headers: { "x-request-id": "sg" } });
    const whole = await answer(response) as { text: string; meta_info: Record<string, number> };
    equal(whole.meta_info.completion_tokens, 5);
    const line = await accessLine("sg");
    deepStrictEqual([line.api, line.output_tokens], ["sglang-generate", 5]);
    const stream = await post(`${url}/generate`, { ...asked, stream: true });
    const events = eventData(await stream.text());
    equal(events.at(-1), "[DONE]");
    equal(JSON.parse(events.at(-2)!).text, whole.text);
  }));

fact("/tokenize, /v1/rerank and /v1/score reach a server", () =>
  withRouter(one, async ({ url }) => {
    const { tokens, count } = await answer(await post(`${url}/tokenize`, { model, prompt: "one two three" }));
    equal((tokens as number[]).length, count);
    const documents = ["the sea", "a ship", "bread"];
    for (const path of ["/v1/rerank", "/rerank"]) {
      const ranked = await answer(await post(url + path, { model, query: "water", documents }));
      equal((ranked.results as unknown[]).length, 3);
    }
    for (const path of ["/v1/score", "/score"]) {
      const scored = await answer(await post(url + path, { model, text_1: "water", text_2: documents }));
      equal((scored.data as unknown[]).length, 3);
    }
  }));

fact(
  "unknown paths pass through to a server: POST, GET and HEAD",
  () =>
    withRouter(one, async ({ url, accessLines }) => {
      const { tokens } = await answer(await post(`${url}/tokenize`, { model, prompt: "one two" }));
      const back = await answer(await post(`${url}/detokenize`, { model, tokens }));
      equal(back.prompt, "one two");
      deepStrictEqual(await answer(await fetch(`${url}/version`)), { version: "sim" });
      const health = await fetch(`${url}/health`);
      await health.body?.cancel();
      equal(health.status, 200);
      equal(health.headers.get("x-inference-pod"), "sim-0");
      const head = await fetch(`${url}/version`, { method: "HEAD" });
      equal(head.status, 200);
      equal(await head.text(), "");
      const missing = await fetch(`${url}/nothing/here?x=1`);
      equal(missing.status, 404);
      equal((await openAiError(missing)).message, "There is no GET /nothing/here");
      ok(accessLines.slice(-4).every(({ api }) => api === "passthrough"));
    }),
);

fact(
  "a known path takes POST only, and says so in the shape its clients read",
  () =>
    withRouter(one, async ({ url }) => {
      const chat = await fetch(`${url}/v1/chat/completions`);
      deepStrictEqual([chat.status, chat.headers.get("allow")], [405, "POST"]);
      equal((await openAiError(chat)).code, "method_not_allowed");
      const messages = await fetch(`${url}/v1/messages`);
      equal(messages.status, 405);
      equal((await messages.json()).type, "error");
    }),
);
