import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { writeFileSync } from "node:fs";
import type { TokensConfig } from "../config/mod.ts";
import { sleep, systemClock, VirtualClock } from "../core/mod.ts";
import {
  isUnavailable,
  type PromptRequest,
  type PromptTokens,
  Tokens,
  type TokensDeps,
  type Unavailable,
} from "./mod.ts";
import { smallFiles } from "./vocabulary_fixture.ts";

const encoded = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const chat = (content: string, more: Record<string, unknown> = {}): PromptRequest => ({
  model: "m",
  api: "chat",
  body: encoded({ messages: [{ role: "user", content }], ...more }),
});
const image = [{ type: "image_url", image_url: { url: "data:" } }];

/** A model server's render and tokenize endpoints on a real socket. */
class Renderer {
  readonly asked: { path: string; body: Record<string, unknown> }[] = [];
  /** What it answers, by path; a number is a status. */
  answers: Record<string, unknown> = {};
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.#server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, async (request) => {
      const path = new URL(request.url).pathname;
      this.asked.push({ path, body: await request.json() });
      const answer = this.answers[path] ?? 404;
      return typeof answer === "number" ? new Response("no", { status: answer }) : Response.json(answer);
    });
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}/`;
  }

  close(): Promise<void> {
    return this.#server.shutdown();
  }
}

const chatRender = "/v1/chat/completions/render";

interface Fixture extends AsyncDisposable {
  readonly tokens: Tokens;
  readonly renderer: Renderer;
  readonly ask: (request: PromptRequest, signal?: AbortSignal) => Promise<number[] | string>;
}

function setUp(config: Partial<TokensConfig>, deps: Partial<TokensDeps> = {}): Fixture {
  const renderer = new Renderer();
  const tokens = new Tokens(
    { source: "auto", models: [], cacheBytes: 1 << 24, workers: 0, checkEvery: 0, timeoutMs: 2000, ...config },
    { clock: systemClock, fetcher: fetch, endpointUrl: () => renderer.url, ...deps },
  );
  return {
    tokens,
    renderer,
    ask: async (request, signal) => shown(await tokens.prompt(request, signal)),
    async [Symbol.asyncDispose]() {
      tokens.close();
      await renderer.close();
    },
  };
}

function shown(answer: PromptTokens | Unavailable): number[] | string {
  return isUnavailable(answer) ? answer.reason : [...answer.tokens];
}

/** A folder with the small tokenizer. */
function folder(changes: Record<string, unknown> = {}): string {
  const path = Deno.makeTempDirSync();
  for (const [name, bytes] of smallFiles(changes)) writeFileSync(`${path}/${name}`, bytes);
  return path;
}

const directory = folder();
addEventListener("unload", () => Deno.removeSync(directory, { recursive: true }));
const inProcess = { models: [{ model: "m", source: "directory" as const, directory }] };

/** Waits until `done`; a check is not awaited by anyone. */
async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i++) await sleep(systemClock, 5);
  ok(done());
}

/** Ids of the small tokenizer: bytes, and special tokens after the merges. */
async function idsOf(request: PromptRequest): Promise<number[]> {
  await using fixture = setUp(inProcess);
  await fixture.tokens.warm("m");
  return await fixture.ask(request) as number[];
}

Deno.test("prompt() starts loading with the first request, and answers at once when that is done", async () => {
  await using fixture = setUp(inProcess);
  equal(await fixture.ask(chat("hello")), "loading");
  await fixture.tokens.warm("m");
  const answer = fixture.tokens.prompt(chat("hello"));
  ok(!(answer instanceof Promise) && !isUnavailable(answer));
  equal(answer.source, "tokenizer");
  equal(answer.extras, undefined);
  const text = new TextDecoder().decode(Uint8Array.from([...answer.tokens].filter((id) => id < 256)));
  ok(text.startsWith("user\n"));
});

Deno.test("prompt() gives equal requests equal keys, and the cache's salt as an extra", async () => {
  await using fixture = setUp(inProcess);
  await fixture.tokens.warm("m");
  const [a, b, c] = [chat("hello"), chat("hello", { cache_salt: "s" }), chat("other")]
    .map((request) => fixture.tokens.prompt(request) as PromptTokens);
  equal(a.key, b.key);
  ok(a.key !== c.key);
  deepStrictEqual(b.extras, { media: [], cacheSalt: "s" });
});

Deno.test("prompt() tokenizes a long prompt in a worker, with the ids of the edge's own isolate", async () => {
  const request = chat("hello world 123\n".repeat(20_000));
  const expected = await idsOf(request);
  await using fixture = setUp({ ...inProcess, workers: 1 });
  await fixture.tokens.warm("m");
  const body = request.body.slice();
  const pending = fixture.tokens.prompt(request);
  ok(pending instanceof Promise);
  const first = await pending as PromptTokens;
  deepStrictEqual([...first.tokens], expected);
  deepStrictEqual(request.body, body);
  const second = await fixture.tokens.prompt(request) as PromptTokens;
  equal(second.cachedTokens, second.tokens.length);
  ok(fixture.tokens.status().cacheBytes > 0);
  equal(typeof shown(await fixture.tokens.prompt(chat("short"))), "object");
});

Deno.test("prompt() begins to answer at once when all prompts so far were too long for it", async () => {
  await using fixture = setUp({ ...inProcess, workers: 1 });
  await fixture.tokens.warm("m");
  const request = chat("hello ".repeat(1000));
  let sent = 0;
  for (let atOnce = false; !atOnce && sent < 100; sent++) {
    const pending = fixture.tokens.prompt(request);
    atOnce = !(pending instanceof Promise);
    await pending;
  }
  ok(sent > 1 && sent < 100, `${sent}`);
});

Deno.test("prompt() loads a tokenizer from the archive that an engine sends", async () => {
  let fetched = 0;
  const engineFiles = () => () => {
    fetched++;
    return Promise.reject(new Error("engine is away"));
  };
  await using fixture = setUp({ workers: 1 }, { engineFiles, endpointUrl: () => undefined });
  await fixture.tokens.warm("m");
  equal(fetched, 1);
  equal(await fixture.ask(chat("a")), "load-failed");
  equal(fixture.tokens.status().models[0].failure, "engine is away");
});

Deno.test("prompt() tries a tokenizer again half a minute after it could not be loaded", async () => {
  const clock = new VirtualClock();
  const missing = { models: [{ model: "m", source: "directory" as const, directory: `${directory}/missing` }] };
  const told: string[] = [];
  const onState: TokensDeps["onState"] = ({ state, failure }) => void told.push(`${state}: ${failure}`);
  await using fixture = setUp(missing, { clock, endpointUrl: () => undefined, onState });
  await fixture.tokens.warm("m");
  equal(await fixture.ask(chat("a")), "load-failed");
  const failure = fixture.tokens.status().models[0].failure;
  ok(failure?.includes("must hold a tokenizer.json"), failure);
  clock.advance(30_000);
  await fixture.tokens.warm("m");
  equal(fixture.tokens.status().models[0].state, "failed");
  deepStrictEqual(told, [`failed: ${failure}`], "the same reason is told once");
});

Deno.test("prompt() asks the engine's renderer where no tokenizer is at hand", async () => {
  await using fixture = setUp({});
  fixture.renderer.answers[chatRender] = { token_ids: [5, 6, 7] };
  deepStrictEqual(await fixture.ask(chat("a")), [5, 6, 7]);
  deepStrictEqual(fixture.renderer.asked[0].body.model, "m");
  deepStrictEqual(await fixture.ask({ model: "m", api: "completions", body: encoded({ prompt: [1, 2] }) }), [1, 2]);
  equal(fixture.renderer.asked.length, 1);
  equal(fixture.tokens.status().models[0].state, "engine");
  deepStrictEqual(fixture.tokens.status().models[0].answers, { render: 1, ids: 1 });
});

Deno.test("prompt() goes over to tokenize where the engine has no renderer", async () => {
  await using fixture = setUp({});
  fixture.renderer.answers["/tokenize"] = { tokens: [8] };
  equal(await fixture.ask(chat("a")), "engine");
  deepStrictEqual(await fixture.ask(chat("a")), [8]);
  deepStrictEqual(fixture.renderer.asked.map(({ path }) => path), [chatRender, "/tokenize"]);
});

Deno.test("prompt() says why the engine gave no ids", async () => {
  await using fixture = setUp({ source: "render" });
  fixture.renderer.answers[chatRender] = 500;
  equal(await fixture.ask(chat("a")), "engine");
  fixture.renderer.answers[chatRender] = { nothing: true };
  equal(await fixture.ask(chat("a")), "engine");
  const abort = new AbortController();
  abort.abort();
  equal(await fixture.ask(chat("a"), abort.signal), "cancelled");
  await using alone = setUp({ source: "render" }, { endpointUrl: () => undefined });
  equal(await alone.ask(chat("a")), "no-endpoint");
  await using none = setUp({ source: "none" });
  equal(await none.ask(chat("a")), "no-source");
});

Deno.test("prompt() gives up an engine that takes too long", async () => {
  const clock = new VirtualClock();
  const fetcher = (_: string, { signal }: RequestInit) =>
    new Promise<Response>((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)));
  await using fixture = setUp({ source: "render", timeoutMs: 100 }, { clock, fetcher });
  const pending = fixture.ask(chat("a"));
  await Promise.resolve();
  await Promise.resolve();
  clock.advance(100);
  equal(await pending, "engine");
});

Deno.test("prompt() leaves an engine that took too long alone for a while, then lets one request try it", async () => {
  const clock = new VirtualClock();
  const asked: string[] = [];
  let hangs = true;
  const fetcher: TokensDeps["fetcher"] = (url, { signal }) => {
    asked.push(new URL(url).hostname);
    if (!hangs) return Promise.resolve(Response.json({ token_ids: [1] }));
    return new Promise((_, reject) => signal!.addEventListener("abort", () => reject(signal!.reason)));
  };
  let urls = ["http://a"];
  const next = () => {
    urls = [...urls.slice(1), urls[0]];
    return urls[0];
  };
  await using fixture = setUp({}, { clock, fetcher, endpointUrl: next });
  const first = fixture.ask(chat("x"));
  await until(() => asked.length === 1);
  clock.advance(2000);
  deepStrictEqual([await first, await fixture.ask(chat("x")), asked], ["engine", "engine", ["a"]]);
  clock.advance(10_000);
  const second = fixture.ask(chat("x"));
  await until(() => asked.length === 2);
  deepStrictEqual([await fixture.ask(chat("x")), asked], ["engine", ["a", "a"]], "one tries, others do not wait");
  clock.advance(2000);
  equal(await second, "engine");
  hangs = false;
  urls = ["http://a", "http://b"];
  deepStrictEqual(
    [await fixture.ask(chat("x")), await fixture.ask(chat("x"))],
    [[1], [1]],
    "another is asked meanwhile",
  );
  deepStrictEqual(asked, ["a", "a", "b", "b"]);
  clock.advance(10_000);
  await fixture.ask(chat("x"));
  await fixture.ask(chat("x"));
  deepStrictEqual(asked.slice(4).sort(), ["a", "b"]);
});

Deno.test("prompt() asks the engine for media that a tokenizer cannot know", async () => {
  await using fixture = setUp(inProcess);
  await fixture.tokens.warm("m");
  const features = { mm_hashes: { image: ["h"] }, mm_placeholders: { image: [{ offset: 1, length: 2 }] } };
  fixture.renderer.answers[chatRender] = { token_ids: [1, 9, 9, 2], features };
  const request = { ...chat(""), body: encoded({ messages: [{ role: "user", content: image }] }) };
  const answer = await fixture.tokens.prompt(request) as PromptTokens;
  deepStrictEqual(answer.extras, { media: [{ hash: "h", offset: 1, length: 2 }], cacheSalt: undefined });
  await using alone = setUp(inProcess, { endpointUrl: () => undefined });
  await alone.tokens.warm("m");
  equal(await alone.ask(request), "multimodal");
});

Deno.test("the first prompt and one in every so many are compared with the engine's ids, away from the request", async () => {
  await using fixture = setUp({ ...inProcess, checkEvery: 3 });
  await fixture.tokens.warm("m");
  fixture.renderer.answers[chatRender] = { token_ids: await idsOf(chat("same")) };
  for (let i = 0; i < 7; i++) {
    ok(!(fixture.tokens.prompt(chat("same")) instanceof Promise));
    const due = Math.floor(i / 3) + 1;
    await until(() => fixture.tokens.status().models[0].checks === due);
  }
  const [status] = fixture.tokens.status().models;
  deepStrictEqual([status.state, status.checks, status.mismatches, fixture.renderer.asked.length], [
    "tokenizer",
    3,
    0,
    3,
  ]);
});

Deno.test("a model whose ids differ from the engine's gets the engine's from then on", async () => {
  const told: string[] = [];
  const onState: TokensDeps["onState"] = ({ state }) => void told.push(state);
  await using fixture = setUp({ ...inProcess, checkEvery: 100 }, { onState });
  await fixture.tokens.warm("m");
  fixture.renderer.answers[chatRender] = { token_ids: [4, 2] };
  await fixture.ask(chat("a"));
  await until(() => fixture.tokens.status().models[0].state === "mismatch");
  equal(fixture.tokens.status().models[0].mismatches, 1);
  deepStrictEqual(told, ["tokenizer", "mismatch"]);
  deepStrictEqual(await fixture.ask(chat("a")), [4, 2]);
});

Deno.test("a disagreement leaves no ids where the engine cannot be asked any more", async () => {
  let url: string | undefined;
  await using fixture = setUp({ ...inProcess, checkEvery: 100 }, { endpointUrl: () => url });
  url = fixture.renderer.url;
  await fixture.tokens.warm("m");
  fixture.renderer.answers[chatRender] = { token_ids: [4, 2] };
  await fixture.ask(chat("a"));
  await until(() => fixture.tokens.status().models[0].state === "mismatch");
  url = undefined;
  equal(await fixture.ask(chat("a")), "mismatch");
});

Deno.test("an engine that gives no ids to compare with is counted and changes nothing", async () => {
  await using fixture = setUp({ ...inProcess, checkEvery: 100 });
  await fixture.tokens.warm("m");
  fixture.renderer.answers[chatRender] = 500;
  await fixture.ask(chat("a"));
  await until(() => fixture.tokens.status().models[0].checksWithoutResult === 1);
  equal(fixture.tokens.status().models[0].state, "tokenizer");
});

Deno.test("a tokenizer of the general library is believed once it has agreed with the engine", async () => {
  const general = folder({ normalizer: { type: "NFKC" }, decoder: null });
  try {
    const config = { models: [{ model: "m", source: "directory" as const, directory: general }], checkEvery: 100 };
    await using alone = setUp(config, { endpointUrl: () => undefined });
    await alone.tokens.warm("m");
    equal(await alone.ask(chat("a")), "unproven");
    await using fixture = setUp(config);
    await fixture.tokens.warm("m");
    const own = await idsOf(chat("a"));
    fixture.renderer.answers[chatRender] = { token_ids: own };
    deepStrictEqual(await fixture.ask(chat("a")), own);
    await until(() => fixture.tokens.status().models[0].checks === 1);
    deepStrictEqual(await fixture.ask(chat("a")), own);
    deepStrictEqual(fixture.tokens.status().models[0].answers, { render: 1, tokenizer: 1 });
  } finally {
    Deno.removeSync(general, { recursive: true });
  }
});

Deno.test("prompt() keeps no more models than its bound, and answers closed after close()", async () => {
  const fixture = setUp({ source: "none" });
  for (let i = 0; i < 300; i++) await fixture.ask({ ...chat("a"), model: `m${i}` });
  equal(fixture.tokens.status().models.length, 256);
  await fixture[Symbol.asyncDispose]();
  equal(await fixture.ask(chat("a")), "closed");
});
