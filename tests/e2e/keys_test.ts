/** API keys and quotas through the whole router, with the official clients and with bare sockets. */
import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import OpenAI, { AuthenticationError, NotFoundError, RateLimitError } from "openai";
import Anthropic from "@anthropic-ai/sdk";
import { secretHash } from "../../src/core/mod.ts";
import { busy, fact, faster, model, openAiError, post, type Stage, until, withRouter } from "./harness.ts";
import { withRecorder } from "./recorder.ts";

type Fields = Readonly<Record<string, unknown>>;

/** Secret of the key with this id. */
const secretOf = (id: string) => `sk-${id}-0123456789`;
const hashOf = (id: string) => `sha256:${secretHash(secretOf(id))}`;
const bearer = (id: string) => ({ authorization: `Bearer ${secretOf(id)}` });
const messages = [{ role: "user" as const, content: "Tell me of the sea and of the ships on it." }];
const prompt = { model, prompt: "What the sea knows.", max_tokens: 4 };

/** A router over one simulator, and keys with these fields by their ids. */
function withKeys(
  keys: Readonly<Record<string, Fields>>,
  use: (stage: Stage) => Promise<void>,
  more: { readonly tenants?: readonly Fields[]; readonly config?: Fields; readonly speed?: number } = {},
): Promise<void> {
  const list = Object.entries(keys).map(([id, fields]) => ({ id, hash: hashOf(id), ...fields }));
  const config = { ...more.config, keys: { list, tenants: more.tenants ?? [] } };
  return withRouter({ sims: [{ speed: more.speed ?? 20 }], config }, use);
}

function openai({ url }: Stage, id: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: secretOf(id), maxRetries: 0 });
}

interface KeyPage {
  readonly keys: readonly {
    readonly id: string;
    readonly tokens?: { readonly remaining: number };
    readonly requests?: { readonly remaining: number };
    readonly inFlight: number;
  }[];
}

async function keyPage({ adminUrl }: Stage): Promise<KeyPage> {
  return await (await fetch(`${adminUrl}/debug/keys`)).json();
}

/** Tokens charged to a key by now, of the prompt and of the answer. */
async function charged({ adminUrl }: Stage, id: string): Promise<{ prompt: number; completion: number }> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  const of = (kind: string) =>
    Number(
      new RegExp(`warmpath_key_tokens_total\\{key="${id}",tenant="[^"]*",kind="${kind}"\\} (\\d+)`).exec(text)?.[1] ??
        0,
    );
  return { prompt: of("prompt"), completion: of("completion") };
}

fact(
  "the official OpenAI client gets in with its key and is told what is wrong with another",
  () =>
    withKeys({ a: { tenant: "team" }, off: { disabled: true }, old: { expires: "2020-01-01" } }, async (stage) => {
      const { data, response } = await openai(stage, "a").chat.completions.create({ model, messages, max_tokens: 4 })
        .withResponse();
      equal(data.usage?.completion_tokens, 4);
      const line = await stage.accessLine(response.headers.get("x-request-id")!);
      deepStrictEqual([line.key, line.tenant, line.fairness_id], ["a", "team", "team"]);
      for (const id of ["unknown", "off", "old"]) {
        await rejects(openai(stage, id).chat.completions.create({ model, messages }), (error: unknown) => {
          ok(error instanceof AuthenticationError);
          deepStrictEqual([error.status, error.code, error.type], [401, "invalid_api_key", "invalid_request_error"]);
          return true;
        });
      }
      const none = await post(`${stage.url}/v1/completions`, prompt);
      deepStrictEqual([none.status, none.headers.get("www-authenticate")], [401, "Bearer"]);
      match((await openAiError(none)).message as string, /No API key was given/);
      const text = await (await fetch(`${stage.adminUrl}/metrics`)).text();
      for (const [key, reason] of [["", "unknown"], ["off", "disabled"], ["old", "expired"], ["", "missing"]]) {
        match(text, new RegExp(`warmpath_key_refusals_total\\{key="${key}",tenant="${key}",reason="${reason}"\\} 1`));
      }
      ok(stage.accessLines.every((line) => !JSON.stringify(line).includes("0123456789")));
    }),
);

