import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
  sglangScheduler,
  vllmEngine,
} from "../proto/mod.ts";
import type { SimSettings } from "./options.ts";
import { type SimServer, startSimServer } from "./server.ts";

type Transport = ReturnType<typeof createGrpcTransport>;

async function withGrpc(settings: SimSettings, test: (transport: Transport, server: SimServer) => Promise<void>) {
  const server = startSimServer({ port: 0, grpcPort: 0, speed: 50, ...settings });
  const { grpcUrl } = await server.feeds;
  const sessionManager = new Http2SessionManager(grpcUrl!);
  try {
    await test(createGrpcTransport({ baseUrl: grpcUrl!, sessionManager }), server);
  } finally {
    sessionManager.abort();
    await server.stop();
  }
}

async function complete(server: SimServer, prompt: string, model?: string): Promise<void> {
  const body = JSON.stringify({ prompt, model, max_tokens: 1 });
  const response = await fetch(`${server.url}/v1/completions`, { method: "POST", body });
  equal(response.status, 200);
  await response.body?.cancel();
}

const events = { endpoint: "tcp://127.0.0.1:0" } as const;
const long = "What is a prefix cache, and what is it good for? ".repeat(4);

Deno.test("vLLM's service tells of the model, the server and its load", async () => {
  await withGrpc({ maxModelLen: 4096, dataParallelSize: 2 }, async (transport) => {
    const client = createClient(vllmEngine.VllmEngine, transport);
    equal((await client.healthCheck({})).healthy, true);
    equal((await createClient(Health, transport).check({})).status, ServingStatus.SERVING);
    const model = await client.getModelInfo({});
    deepStrictEqual([model.servedModelName, model.maxContextLength], ["sim/model-8b", 4096]);
    equal((await client.getServerInfo({})).dataParallelSize, 2);
    const { loads } = await client.getLoads({ dpRank: 1 });
    deepStrictEqual(
      loads.map(({ dpRank, numTotalReqs, maxRunningRequests }) => [dpRank, numTotalReqs, maxRunningRequests]),
      [
        [0, 0, 0],
      ],
    );
    await rejects(
      client.getTokenizer({})[Symbol.asyncIterator]().next(),
      (error) => error instanceof ConnectError && error.code === Code.Unimplemented,
    );
    await rejects(
      client.subscribeKvEvents({})[Symbol.asyncIterator]().next(),
      (error) => error instanceof ConnectError && error.code === Code.Unimplemented,
    );
  });
});

Deno.test("SubscribeKvEvents bridges rank 0's live batches, whatever number is asked, without tier or adapter name", async () => {
  const loraModules = [{ name: "sql", path: "sql" }];
  await withGrpc({ kvEvents: events, loraModules, kvCache: { cpuBlocks: 100 } }, async (transport, server) => {
    const client = createClient(vllmEngine.VllmEngine, transport);
    await complete(server, `before ${long}`);
    const abort = new AbortController();
    const subscribed = Promise.withResolvers<void>();
    const stream = client.subscribeKvEvents({ startSequenceNumber: 0n }, {
      signal: abort.signal,
      onHeader: () => subscribed.resolve(),
    });
    const batches = stream[Symbol.asyncIterator]();
    const first = batches.next();
    await subscribed.promise;
    await complete(server, long, "sql");
    const { value } = await first;
    equal(value.sequenceNumber, 1n);
    equal(value.dpRank, 0);
    ok(value.timestamp > 1e9);
    const [gpu, cpu] = value.events.map(({ data }: { data: { value: unknown } }) => data.value);
    equal(gpu.blocks.length, Math.floor(long.length / 64));
    equal(gpu.parentBlockHash, undefined);
    const [block] = gpu.blocks;
    deepStrictEqual([block.blockSize, block.tokenIds.length, block.cacheLevel], [16, 16, undefined]);
    ok(block.loraId > 0n);
    equal(cpu.blocks[0].blockHash, block.blockHash);
    equal(cpu.blocks[0].cacheLevel, undefined);
    const truth = server.models.ranks[0].trueCache().find(({ extras }) => extras.adapter === "sql")!;
    equal(new DataView(truth.hash.buffer, truth.hash.byteOffset).getBigInt64(24), block.blockHash);
    // An answer of more than a kilobyte, which the client would take compressed.
    const large = batches.next();
    await complete(server, long.repeat(40), "sql");
    ok((await large).value.events[0].data.value.blocks.length > 100);
    const next = batches.next();
    await fetch(`${server.url}/reset_prefix_cache`, { method: "POST" }).then((response) => response.body?.cancel());
    equal((await next).value.events[0].data.case, "cleared");
    const last = batches.next();
    abort.abort();
    await rejects(last, (error) => error instanceof ConnectError && error.code === Code.Canceled);
  });
});

Deno.test("SGLang's service has every rank's load, the waiting uncached tokens and the launch arguments", async () => {
  const settings = { dialect: "sglang", dataParallelSize: 2, maxNumSeqs: 1, speed: 1, kvEvents: events } as const;
  await withGrpc(settings, async (transport, server) => {
    const client = createClient(sglangScheduler.SglangScheduler, transport);
    equal((await client.healthCheck({})).healthy, true);
    const info = await client.getServerInfo({});
    equal(info.serverArgs?.page_size, 16);
    equal(JSON.parse(String(info.serverArgs?.kv_events_config)).endpoint, "tcp://127.0.0.1:0");
    equal(info.maxTotalNumTokens, 524_288);
    const abort = new AbortController();
    const ask = (tokens: number) => {
      const body = JSON.stringify({ input_ids: Array(tokens).fill(7), sampling_params: { max_new_tokens: 1000 } });
      const headers = { "x-data-parallel-rank": "1" };
      const sent = fetch(`${server.url}/generate`, { method: "POST", body, headers, signal: abort.signal });
      return sent.then((response) => response.body?.cancel(), () => {});
    };
    const pending = [ask(50), ask(40)];
    const loadsNow = async () => (await client.getLoads({ include: ["core"] })).loads;
    let loads = await loadsNow();
    for (let i = 0; i < 500 && loads[1].numTotalReqs < 2; i++) loads = await loadsNow();
    deepStrictEqual(loads.map(({ numRunningReqs, numWaitingReqs }) => [numRunningReqs, numWaitingReqs]), [[0, 0], [
      1,
      1,
    ]]);
    // Either may have come first; the one that waits finds the full blocks both have in common in the cache.
    ok([8, 18].includes(loads[1].numWaitingUncachedTokens), `${loads[1].numWaitingUncachedTokens}`);
    equal(loads[1].memory, undefined);
    const { aggregate, loads: [only] } = await client.getLoads({ dpRank: 1 });
    deepStrictEqual([aggregate?.totalReqs, only.queues?.waiting], [2, 1]);
    equal((await client.flushCache({})).success, false);
    await rejects(
      client.getLoads({ include: ["nothing"] }),
      (error) => error instanceof ConnectError && error.code === Code.InvalidArgument,
    );
    abort.abort();
    await Promise.all(pending);
  });
});

Deno.test("startSimServer() tells in feeds that the gRPC port is taken", async () => {
  await withGrpc({}, async (_, server) => {
    const taken = Number(new URL((await server.feeds).grpcUrl!).port);
    const second = startSimServer({ port: 0, grpcPort: taken });
    await rejects(second.feeds, /EADDRINUSE|in use/);
    await second.stop();
  });
});
