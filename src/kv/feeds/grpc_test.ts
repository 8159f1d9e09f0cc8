import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { once } from "node:events";
import { createSecureServer, createServer, type Http2Server } from "node:http2";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { sleep, systemClock } from "../../core/mod.ts";
import { FeedUnsupported } from "./errors.ts";
import { fromStart, testDeps, TestSink } from "./feed_testing.ts";
import { sglangGrpc } from "./grpc_sglang.ts";
import { type GrpcOptions, GrpcSource } from "./grpc_source.ts";
import { vllmGrpc } from "./grpc_vllm.ts";
import { Health, HealthCheckResponse_ServingStatus, sglangScheduler, smgCommon, vllmEngine } from "../../proto/mod.ts";

type Batch = MessageInitShape<typeof smgCommon.KvEventBatchSchema>;

/** An engine's gRPC port: what it says is set by the test, what it was asked is kept. */
class TestEngine {
  readonly asked: { start: bigint[]; loads: string[][] } = { start: [], loads: [] };
  vllmLoads: MessageInitShape<typeof vllmEngine.SchedulerLoadSchema>[] = [];
  sglangLoads: MessageInitShape<typeof sglangScheduler.SchedulerLoadSchema>[] = [];
  publishes = true;
  answersHeaders = true;
  serving = true;
  left = 0;
  readonly #sessions = new Set<{ destroy(): void }>();
  readonly #server: Http2Server;
  #queue: Batch[] = [];
  #wake = Promise.withResolvers<void>();
  #ended = false;

