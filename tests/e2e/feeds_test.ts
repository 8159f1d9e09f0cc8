/** What endpoints really cache reaches the router, by every kind of feed, and decides where requests go. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { join } from "node:path";
import OpenAI from "openai";
import { systemClock } from "../../src/core/mod.ts";
import { type SimServer, startSimServer } from "../../src/sim/mod.ts";
import { fact, model, type Stage, until, withRouter } from "./harness.ts";

const system = "You are a careful assistant of a library. ".repeat(40);

function ask(stage: Stage, question: string, options: Record<string, unknown> = {}) {
  const client = new OpenAI({ apiKey: "x", baseURL: `${stage.url}/v1`, maxRetries: 0 });
  return client.chat.completions.create({
    model,
    max_tokens: 4,
    messages: [{ role: "system", content: system }, { role: "user", content: question }],
    ...options,
  });
}

interface Row {
  readonly id: string;
  readonly held: {
    readonly blocks: Record<string, number>;
    readonly feed?: {
      readonly state: string;
      readonly inStateMs: number;
      readonly reason: string;
      readonly counters: Record<string, number>;
    };
  };
}

async function rows({ adminUrl }: Stage): Promise<Row[]> {
  return await (await fetch(`${adminUrl}/debug/endpoints`)).json();
}

async function explain({ adminUrl }: Stage, question: string) {
  const messages = [{ role: "system", content: system }, { role: "user", content: question }];
  const body = JSON.stringify({ model, messages });
  return await (await fetch(`${adminUrl}/debug/decide`, { method: "POST", body })).json();
}

const live = (stage: Stage) =>
  until(
    "every feed is LIVE",
    async () => (await rows(stage)).every(({ held }) => held.feed?.state === "LIVE"),
  );

const portOf = (url: string) => Number(new URL(url.replace("tcp:", "http:")).port);

/** Simulators that publish on ZMQ with replay, and the configuration entries that read them. */
async function published(count: number, settings: Record<string, unknown> = {}) {
  const sims = Array.from({ length: count }, (_, seed) =>
    startSimServer({
      port: 0,
      speed: 20,
      seed,
      kvEvents: { endpoint: "tcp://127.0.0.1:0", replayEndpoint: "tcp://127.0.0.1:0", ...settings },
    }));
  const endpoints = await Promise.all(sims.map(async ({ url, feeds }) => {
    const { kvEvents, kvReplay } = await feeds;
    return { url, feed: { kind: "zmq", port: portOf(kvEvents[0]), replayPort: portOf(kvReplay[0]) } };
  }));
  return { sims, endpoints };
}

async function withPublished(
  count: number,
  config: Record<string, unknown>,
  use: (stage: Stage, sims: readonly SimServer[]) => Promise<void>,
): Promise<void> {
  const { sims, endpoints } = await published(count);
  try {
    await withRouter({ endpoints, config }, (stage) => use(stage, sims));
  } finally {
    await Promise.all(sims.map((sim) => sim.stop()));
  }
}

fact("a prompt cached by a request that went past the router is found where it lies", async () => {
  await withPublished(3, {}, async (stage, sims) => {
    await live(stage);
    // Someone else's request, at the second server.
    const direct = new OpenAI({ apiKey: "x", baseURL: `${sims[1].url}/v1` });
    const messages = [{ role: "system" as const, content: system }, { role: "user" as const, content: "Who?" }];
    await direct.chat.completions.create({ model, max_tokens: 4, messages });
    await until("its blocks are known", async () => (await rows(stage))[1].held.blocks.gpu > 20);
    const { prompt, matched, totalBlocks, explanation } = await explain(stage, "What?");
    equal(prompt.source, "render");
    deepStrictEqual(matched.map(({ blocks }: { blocks: number }) => blocks > 0), [false, true, false]);
    equal(explanation.candidates[1].held.gpu, matched[1].blocks);
    const { usage } = await ask(stage, "What?");
    const cached = usage!.prompt_tokens_details!.cached_tokens!;
    equal(cached, matched[1].blocks * 16);
    ok(matched[1].blocks >= totalBlocks - 2, "all but the question");
  });
});

fact("an engine that restarts is empty from then on, and is LIVE again", async () => {
  const beganMs = systemClock.now();
  await withPublished(1, {}, async (stage, [sim]) => {
    await live(stage);
    const { inStateMs } = (await rows(stage))[0].held.feed!;
    ok(inStateMs >= 0 && inStateMs < systemClock.now() - beganMs, `LIVE for ${inStateMs} ms`);
    await ask(stage, "Who?");
    await until("blocks are known", async () => (await rows(stage))[0].held.blocks.gpu > 20);
    sim.changeFaults({ restarts: 1 });
    await until("the restart is seen", async () => {
      const [{ held }] = await rows(stage);
      return held.feed!.counters.restarts > 0 && held.blocks.gpu === 0;
    });
    await live(stage);
    await until("it serves again", () => stage.router.pool.snapshot()[0].state === "ready");
    const { usage } = await ask(stage, "Who?");
    equal(usage!.prompt_tokens_details!.cached_tokens, 0);
  });
});

