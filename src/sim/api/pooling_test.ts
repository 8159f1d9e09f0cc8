import { deepStrictEqual, equal, ok } from "node:assert/strict";
import OpenAI from "openai";
import { startSimServer } from "../server.ts";

Deno.test("embeddings() gives the official client the same vector as floats and as base64", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  const model = "sim/model-8b";
  try {
    const input = ["first text", "second text"];
    const packed = await client.embeddings.create({ model, input });
    const floats = await client.embeddings.create({ model, input, encoding_format: "float" });
    equal(packed.data.length, 2);
    equal(packed.data[0].embedding.length, 384);
    deepStrictEqual([...packed.data[1].embedding], floats.data[1].embedding);
    equal(packed.usage.prompt_tokens, 6);
    const short = await client.embeddings.create({ model, input: [1, 2, 3], dimensions: 8, encoding_format: "float" });
    equal(short.data[0].embedding.length, 8);
    equal(server.models.ranks[0].metrics().finished, 5);
  } finally {
    await server.stop();
  }
});

Deno.test("rerank() and score() rate documents alike", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const post = async (path: string, body: unknown) => {
    const response = await fetch(server.url + path, { method: "POST", body: JSON.stringify(body) });
    return { status: response.status, body: await response.json() };
  };
  try {
    const documents = ["alpha", "beta", "gamma"];
    const { body: ranked } = await post("/v1/rerank", { query: "letters", documents, top_n: 2 });
    const { body: scored } = await post("/v1/score", { text_1: "letters", text_2: documents });
    const scores: number[] = scored.data.map((each: { score: number }) => each.score);
    const order = [0, 1, 2].sort((a, b) => scores[b] - scores[a]);
    deepStrictEqual(
      ranked.results,
      order.slice(0, 2).map((index) => ({
        index,
        document: { text: documents[index] },
        relevance_score: scores[index],
      })),
    );
    ok(ranked.usage.total_tokens > 0);
    equal((await post("/v1/score", { text_1: ["a", "b"], text_2: documents })).status, 400);
    const pairs = await post("/v1/score", { text_1: ["letters", "x", "y"], text_2: documents });
    equal(pairs.body.data[0].score, scores[0]);
  } finally {
    await server.stop();
  }
});
