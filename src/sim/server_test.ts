import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { sleep, systemClock } from "../core/mod.ts";
import type { SimOptions } from "./options.ts";
import { type SimServer, startSimServer } from "./server.ts";

async function withServer(partial: Partial<SimOptions>, test: (server: SimServer) => Promise<void>): Promise<void> {
  const server = startSimServer({ port: 0, ...partial });
  try {
    await test(server);
  } finally {
    await server.stop();
  }
}

function ask(server: SimServer, body: Record<string, unknown>, init: RequestInit = {}): Promise<Response> {
  const request = JSON.stringify({ prompt: "Once upon a time", max_tokens: 20, ...body });
  return fetch(`${server.url}/v1/completions`, { method: "POST", body: request, ...init });
}

/** Waits, a few seconds at most, for what another thread of events brings about. */
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !condition(); i++) await sleep(systemClock, 5);
  ok(condition());
}

const load = (server: SimServer) => server.models.ranks[0].metrics();

Deno.test("a client that goes frees the engine, streaming or waiting for the whole", async () => {
  await withServer({}, async (server) => {
    for (const stream of [true, false]) {
      const abort = new AbortController();
      const pending = ask(server, { stream, max_tokens: 10_000 }, { signal: abort.signal });
      if (stream) {
        const reader = (await pending).body!.getReader();
        await reader.read();
        equal(load(server).running, 1);
        abort.abort();
        await rejects(reader.read());
      } else {
        await until(() => load(server).running === 1);
        abort.abort();
        await rejects(pending);
      }
      await until(() => load(server).running === 0);
      equal(load(server).kvUsage, 0);
    }
    equal(load(server).aborted, 2);
  });
});

Deno.test("a stream is paced by the engine", async () => {
  await withServer({ speed: 1 }, async (server) => {
    const before = systemClock.now();
    const response = await ask(server, { stream: true, max_tokens: 20 });
    await response.text();
    const tookMs = systemClock.now() - before;
    // 6.85 ms to the first token and 19 steps of 6.35 ms: never sooner, whatever the machine is doing.
    ok(tookMs >= 120, `${tookMs}`);
  });
});

Deno.test("reset-after cuts the stream after so many chunks", async () => {
  await withServer({ speed: 5, allowFaultHeader: true }, async (server) => {
    const response = await ask(server, { stream: true }, { headers: { "x-sim-fault": "reset-after=3" } });
    let text = "";
    await rejects(async () => {
      for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) text += chunk;
    });
    equal(text.match(/^data: /gm)?.length, 3);
    await until(() => load(server).running === 0);
  });
});

Deno.test("stall-first holds the status line back until the client goes", async () => {
  await withServer({ allowFaultHeader: true }, async (server) => {
    const impatient = new AbortController();
    systemClock.after(100, () => impatient.abort());
    const headers = { "x-sim-fault": "stall-first" };
    await rejects(ask(server, {}, { headers, signal: impatient.signal }), { name: "AbortError" });
    equal(load(server).finished, 0);
    const abort = new AbortController();
    const response = await ask(server, { stream: true }, {
      headers: { "x-sim-fault": "stall=2" },
      signal: abort.signal,
    });
    const reader = response.body!.getReader();
    await reader.read();
    abort.abort();
    await rejects(async () => {
      while (!(await reader.read()).done);
    });
    await until(() => load(server).running === 0);
  });
});

Deno.test("faults change at run time over HTTP, at their rate and seed", async () => {
  const statuses = (seed: number) => {
    const seen: number[] = [];
    return withServer({ speed: 1000, seed, name: "a" }, async (server) => {
      const change = JSON.stringify({ "status-rate": 0.5, "status-code": 429 });
      const changed = await fetch(`${server.url}/admin/config`, { method: "POST", body: change });
      equal((await changed.json())["status-code"], 429);
      for (let i = 0; i < 20; i++) {
        const response = await ask(server, { max_tokens: 1 });
        seen.push(response.status);
        await response.body?.cancel();
      }
    }).then(() => seen);
  };
  const first = await statuses(4);
  deepStrictEqual([...new Set(first)].sort(), [200, 429]);
  deepStrictEqual(await statuses(4), first);
});

Deno.test("slow-factor slows the engine", async () => {
  await withServer({ speed: 10 }, async (server) => {
    server.changeFaults({ "slow-factor": 100 });
    const before = systemClock.now();
    await (await ask(server, { max_tokens: 1 })).body?.cancel();
    ok(systemClock.now() - before >= 65);
  });
});

Deno.test("refuse closes the port and cuts streams; the port opens again after refuse-ms or when told", async () => {
  await withServer({}, async (server) => {
    const response = await ask(server, { stream: true, max_tokens: 10_000 });
    const reader = response.body!.getReader();
    await reader.read();
    server.changeFaults({ refuse: true });
    await rejects(async () => {
      while (!(await reader.read()).done);
    });
    equal(load(server).running, 0);
    await rejects(Deno.connect({ hostname: "127.0.0.1", port: server.port }), Deno.errors.ConnectionRefused);
    server.changeFaults({ refuse: false });
    const healthy = async () => {
      for (let i = 0; i < 500; i++) {
        try {
          const { status, body } = await fetch(`${server.url}/health`);
          await body?.cancel();
          return status;
        } catch {
          await sleep(systemClock, 5);
        }
      }
    };
    equal(await healthy(), 200);
    const change = JSON.stringify({ "refuse": true, "refuse-ms": 100 });
    const answer = await fetch(`${server.url}/admin/config`, { method: "POST", body: change });
    equal(answer.status, 200);
    await answer.body?.cancel();
    await sleep(systemClock, 30);
    equal(await healthy(), 200);
  });
});

Deno.test("stop() ends streams and frees the port, once and again", async () => {
  const server = startSimServer({ port: 0, name: "p" });
  equal(server.podName, "p");
  const response = await ask(server, { stream: true, max_tokens: 10_000 });
  const reader = response.body!.getReader();
  await reader.read();
  await server.stop();
  await server.stop();
  await rejects(async () => {
    while (!(await reader.read()).done);
  });
  equal(load(server).running, 0);
  const again = startSimServer({ port: server.port });
  equal(again.podName, `sim-${server.port}`);
  await again.stop();
});
