import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { sleep, systemClock } from "../core/mod.ts";
import { heldIn } from "./kv/naive_index_fixture.ts";
import { ZmtpClient } from "./kv/zmtp_client_fixture.ts";
import type { SimSettings } from "./options.ts";
import { type SimServer, startSimServer } from "./server.ts";
import { startWorkerServer } from "./worker_pool.ts";

const anywhere = "tcp://127.0.0.1:0";

async function withServer(settings: SimSettings, test: (server: SimServer) => Promise<void>): Promise<void> {
  const server = startSimServer({ port: 0, speed: 50, ...settings });
  try {
    await test(server);
  } finally {
    await server.stop();
  }
}

async function complete(url: string, prompt: string, headers: Record<string, string> = {}): Promise<void> {
  const body = JSON.stringify({ prompt, max_tokens: 4 });
  const response = await fetch(`${url}/v1/completions`, { method: "POST", body, headers });
  equal(response.status, 200);
  await response.body?.cancel();
}

interface MapEvent {
  readonly type: string;
  readonly token_ids: number[];
  readonly medium?: string;
}

/** Everything a server has published, by asking for its replay. */
async function replayOf(endpoint: string): Promise<{ seq: number; rank: number; events: MapEvent[] }[]> {
  const dealer = await ZmtpClient.connect(endpoint, "DEALER");
  try {
    await dealer.send(new Uint8Array(0), new Uint8Array(8));
    const batches = [];
    for (;;) {
      const [, , seq, payload] = await dealer.receive();
      if (payload.length === 0) return batches;
      const [, events, rank] = decode(payload, { useBigInt64: true }) as [number, MapEvent[], number];
      batches.push({ seq: seq[7], rank, events });
    }
  } finally {
    dealer.close();
  }
}

const events = { endpoint: anywhere, replayEndpoint: anywhere } as const;
const long = "What is a prefix cache, and what is it good for? ".repeat(4);

Deno.test("a server publishes each rank's cache on a socket of its own", async () => {
  await withServer({ dataParallelSize: 2, kvEvents: events }, async (server) => {
    const { kvEvents, kvReplay, grpcUrl } = await server.feeds;
    deepStrictEqual([kvEvents.length, kvReplay.length, grpcUrl], [2, 2, undefined]);
    await complete(server.url, long, { "x-data-parallel-rank": "1" });
    deepStrictEqual(await replayOf(kvReplay[0]), []);
    const [batch] = await replayOf(kvReplay[1]);
    deepStrictEqual([batch.seq, batch.rank, batch.events[0].type, batch.events[0].medium], [
      0,
      1,
      "BlockStored",
      "GPU",
    ]);
    equal(batch.events[0].token_ids.length % 16, 0);
    equal(server.models.ranks[1].trueCache().length, batch.events[0].token_ids.length / 16);
  });
});

Deno.test("a server without an endpoint for events watches no cache", async () => {
  await withServer({}, async (server) => {
    deepStrictEqual(await server.feeds, { kvEvents: [], kvReplay: [] });
    equal(server.models.feeds.length, 0);
  });
});

Deno.test("feeds reject when a port is taken, and the rest of the server works", async () => {
  await withServer({ kvEvents: events }, async (first) => {
    const [taken] = (await first.feeds).kvEvents;
    const endpoint = taken.replace("127.0.0.1", "*");
    await withServer({ kvEvents: { ...events, endpoint } }, async (second) => {
      await rejects(second.feeds, /EADDRINUSE|in use/);
      await complete(second.url, "x");
    });
  });
});