  private constructor(tls?: { key: string; cert: string }) {
    const handler = connectNodeAdapter({ routes: (router) => this.#routes(router) });
    this.#server = tls ? createSecureServer(tls, handler) : createServer(handler);
    this.#server.on("session", (session) => {
      this.#sessions.add(session);
      session.on("close", () => this.#sessions.delete(session));
      session.on("error", () => {});
    });
  }

  static async start(tls?: { key: string; cert: string }): Promise<TestEngine> {
    const self = new TestEngine(tls);
    self.#server.listen(0, "127.0.0.1");
    await once(self.#server, "listening");
    return self;
  }

  get port(): number {
    const address = this.#server.address();
    ok(address !== null && typeof address === "object");
    return address.port;
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  send(...batches: Batch[]): void {
    this.#queue.push(...batches);
    this.#wake.resolve();
  }

  /** Ends the subscription as a server that shuts down does. */
  end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }

  /** Ends every connection without a word. */
  die(): void {
    for (const session of this.#sessions) session.destroy();
  }

  async close(): Promise<void> {
    this.end();
    this.die();
    this.#server.close();
    await once(this.#server, "close");
  }

  #routes(router: ConnectRouter): void {
    const subscribe = (request: smgCommon.SubscribeKvEventsRequest, { signal }: { signal: AbortSignal }) =>
      this.#subscribe(request, signal);
    router.service(vllmEngine.VllmEngine, {
      subscribeKvEvents: subscribe,
      getLoads: ({ include }) => {
        this.asked.loads.push(include);
        return { loads: this.vllmLoads };
      },
    });
    router.service(sglangScheduler.SglangScheduler, {
      subscribeKvEvents: subscribe,
      getLoads: ({ include }) => {
        this.asked.loads.push(include);
        return { loads: this.sglangLoads };
      },
      getServerInfo: () => ({ serverArgs: { page_size: 64, dp_size: 1 }, maxTotalNumTokens: 100_000 }),
    });
    router.service(Health, {
      check: ({ service }) => {
        if (service !== "") throw new ConnectError("unknown service", Code.NotFound);
        const { SERVING, NOT_SERVING } = HealthCheckResponse_ServingStatus;
        return { status: this.serving ? SERVING : NOT_SERVING };
      },
    });
  }

  async *#subscribe({ startSequenceNumber }: smgCommon.SubscribeKvEventsRequest, signal: AbortSignal) {
    this.asked.start.push(startSequenceNumber);
    if (!this.publishes) throw new ConnectError("KV events are not enabled", Code.Unimplemented);
    const left = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    left.then(() => this.left++);
    // The adapter sends its head with the first message: an empty batch of another rank stands for engines' early head.
    if (this.answersHeaders) yield { dpRank: 9 };
    while (!signal.aborted && !this.#ended) {
      yield* this.#queue.splice(0);
      this.#wake = Promise.withResolvers();
      if (this.#queue.length === 0 && !this.#ended) await Promise.race([this.#wake.promise, left]);
    }
  }
}

type Kind = "vllm-grpc" | "sglang-grpc";

function sourceOf(kind: Kind, engine: TestEngine, options: Partial<GrpcOptions> = {}) {
  const port = options.port ?? engine.port;
  const all = { host: "127.0.0.1", loadIntervalMs: 5, ...options, port };
  return new GrpcSource(kind === "vllm-grpc" ? vllmGrpc : sglangGrpc, all, testDeps());
}

function start(kind: Kind, engine: TestEngine, options: Partial<GrpcOptions> = {}, from = fromStart) {
  const sink = new TestSink();
  const abort = new AbortController();
  const done = sourceOf(kind, engine, options).run(sink, from, abort.signal);
  done.catch(() => {});
  return { sink, abort, done };
}

const storedBlock = (blockHash: bigint, first: number) => ({
  blockHash,
  tokenIds: [first, first + 1],
  blockSize: 2,
});

Deno.test("run() takes a refusal in the head of the answer, as grpc-python sends it, without a connection", async () => {
  const server = createServer();
  const unimplemented = String(Code.Unimplemented);
  server.on("stream", (stream) => {
    const head = { ":status": 200, "content-type": "application/grpc", "grpc-status": unimplemented };
    stream.respond({ ...head, "grpc-message": "not enabled" }, { endStream: true });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const sink = new TestSink();
  const source = new GrpcSource(vllmGrpc, { host: "127.0.0.1", port }, testDeps());
  await rejects(source.run(sink, fromStart, new AbortController().signal), FeedUnsupported);
  equal(sink.connects, 0);
  server.close();
});

for (const kind of ["vllm-grpc", "sglang-grpc"] as const) {
  Deno.test(`run() of ${kind} tells what the engine publishes and leaves when aborted`, async () => {
    const engine = await TestEngine.start();
    const { sink, abort, done } = start(kind, engine, {}, { epoch: "", seq: 41 });
    await sink.until(() => sink.connects === 1);
    deepStrictEqual(engine.asked.start, [41n]);
    const blocks = [storedBlock(-1n, 10), storedBlock(5n, 12)];
    engine.send({
      sequenceNumber: 42n,
      timestamp: 2.5,
      dpRank: 0,
      events: [{ data: { case: "stored", value: { blocks, parentBlockHash: -2n } } }],
    });
    engine.send({ sequenceNumber: 43n, events: [{ data: { case: "cleared", value: {} } }] });
    await sink.until(() => sink.batches.length === 2);
    deepStrictEqual(sink.batches, [
      {
        seq: 42,
        timestamp: 2.5,
        rank: 0,
        events: [{
          kind: "stored",
          tier: 0,
          hashes: BigUint64Array.of(2n ** 64n - 1n, 5n),
          parent: 2n ** 64n - 2n,
          tokens: Uint32Array.of(10, 11, 12, 13),
          blockTokens: 2,
        }],
      },
      { seq: 43, timestamp: 0, events: [{ kind: "cleared" }] },
    ]);
    abort.abort();
    await done;
    while (engine.sessions > 0 || engine.left === 0) await sleep(systemClock, 1);
    await engine.close();
  });

  Deno.test(`run() of ${kind} rejects as unsupported when the engine publishes nothing`, async () => {
    const engine = await TestEngine.start();
    engine.publishes = false;
    await rejects(start(kind, engine).done, (error) => {
      ok(error instanceof FeedUnsupported);
      equal(error.retryAfterMs, 300_000);
      ok(/publishes no KV events: .*not enabled/.test(error.message), error.message);
      return true;
    });
    await engine.close();
  });

  Deno.test(`run() of ${kind} rejects when the engine dies, ends its stream or is not there`, async () => {
    const engine = await TestEngine.start();
    const dying = start(kind, engine);
    await dying.sink.until(() => dying.sink.connects === 1);
    engine.die();
    await rejects(dying.done, /Connection to http:\/\/127\.0\.0\.1:\d+ lost: /);
    const ending = start(kind, engine);
    await ending.sink.until(() => ending.sink.connects === 1);
    engine.end();
    await rejects(ending.done, /lost: the engine ended the subscription/);
    await engine.close();
    const { done, sink } = start(kind, engine, { port: 1 });
    await rejects(done, /lost: .*refused/i);
    equal(sink.connects, 0);
  });

  Deno.test(`run() of ${kind} rejects when the engine does not answer in time, and for other ranks`, async () => {
    const engine = await TestEngine.start();
    engine.answersHeaders = false;
    const { sink, done } = start(kind, engine, { connectTimeoutMs: 50 });
    await rejects(done, /lost: no answer within 50 ms/);
    equal(sink.connects, 0);
    await rejects(start(kind, engine, { rank: 1 }).done, FeedUnsupported);
    await engine.close();
  });

  Deno.test(`checkHealth() of ${kind} follows the server's word, as a whole when the service is unknown`, async () => {
    const engine = await TestEngine.start();
    const source = sourceOf(kind, engine);
    const { signal } = new AbortController();
    await source.checkHealth(signal);
    engine.serving = false;
    await rejects(source.checkHealth(signal), /gRPC health is NOT_SERVING/);
    await engine.close();
    await rejects(source.checkHealth(signal));
  });
}

Deno.test("vLLM's load is told on change, and not before it says more than nothing", async () => {
  const engine = await TestEngine.start();
  engine.vllmLoads = [{ dpRank: 1, numRunningReqs: 50 }, { dpRank: 0 }];
  const { sink, abort, done } = start("vllm-grpc", engine);
  await sink.until(() => sink.heartbeats >= 3);
  deepStrictEqual(sink.loads, []);
  engine.vllmLoads = [{ dpRank: 0, numRunningReqs: 3, numWaitingReqs: 2, tokenUsage: 0.25 }];
  await sink.until(() => sink.loads.length === 1);
  await sink.until(() => sink.confirmations >= 3);
  engine.vllmLoads = [{ dpRank: 0 }];
  await sink.until(() => sink.loads.length === 2);
  deepStrictEqual(sink.loads, [{ running: 3, waiting: 2, kvUsage: 0.25 }, { running: 0, waiting: 0, kvUsage: 0 }]);
  deepStrictEqual(engine.asked.loads[0], ["core"]);
  abort.abort();
  await done;
  await engine.close();
});

Deno.test("SGLang's load carries geometry, all queues and uncached tokens when the server knows them", async () => {
  const engine = await TestEngine.start();
  const queues = { waiting: 2, grammar: 1, retracted: 1 };
  engine.sglangLoads = [{
    numRunningReqs: 7,
    numWaitingReqs: 2,
    tokenUsage: 0.5,
    numWaitingUncachedTokens: 900,
    queues,
  }];
  const { sink, abort, done } = start("sglang-grpc", engine);
  await sink.until(() => sink.loads.length === 1);
  engine.sglangLoads = [{ numRunningReqs: 7, numWaitingReqs: 2, tokenUsage: 0.5 }];
  await sink.until(() => sink.loads.length === 2);
  const geometry = { cacheBlockTokens: 64, cacheBlocks: 1562 };
  deepStrictEqual(sink.loads, [
    { ...geometry, running: 7, waiting: 4, kvUsage: 0.5, waitingUncachedTokens: 900 },
    { ...geometry, running: 7, waiting: 2, kvUsage: 0.5 },
  ]);
  deepStrictEqual(engine.asked.loads[0], ["core", "queues"]);
  abort.abort();
  await done;
  await engine.close();
});

Deno.test("run() speaks TLS and refuses a certificate that it does not trust", async () => {
  const pem = (name: string) => Deno.readTextFileSync(new URL(`../../../tests/golden/tls/${name}`, import.meta.url));
  const [key, cert] = [pem("server.key"), pem("server.pem")];
  const engine = await TestEngine.start({ key, cert });
  const caCerts = [pem("ca.pem")];
  const { sink, abort, done } = start("vllm-grpc", engine, { host: "localhost", tls: true, caCerts });
  await sink.until(() => sink.connects === 1);
  abort.abort();
  await done;
  await rejects(start("vllm-grpc", engine, { host: "localhost", tls: true }).done, /lost: /);
  await engine.close();
});
