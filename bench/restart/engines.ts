/**
 * Engines as a router sees them: caches that change without end, told over ZeroMQ with replay, and cheap HTTP servers that
 * answer chats. `engines.ts COUNT BLOCKS BATCHES_PER_S RING_STEPS`. Prints {"control", "engines": [{url, port, replayPort}]}.
 *
 * POST /fill fills the caches, and the rings beyond their ends; /resume starts the steady stream, /pause ends it. Each answers
 * with the truth: by engine, {"seq", "gpu", "cpu"}. GET /held?engine=I gives every block of one as pairs of u64: chained hash,
 * tiers.
 */
import { setTimeout as pause } from "node:timers/promises";
import { systemClock } from "../../src/core/mod.ts";
import { defaultKvFeed, KvFeed, noFaults, ZmqPublisher } from "../../src/sim/mod.ts";
import { idlePage } from "../idle/page.ts";
import { openTree } from "../idle/tree.ts";
import { CacheWriter } from "./writer.ts";

/** Blocks a batch: of the fill, a few long prefills; of the stream, a long turn of a chat. */
const fillBlocks = 128;
const streamBlocks = 16;

interface Engine {
  readonly url: string;
  readonly writer: CacheWriter;
  readonly feed: KvFeed;
  readonly publisher: ZmqPublisher;
  seq: number;
}

const [count, blocks, batchesPerS, ringSteps] = Deno.args.map(Number);
const tree = await openTree(1);
const engines: Engine[] = [];
for (let seed = 0; seed < count; seed++) engines.push(await openEngine(seed));

async function openEngine(seed: number): Promise<Engine> {
  const local = "tcp://127.0.0.1:0";
  const options = { ...defaultKvFeed, endpoint: local, replayEndpoint: local, bufferSteps: ringSteps };
  const source = { clock: systemClock, blockHash: "sha256-cbor", rank: 0, seed, name: `engine-${seed}` } as const;
  const feed = new KvFeed(options, source, noFaults);
  const publisher = await ZmqPublisher.open(feed);
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, answer);
  const url = `http://127.0.0.1:${server.addr.port}`;
  const engine = { url, writer: new CacheWriter(seed, blocks), feed, publisher, seq: -1 };
  feed.listen(({ seq }) => engine.seq = seq);
  return engine;
}

async function answer(request: Request): Promise<Response> {
  switch (new URL(request.url).pathname) {
    case "/v1/chat/completions": {
      await request.arrayBuffer();
      const message = { role: "assistant", content: "Yes." };
      return Response.json({
        id: "chatcmpl-bench",
        object: "chat.completion",
        created: 1_700_000_000,
        model: "sim/model-8b",
        choices: [{ index: 0, message, logprobs: null, finish_reason: "stop" }],
        usage: { prompt_tokens: 100, completion_tokens: 2, total_tokens: 102 },
      });
    }
    case "/v1/models":
      return Response.json({ object: "list", data: [{ id: "sim/model-8b", object: "model" }] });
    case "/metrics":
      return new Response(idlePage(0));
    case "/health":
      return new Response();
    default:
      return new Response(null, { status: 404 });
  }
}

function publish({ feed, writer }: Engine, events = writer.step(streamBlocks)): void {
  feed.publish({ atMs: performance.now(), rank: 0, events });
}

async function fill(): Promise<void> {
  for (const engine of engines) publish(engine, engine.writer.begin());
  const toDo = ({ writer, seq }: Engine) => !writer.full || seq <= ringSteps;
  for (let open = engines; open.length > 0; open = open.filter(toDo)) {
    for (const engine of open) publish(engine, engine.writer.step(engine.writer.full ? streamBlocks : fillBlocks));
    // A reader that could not keep up would have to replay.
    await pause(4);
  }
}

let running = false;

/** Batches at their times, counted from the first, the engines taking turns. */
async function stream(): Promise<void> {
  const startMs = performance.now();
  for (let sent = 0; running;) {
    for (const due = (performance.now() - startMs) * batchesPerS / 1000; sent < due; sent++) {
      publish(engines[sent % count]);
    }
    await pause(4);
  }
}

function truth(): Response {
  return Response.json(engines.map(({ seq, writer }) => ({ seq, ...writer.counts })));
}

function held(engine: Engine): Response {
  return new Response(
    BigUint64Array.from([...engine.writer.held(tree)].flatMap(([hash, tiers]) => [hash, BigInt(tiers)])),
  );
}

const control = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
  const { pathname, searchParams } = new URL(request.url);
  switch (pathname) {
    case "/held":
      return held(engines[Number(searchParams.get("engine"))]);
    case "/fill":
      await fill();
      return truth();
    case "/resume":
      if (!running) {
        running = true;
        stream();
      }
      return truth();
    case "/pause":
      running = false;
      return truth();
    default:
      return new Response(null, { status: 404 });
  }
});

const portOf = (endpoint: string) => Number(endpoint.split(":").at(-1));
console.log(JSON.stringify({
  control: `http://127.0.0.1:${control.addr.port}`,
  engines: engines.map(({ url, publisher }) => ({
    url,
    port: portOf(publisher.endpoint),
    replayPort: portOf(publisher.replayEndpoint),
  })),
}));