fact(
  "the official Anthropic client gets in with x-api-key or a token; its errors have its shape",
  () =>
    withKeys({ a: { models: ["sim/*"] } }, async ({ url }) => {
      for (const credentials of [{ apiKey: secretOf("a") }, { authToken: secretOf("a"), apiKey: null }]) {
        const client = new Anthropic({ baseURL: url, maxRetries: 0, ...credentials });
        equal((await client.messages.create({ model, messages, max_tokens: 3 })).usage.output_tokens, 3);
        await rejects(client.messages.create({ model: "other", messages, max_tokens: 3 }), (error: unknown) => {
          ok(error instanceof Anthropic.NotFoundError);
          equal((error.error as { error: Fields }).error.type, "not_found_error");
          return true;
        });
      }
      const stranger = new Anthropic({ baseURL: url, maxRetries: 0, apiKey: "none" });
      await rejects(stranger.messages.create({ model, messages, max_tokens: 3 }), (error: unknown) => {
        ok(error instanceof Anthropic.AuthenticationError);
        const body = error.error as { type: string; error: Fields };
        deepStrictEqual([error.status, body.type, body.error.type], [401, "error", "authentication_error"]);
        return true;
      });
      const azure = await post(`${url}/v1/completions`, prompt, { headers: { "api-key": secretOf("a") } });
      await azure.body?.cancel();
      equal(azure.status, 200);
    }),
);

fact(
  "every path needs a key but probes and preflight requests",
  () =>
    withRecorder(
      {},
      (recorder) =>
        withRouter({ endpoints: [recorder.url], config: { keys: { list: [] } } }, async ({ url }) => {
          const status = async (path: string, method: string) => {
            const response = await fetch(url + path, { method });
            await response.body?.cancel();
            return response.status;
          };
          for (const path of ["/v1/models", "/v1/models/x", "/anything", "/metrics", "/health/deep", "/%68ealth"]) {
            equal(await status(path, "GET"), 401, path);
          }
          equal(await status("/health", "POST"), 401);
          equal(await status("/health", "GET"), 200);
          equal(await status("/v1/anything", "OPTIONS"), 200);
          const body = await fetch(`${url}/v1/anything`, { method: "OPTIONS", body: "x" });
          await body.body?.cancel();
          equal(body.status, 413);
        }),
    ),
);

fact("a key for certain models sees and uses no other, whatever headers or paths it tries", () =>
  withRouter({
    sims: [{}, { model: "org/b" }],
    config: {
      keys: { list: [{ id: "a", hash: hashOf("a"), models: ["gpt*", "org/*"] }] },
      models: { aliases: { "gpt-4o": model } },
    },
  }, async (stage) => {
    const client = openai(stage, "a");
    deepStrictEqual((await client.models.list()).data.map(({ id }) => id).sort(), ["gpt-4o", "org/b"]);
    for (const name of ["gpt-4o", "org/b"]) {
      equal((await client.completions.create({ ...prompt, model: name })).usage?.completion_tokens, 4);
    }
    // The target of the alias is not among the names it may use.
    for (const name of [model, "no/such"]) {
      await rejects(client.completions.create({ ...prompt, model: name }), (error: unknown) => {
        ok(error instanceof NotFoundError);
        equal(error.code, "model_not_found");
        match(error.message, /does not exist or you do not have access to it/);
        return true;
      });
      await rejects(client.models.retrieve(name), NotFoundError);
    }
    const headers = { ...bearer("a"), "x-llm-d-model-name-rewrite": model };
    for (
      const [path, body] of [
        ["/v1/completions", { ...prompt, model: "gpt-5" }],
        ["/v1/completions", { prompt: "x" }],
        ["/generate", { text: "x" }],
        ["/v1/unknown", "not JSON"],
        // Of a name that stands twice engines take the last.
        ["/v1/completions", `{"model":"gpt-4o","prompt":"x","model":"${model}"}`],
        ["/v1/completions", `{"model":"gpt-4o","prompt":"x","mod\\u0065l":"${model}"}`],
        ["/v1/%63ompletions", { ...prompt, model }],
      ] as const
    ) {
      const response = await post(stage.url + path, body, { headers });
      equal(response.status, 404, path);
      equal((await openAiError(response)).code, "model_not_found");
    }
  }));

fact(
  "requests per minute: what is left is told, and what is too much is refused with the time to wait",
  () =>
    withKeys({ a: { requestsPerMinute: 2 } }, async (stage) => {
      const client = openai(stage, "a");
      for (const left of ["1", "0"]) {
        const { response } = await client.completions.create(prompt).withResponse();
        equal(response.headers.get("x-ratelimit-limit-requests"), "2");
        equal(response.headers.get("x-ratelimit-remaining-requests"), left);
        match(response.headers.get("x-ratelimit-reset-requests")!, /^(1m)?\d+(\.\d+)?s$/);
        equal(response.headers.get("x-ratelimit-limit-tokens"), null);
      }
      await rejects(client.completions.create(prompt), (error: unknown) => {
        ok(error instanceof RateLimitError);
        equal(error.code, "rate_limit_exceeded");
        const wait = Number(error.headers.get("retry-after"));
        ok(wait > 20 && wait <= 30, `${wait}`);
        equal(error.headers.get("x-ratelimit-remaining-requests"), "0");
        return true;
      });
      await until("three lines", () => stage.accessLines.length === 3);
      const { outcome, status, key, attempts } = stage.accessLines[2];
      deepStrictEqual([outcome, status, key, attempts], ["rate-limited", 429, "a", 0]);
    }),
);