Deno.test("reset_prefix_cache empties the cache and publishes it, unless requests run", async () => {
  await withServer({ kvEvents: events, speed: 1 }, async (server) => {
    const { kvReplay } = await server.feeds;
    await complete(server.url, long);
    const reset = async () => {
      const response = await fetch(`${server.url}/reset_prefix_cache`, { method: "POST" });
      await response.body?.cancel();
      return response.status;
    };
    const abort = new AbortController();
    const body = JSON.stringify({ prompt: "x", max_tokens: 5000, stream: true });
    const stream = await fetch(`${server.url}/v1/completions`, { method: "POST", body, signal: abort.signal });
    const reader = stream.body!.getReader();
    await reader.read();
    equal(await reset(), 400);
    abort.abort();
    for (let i = 0; i < 500 && server.models.ranks[0].metrics().running > 0; i++) await sleep(systemClock, 5);
    equal(await reset(), 200);
    const batches = await replayOf(kvReplay[0]);
    deepStrictEqual(batches.at(-1)?.events, [{ type: "AllBlocksCleared" }] as unknown);
    deepStrictEqual(heldIn(server.models.ranks[0].trueCache()), []);
  });
});

Deno.test("the restarts fault loses the cache, numbers batches from the first and starts the process anew", async () => {
  await withServer({ kvEvents: events }, async (server) => {
    const { kvReplay } = await server.feeds;
    await complete(server.url, long);
    await complete(server.url, `another ${long}`);
    const startedMs = server.models.startedMs;
    const subscriber = await ZmtpClient.connect((await server.feeds).kvEvents[0], "SUB");
    const heard = rejects(subscriber.receive());
    equal((await replayOf(kvReplay[0])).length, 2);
    const body = JSON.stringify({ restarts: 1 });
    const changed = await fetch(`${server.url}/admin/config`, { method: "POST", body });
    equal((await changed.json()).restarts, 1);
    for (let i = 0; i < 500 && server.models.startedMs === startedMs; i++) await sleep(systemClock, 5);
    ok(server.models.startedMs > startedMs);
    await heard;
    subscriber.close();
    deepStrictEqual(server.models.ranks[0].trueCache(), []);
    let answered = false;
    for (let i = 0; i < 500 && !answered; i++) {
      answered = await complete(server.url, long).then(() => true, () => false);
      if (!answered) await sleep(systemClock, 5);
    }
    deepStrictEqual((await replayOf(kvReplay[0])).map(({ seq }) => seq), [0]);
  });
});

Deno.test("a stuck publisher answers when it no longer is", async () => {
  await withServer({ kvEvents: events }, async (server) => {
    const { kvReplay } = await server.feeds;
    server.changeFaults({ "kv-stuck": true });
    await complete(server.url, long);
    equal(server.models.feeds[0].replay(0), undefined);
    server.changeFaults({ "kv-stuck": false });
    equal((await replayOf(kvReplay[0])).length, 1);
  });
});

Deno.test("SGLang's server info says where cache events are", async () => {
  await withServer({ dialect: "sglang", dataParallelSize: 2, kvEvents: { ...events, topic: "t" } }, async (server) => {
    const [endpoint] = (await server.feeds).kvEvents;
    const info = await (await fetch(`${server.url}/server_info`)).json();
    deepStrictEqual(info.kv_events, {
      publisher: "zmq",
      endpoint_host: "127.0.0.1",
      endpoint_port_base: Number(endpoint.split(":").at(-1)),
      topic: "t",
      block_size: 16,
      dp_size: 2,
    });
    equal(info.page_size, 16);
    const flushed = await fetch(`${server.url}/flush_cache`, { method: "POST" });
    await flushed.body?.cancel();
    equal(flushed.status, 200);
  });
  await withServer({ dialect: "sglang" }, async (server) => {
    const info = await (await fetch(`${server.url}/server_info`)).json();
    deepStrictEqual([info.kv_events, info.kv_events_config], [undefined, null]);
  });
  await withServer({}, async (server) => {
    const response = await fetch(`${server.url}/server_info`);
    await response.body?.cancel();
    equal(response.status, 404);
  });
});

Deno.test("a server in a worker tells where its feeds are", async () => {
  const server = await startWorkerServer({ port: 0, speed: 50, kvEvents: events, grpcPort: 0 });
  try {
    await complete(server.url, long);
    equal((await replayOf(server.feeds.kvReplay[0])).length, 1);
    ok(server.feeds.grpcUrl?.startsWith("http://127.0.0.1:"));
  } finally {
    await server.stop();
  }
});
