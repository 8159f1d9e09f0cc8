import { deepStrictEqual, equal } from "node:assert/strict";
import OpenAI from "openai";
import { startSimServer } from "../server.ts";

Deno.test("models() lists every name of the base model and the adapters with their parent", async () => {
  const server = startSimServer({
    port: 0,
    model: "org/base",
    servedModelNames: ["base", "alias"],
    loraModules: [{ name: "sql", path: "adapters/sql" }],
  });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
  try {
    const { data } = await client.models.list();
    const rows = data as unknown as { id: string; root: string; parent: string | null; max_model_len: number | null }[];
    deepStrictEqual(rows.map(({ id, root, parent, max_model_len }) => [id, root, parent, max_model_len]), [
      ["base", "org/base", null, 131072],
      ["alias", "org/base", null, 131072],
      ["sql", "adapters/sql", "base", null],
    ]);
  } finally {
    await server.stop();
  }
});

Deno.test("loadAdapter() and unloadAdapter() change what is served", async () => {
  const server = startSimServer({ port: 0, speed: 20 });
  const post = async (path: string, body: unknown) => {
    const response = await fetch(server.url + path, { method: "POST", body: JSON.stringify(body) });
    await response.body?.cancel();
    return response.status;
  };
  const ask = () => post("/v1/completions", { model: "sql", prompt: "x", max_tokens: 1 });
  try {
    equal(await ask(), 404);
    equal(await post("/v1/load_lora_adapter", { lora_name: "sql", lora_path: "adapters/sql" }), 200);
    equal(await post("/v1/load_lora_adapter", { lora_name: "sql", lora_path: "adapters/sql" }), 400);
    equal(await post("/v1/load_lora_adapter", { lora_name: "sql" }), 400);
    equal(await ask(), 200);
    equal(await post("/v1/unload_lora_adapter", { lora_name: "sql" }), 200);
    equal(await post("/v1/unload_lora_adapter", { lora_name: "sql" }), 404);
    equal(await ask(), 404);
  } finally {
    await server.stop();
  }
});