fact(
  "tokens are charged as the engine reports them, of every API, and what failed costs nothing",
  () =>
    withKeys({ a: { tokensPerMinute: 1e9, requestsPerMinute: 1e6 } }, async (stage) => {
      const client = openai(stage, "a");
      let prompts = 0, completions = 0;
      const spent = async (usage: { prompt: number; completion: number }) => {
        prompts += usage.prompt;
        completions += usage.completion;
        deepStrictEqual(await charged(stage, "a"), { prompt: prompts, completion: completions });
      };
      const chat = await client.chat.completions.create({ model, messages, max_tokens: 5 });
      await spent({ prompt: chat.usage!.prompt_tokens, completion: 5 });
      // The stream's usage is asked for by the router and hidden from the client.
      const stream = await client.chat.completions.create({ model, messages, max_tokens: 7, stream: true });
      for await (const chunk of stream) equal(chunk.usage ?? null, null);
      await until("the stream has ended", () => stage.accessLines.length === 2);
      await spent({ prompt: chat.usage!.prompt_tokens, completion: 7 });
      const embedded = await client.embeddings.create({ model, input: "of the sea", encoding_format: "float" });
      await spent({ prompt: embedded.usage.prompt_tokens, completion: 0 });
      const anthropic = new Anthropic({ baseURL: stage.url, apiKey: secretOf("a"), maxRetries: 0 });
      const { usage } = await anthropic.messages.create({ model, messages, max_tokens: 6 });
      await spent({ prompt: usage.input_tokens, completion: 6 });
      await anthropic.messages.countTokens({ model, messages });
      await spent({ prompt: 0, completion: 0 });
      const headers = bearer("a");
      for (const body of [{ ...prompt, max_tokens: "all" }, { ...prompt, model: "none" }, "{"]) {
        const response = await post(`${stage.url}/v1/completions`, body, { headers });
        await response.body?.cancel();
        ok(response.status >= 400);
      }
      await until("every line", () => stage.accessLines.length === 8);
      await spent({ prompt: 0, completion: 0 });
      const [row] = (await keyPage(stage)).keys;
      equal(row.inFlight, 0);
    }),
);

fact(
  "a stream cut by its client is charged for its prompt and for what passed",
  () =>
    withKeys({ a: { tokensPerMinute: 1e6, maxConcurrent: 1 } }, async (stage) => {
      const stream = await openai(stage, "a").completions.create({ ...prompt, max_tokens: 5000, stream: true });
      let seen = 0;
      for await (const _ of stream) if (++seen === 30) break;
      await until("the engine is idle", () => busy(stage.sims[0]) === 0);
      await until("the place is free", async () => (await keyPage(stage)).keys[0].inFlight === 0);
      const { prompt: prompts, completion } = await charged(stage, "a");
      ok(prompts > 0);
      ok(completion >= 25 && completion < 300, `${completion} tokens`);
    }, { speed: 2 }),
);

fact(
  "maxConcurrent and the limits that keys of a tenant share",
  () =>
    withKeys({ a: { maxConcurrent: 1 }, b: { tenant: "t" }, c: { tenant: "t" } }, async (stage) => {
      const long = { ...prompt, max_tokens: 20_000, stream: true } as const;
      for (const [first, second] of [["a", "a"], ["b", "c"]]) {
        const running = await openai(stage, first).completions.create(long);
        await rejects(openai(stage, second).completions.create(prompt), (error: unknown) => {
          ok(error instanceof RateLimitError);
          match(error.message, /Too many requests at once: the limit is 1/);
          equal(error.headers.get("retry-after"), "1");
          return true;
        });
        running.controller.abort();
        await until("there is room again", async () => {
          const response = await post(`${stage.url}/v1/completions`, prompt, { headers: bearer(second) });
          await response.body?.cancel();
          return response.status === 200;
        });
      }
    }, { tenants: [{ name: "t", maxConcurrent: 1 }], speed: 1 }),
);

fact("the client's fairness id and objective count only as far as its key lets them", () =>
  withKeys(
    { a: { tenant: "t", priorityMax: 2 }, gateway: { trustFairnessHeader: true } },
    async (stage) => {
      const seen = async (id: string, fairness: string) => {
        const headers = {
          ...bearer(id),
          "x-request-id": id,
          "x-llm-d-inference-fairness-id": fairness,
          "x-llm-d-inference-objective": "high",
        };
        await (await post(`${stage.url}/v1/completions`, prompt, { headers })).body?.cancel();
        const { fairness_id, tenant, priority } = await stage.accessLine(id);
        return [fairness_id, tenant, priority];
      };
      deepStrictEqual(await seen("a", "somebody-else"), ["t", "t", 2]);
      deepStrictEqual(await seen("gateway", "its-client"), ["its-client", "gateway", 10]);
    },
    { config: { objectives: [{ name: "high", priority: 10 }] } },
  ));