fact("a router that starts again goes on from its snapshot, and one beside it from its peer", async () => {
  const { sims, endpoints } = await published(2);
  const folder = await Deno.makeTempDir();
  const snapshot = { file: join(folder, "cache.snapshot") };
  try {
    await withRouter({ endpoints, config: { snapshot } }, async (stage) => {
      await live(stage);
      await ask(stage, "Who?");
      // The last output block is told of after the answer.
      const known = () => sims.map(({ models }) => models.ranks[0].trueCache().length);
      const all = async () => String((await rows(stage)).map(({ held }) => held.blocks.gpu)) === String(known());
      await until("every block is known", async () => Math.max(...known()) > 20 && await all());
      await withRouter({ endpoints, config: { snapshot: { peers: [stage.adminUrl] } } }, async (beside) => {
        ok(beside.logLines.some(({ message }) => message === "Snapshot fetched"), "its peer told it");
        deepStrictEqual((await rows(beside)).map(({ held }) => held.blocks.gpu), known());
        await live(beside);
        deepStrictEqual((await rows(beside)).map(({ held }) => held.blocks.gpu), known());
      });
      await stage.router.stop(1000);
    });
    await withRouter({ endpoints, config: { snapshot } }, async (stage) => {
      const { held } = (await rows(stage)).find(({ held }) => held.blocks.gpu > 0)!;
      ok(held.blocks.gpu > 20);
      await live(stage);
      const { usage } = await ask(stage, "Who?");
      ok(usage!.prompt_tokens_details!.cached_tokens! > 300);
    });
    await withRouter({ endpoints, config: { snapshot, prefix: { hashSeed: "other" } } }, async (stage) => {
      const refused = stage.logLines.find(({ message }) => message === "Cannot use the snapshot");
      ok(String(refused?.cause).includes("hashSeed"), "a snapshot of another seed is told and left");
      // The engines' own history brings the same.
      await live(stage);
      ok((await rows(stage)).some(({ held }) => held.blocks.gpu > 20));
    });
  } finally {
    await Promise.all(sims.map((sim) => sim.stop()));
    await Deno.remove(folder, { recursive: true });
  }
});

fact("POST /debug/snapshot writes the file, or says that none is configured", async () => {
  await withPublished(1, {}, async (stage) => {
    const response = await fetch(`${stage.adminUrl}/debug/snapshot`, { method: "POST" });
    equal(response.status, 404);
    ok((await response.json()).error.message.includes("snapshot.file"));
  });
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "now.snapshot");
    await withPublished(1, { snapshot: { file } }, async (stage) => {
      const response = await fetch(`${stage.adminUrl}/debug/snapshot`, { method: "POST" });
      equal(response.status, 200);
      const { bytes } = await response.json();
      equal((await Deno.stat(file)).size, bytes);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

fact("without feeds a prompt is matched by its text, and with one that gives no ids it says why", async () => {
  await withRouter({ sims: [{}] }, async (stage) => {
    equal((await explain(stage, "Who?")).prompt.source, "text");
  });
  await withPublished(1, {}, async (stage) => {
    const prompt = ["One of two prompts. ".repeat(40), "The other. ".repeat(40)];
    const init = { method: "POST", headers: { "content-type": "application/json" } };
    const body = JSON.stringify({ model, prompt, max_tokens: 2 });
    const report = await fetch(`${stage.adminUrl}/debug/decide?path=/v1/completions`, { ...init, body });
    deepStrictEqual((await report.json()).prompt, { source: "text", reason: "several-prompts" });
    await (await fetch(`${stage.url}/v1/completions`, { ...init, body })).body?.cancel();
    const text = await (await fetch(`${stage.adminUrl}/metrics`)).text();
    ok(text.includes('warmpath_prompt_source_total{source="text",reason="several-prompts"} 1'));
  });
});

fact("an engine's gRPC service tells what it caches, and its load", async () => {
  const sim = startSimServer({ port: 0, speed: 20, kvEvents: { endpoint: "tcp://127.0.0.1:0" }, grpcPort: 0 });
  try {
    const { grpcUrl } = await sim.feeds;
    const endpoints = [{ url: sim.url, feed: { kind: "vllm-grpc", port: portOf(grpcUrl!) } }];
    await withRouter({ endpoints }, async (stage) => {
      await until("the feed is connected", async () => {
        const [{ held }] = await rows(stage) as { held: { feed: { connected: boolean } } }[] & Row[];
        return (held.feed as unknown as { connected: boolean }).connected;
      });
      await ask(stage, "Who?");
      await until("blocks are known", async () => (await rows(stage))[0].held.blocks.gpu > 20);
      equal((await explain(stage, "Who?")).matched[0].blocks > 20, true);
    });
  } finally {
    await sim.stop();
  }
});

fact("a tokenizer's files are read before the first request; what is wrong with them is told", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const tokens = { models: [{ model, directory }] };
    await withPublished(1, { tokens }, async (stage) => {
      const told = () => stage.logLines.find(({ message }) => String(message).startsWith("Cannot load a tokenizer"));
      await until("the missing files are told of", () => told() !== undefined);
      const { cause } = told()!;
      equal(told()!.directory, directory);
      ok(String(cause).includes("tokenizer.json"), String(cause));
      const status = await (await fetch(`${stage.adminUrl}/debug/tokens`)).json();
      deepStrictEqual(status.models.map(({ state, failure }: Record<string, unknown>) => [state, failure]), [
        ["failed", cause],
      ]);
      const { prompt } = await explain(stage, "What?");
      equal(prompt.source, "render");
    });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