fact(
  "a key in shadow is served whatever its limits, and what would be refused is counted",
  () =>
    withKeys({ a: { shadow: true, requestsPerMinute: 1, models: ["other"] } }, async (stage) => {
      for (let i = 0; i < 3; i++) await openai(stage, "a").completions.create(prompt);
      const text = await (await fetch(`${stage.adminUrl}/metrics`)).text();
      match(text, /warmpath_key_shadow_refusals_total\{key="a",tenant="a",reason="model"\} 3/);
      match(text, /warmpath_key_shadow_refusals_total\{key="a",tenant="a",reason="requests"\} 2/);
      equal((await charged(stage, "a")).completion, 12);
    }),
);

/** Sends a head and no body, and reads the answer. */
async function answerToHead(port: number, lines: readonly (string | Uint8Array)[]): Promise<string> {
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    const encoder = new TextEncoder();
    const head = ["POST /v1/completions HTTP/1.1", "host: x", "content-length: 52428800", ...lines, ""];
    for (const line of head) {
      await connection.write(typeof line === "string" ? encoder.encode(line) : line);
      await connection.write(encoder.encode("\r\n"));
    }
    const buffer = new Uint8Array(16_384);
    const size = await connection.read(buffer);
    return new TextDecoder().decode(buffer.subarray(0, size ?? 0));
  } finally {
    connection.close();
  }
}

fact(
  "who has no valid key is told so before the body is read, and one that sends it all is told too",
  () =>
    withKeys({ a: {} }, async ({ router, url }) => {
      await faster(100, async () => {
        const startMs = performance.now();
        match(await answerToHead(router.port, ["authorization: Bearer sk-wrong"]), /^HTTP\/1\.1 401 /);
        return performance.now() - startMs;
      });
      const asking = await answerToHead(router.port, ["authorization: Bearer sk-wrong", "expect: 100-continue"]);
      match(asking, /^HTTP\/1\.1 401 .*^connection: close\r$/ims);
      match(
        await answerToHead(router.port, ["expect: 100-continue", `x-api-key: ${secretOf("a")}`]),
        /^HTTP\/1\.1 100 /,
      );
      const body = new Uint8Array(50 << 20);
      const response = await fetch(`${url}/v1/completions`, {
        method: "POST",
        headers: { authorization: "Bearer sk-wrong" },
        body,
      });
      equal(response.status, 401);
      equal((await openAiError(response)).code, "invalid_api_key");
    }, { config: { server: { bodyBytesMax: "64MiB" } } }),
);

fact("hostile credentials are refused like any wrong ones", () =>
  withKeys({ a: {} }, async ({ router, logLines }) => {
    const raw = (name: string, bytes: readonly number[]) =>
      Uint8Array.from([...new TextEncoder().encode(`${name}: `), ...bytes]);
    const key = secretOf("a");
    for (
      const lines of [
        ["authorization:"],
        ["authorization: Bearer"],
        [`authorization: Basic ${btoa(`x:${key}`)}`],
        [`authorization: Bearer ${key}, Bearer ${key}`],
        [`authorization: Bearer ${key}`, "authorization: Bearer other"],
        [`authorization: ${key}`],
        ["authorization: Bearer __proto__"],
        ["authorization: Bearer constructor"],
        [`x-api-key: ${"a".repeat(60_000)}`],
        [`x-api-key: ${key}, ${key}`],
        [`x-api-key: ${secretHash(key)}`],
        [raw("x-api-key", [0xff, 0xfe, 0xc3, 0x28])],
        [raw("authorization", [...new TextEncoder().encode("Bearer "), 0xf0, 0x9f, 0x92, 0xa9])],
      ]
    ) {
      const answer = await answerToHead(router.port, lines);
      match(answer, /^HTTP\/1\.1 401 .*"code":"invalid_api_key"/s, String(lines[0]).slice(0, 80));
      ok(!answer.includes(key));
    }
    deepStrictEqual(logLines.filter(({ level }) => level === "error"), []);
  }));

fact(
  "a key with bytes beyond ASCII is known by the hash of its bytes",
  () =>
    withRecorder({}, (recorder) =>
      withRouter({
        endpoints: [recorder.url],
        // What `printf é | sha256sum` prints.
        config: {
          keys: {
            list: [{ id: "e", hash: "sha256:4a99557e4033c3539de2eb65472017cad5f9557f7a0625a09f1c3f6e2ba69c4c" }],
          },
        },
      }, async ({ url }) => {
        const response = await post(`${url}/v1/completions`, prompt, { headers: { "x-api-key": "\xc3\xa9" } });
        await response.body?.cancel();
        equal(response.status, 200);
      })),
);
