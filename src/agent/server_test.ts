import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { create, toBinary } from "@bufbuild/protobuf";
import { FeedState, sleep, systemClock } from "../core/mod.ts";

import { type AgentSource, seedCheck } from "../kv/mod.ts";
import { warmpathFeed } from "../proto/mod.ts";
import { AgentRig, Reading, TestSink } from "./testing.ts";
import { openBlockTree } from "./tree.ts";

const newTree = (hashSeed = "") => openBlockTree(1, 4 << 20, hashSeed);

type RigOptions = Parameters<typeof AgentRig.start>[1];

/** Runs `body` beside an agent; `read` starts a subscription that ends with the test. */
async function withRig(
  options: RigOptions,
  body: (rig: AgentRig, read: (sink?: TestSink, source?: AgentSource) => Reading) => Promise<void>,
): Promise<void> {
  const rig = await AgentRig.start(await newTree(), options);
  const readings: Reading[] = [];
  try {
    await body(rig, (sink = new TestSink(), source = rig.source()) => {
      const reading = new Reading(source, sink);
      readings.push(reading);
      return reading;
    });
  } finally {
    await Promise.all(readings.map((reading) => reading.stop()));
    await rig.server.stop();
  }
}

/** Waits until the sink has applied everything the agent wrote. */
async function caughtUp(rig: AgentRig, sink: TestSink): Promise<void> {
  rig.publisher.log.flush();
  const { seq } = rig.publisher.log;
  await sink.until(() => sink.position.seq >= seq && !sink.partial && sink.snapshots > 0);
}

Deno.test("a reader without a position gets a snapshot equal to the agent's tree, then each change", () =>
  withRig({}, async (rig, read) => {
    const chain = rig.store(300);
    rig.cache.locate(0, 1, chain.slice(0, 100));
    const { sink } = read();
    await caughtUp(rig, sink);
    equal(sink.held().length, 400);
    deepStrictEqual(sink.held(), rig.held());
    rig.store(5);
    rig.cache.remove(0, 0, chain.slice(250));
    await caughtUp(rig, sink);
    deepStrictEqual(sink.held(), rig.held());
    rig.cache.clear(0);
    rig.store(2);
    await caughtUp(rig, sink);
    equal(sink.held().length, 2);
    deepStrictEqual(sink.held(), rig.held());
    equal(sink.snapshots, 1);
  }));

Deno.test("a reader that comes back gets the deltas after its position and no snapshot", () =>
  withRig({}, async (rig, read) => {
    const chain = rig.store(50);
    const first = read();
    await caughtUp(rig, first.sink);
    await first.stop();
    rig.cache.remove(0, 0, chain.slice(40));
    rig.publisher.log.flush();
    rig.store(7);
    const { sink } = read(first.sink);
    await caughtUp(rig, sink);
    deepStrictEqual(sink.held(), rig.held());
    equal(sink.snapshots, 1);
    deepStrictEqual(sink.log.filter((line) => line.startsWith("batch")), ["batch 2", "batch 3"]);
  }));

Deno.test("a reader whose deltas are no longer kept gets a snapshot", () =>
  withRig({ publisher: { deltasMax: 4 } }, async (rig, read) => {
    rig.store(10);
    const first = read();
    await caughtUp(rig, first.sink);
    await first.stop();
    for (let i = 0; i < 6; i++) {
      rig.store(1);
      rig.publisher.log.flush();
    }
    const { sink } = read(first.sink);
    await caughtUp(rig, sink);
    deepStrictEqual(sink.held(), rig.held());
    equal(sink.snapshots, 2);
  }));

Deno.test("a reader of an agent's earlier life gets a snapshot", async () => {
  const sink = new TestSink();
  await withRig({ epoch: "life-1" }, async (rig, read) => {
    rig.store(10);
    await caughtUp(rig, read(sink).sink);
  });
  await withRig({ epoch: "life-2" }, async (rig, read) => {
    rig.store(3);
    rig.publisher.log.flush();
    read(sink);
    await sink.until(() => sink.snapshots === 2);
    equal(sink.position.epoch, "life-2");
    deepStrictEqual(sink.held(), rig.held());
  });
});

Deno.test("evidence dropped as doubtful at the agent reaches readers as a snapshot", () =>
  withRig({}, async (rig, read) => {
    const chain = rig.store(20);
    const { sink } = read();
    await caughtUp(rig, sink);
    rig.cache.doubt(0);
    rig.cache.locate(0, 0, chain.slice(0, 5));
    rig.cache.dropDoubted(0);
    await caughtUp(rig, sink);
    await sink.until(() => sink.snapshots === 2);
    equal(sink.held().length, 5);
    deepStrictEqual(sink.held(), rig.held());
  }));

Deno.test("an engine hash announced again with other content leaves no stale block at readers", () =>
  withRig({}, async (rig, read) => {
    const { sink } = read();
    const hashes = rig.store(4);
    await caughtUp(rig, sink);
    const tokens = Uint32Array.from({ length: 64 }, (_, i) => 7_000_000 + i);
    rig.cache.store(0, { tier: 0, hashes, tokens, blockTokens: 16, lora: "" });
    const stale = sink.held();
    await sink.until(() => sink.held().length === 4 && sink.held()[0] !== stale[0]);
    deepStrictEqual(sink.held(), rig.held());
  }));

Deno.test("the state of the agent's own feed reaches readers: bad news at once, LIVE after what it rests on", () =>
  withRig({}, async (rig, read) => {
    const { sink } = read();
    await sink.until(() => sink.state === "BLIND");
    rig.store(3);
    rig.publisher.setState(FeedState.Live, "subscribed");
    await sink.until(() => sink.state === "LIVE");
    deepStrictEqual(sink.held(), rig.held());
    rig.publisher.setState(FeedState.Suspect, "batches 7 to 9 are missing");
    await sink.until(() => sink.state === "SUSPECT");
    match(sink.log.at(-1)!, /batches 7 to 9 are missing/);
  }));

Deno.test("load is told at subscription and whenever it changes, the newest only", () =>
  withRig({}, async (rig, read) => {
    rig.publisher.setLoad({ running: 3, waiting: 1, kvUsage: 0.5, cacheBlocks: 60_000, cacheBlockTokens: 16 });
    const { sink } = read();
    await sink.until(() => sink.loads.length === 1);
    deepStrictEqual(sink.loads[0], {
      running: 3,
      waiting: 1,
      kvUsage: 0.5,
      waitingUncachedTokens: undefined,
      cacheBlocks: 60_000,
      cacheBlockTokens: 16,
    });
    rig.publisher.setLoad({ running: 3, kvUsage: 0.5 });
    for (let running = 4; running <= 9; running++) rig.publisher.setLoad({ running, waitingUncachedTokens: 4096 });
    await sink.until(() => sink.loads.at(-1)!.running === 9);
    equal(sink.loads.length, 2);
    equal(sink.loads[1].waiting, 1);
    equal(sink.loads[1].waitingUncachedTokens, 4096);
  }));

Deno.test("a quiet agent says at intervals that it is there, and whether its load was read since", () =>
  withRig({ publisher: { heartbeatMs: 10 } }, async (rig, read) => {
    const { sink } = read();
    const heartbeats = () => sink.log.filter((line) => line === "heartbeat").length;
    await sink.until(() => heartbeats() === 3);
    rig.publisher.setLoad({ running: 1 });
    await sink.until(() => sink.loads.length === 2);
    equal(sink.loads[0].running, 1);
    deepStrictEqual(Object.values(sink.loads[1]).filter((value) => value !== undefined), []);
    const before = heartbeats();
    await sink.until(() => heartbeats() === before + 3);
    equal(sink.loads.length, 2);
  }));

Deno.test("a reader with another hash seed is refused by name, and told no block", () =>
  withRig({}, async (rig, read) => {
    rig.store(3);
    const { ended, sink } = read(new TestSink(), rig.source({ seedCheck: seedCheck(await newTree("other")) }));
    match((await ended)!.message, /Cannot subscribe to the agent at http:.* hash seed/);
    deepStrictEqual(sink.log, []);
  }));

Deno.test("a rank the agent does not read is refused", () =>
  withRig({}, async (rig, read) => {
    const { ended } = read(new TestSink(), rig.source({ rank: 1 }));
    match((await ended)!.message, /rank must be below 1: current value is 1/);
  }));

Deno.test("subscribers beyond the limit are refused, and a client that subscribes again replaces itself", () =>
  withRig({ publisher: { subscribersMax: 2 } }, async (rig, read) => {
    const source = rig.source();
    const [first, second] = [read(new TestSink(), source), read()];
    await first.sink.until(() => first.sink.snapshots === 1);
    await second.sink.until(() => second.sink.snapshots === 1);
    match((await read().ended)!.message, /subscribers must be at most 2/);
    const again = read(new TestSink(), source);
    await again.sink.until(() => again.sink.snapshots === 1);
    match((await first.ended)!.message, /subscribed again/);
    equal(rig.publisher.subscribers, 2);
  }));

Deno.test("a reader that leaves is forgotten", () =>
  withRig({}, async (rig, read) => {
    const reading = read();
    await reading.sink.until(() => reading.sink.snapshots === 1);
    equal(rig.publisher.subscribers, 1);
    await reading.stop();
    const endMs = systemClock.now() + 5000;
    while (rig.publisher.subscribers > 0 && systemClock.now() < endMs) await sleep(systemClock, 5);
    equal(rig.publisher.subscribers, 0);
  }));

Deno.test("stop() tells readers, who come back to the next agent", async () => {
  const rig = await AgentRig.start(await newTree());
  const source = rig.source();
  const { ended, sink } = new Reading(source, new TestSink());
  await sink.until(() => sink.snapshots === 1);
  await rig.server.stop();
  match((await ended)!.message, /is lost: The agent is shutting down/);
  await rejects(source.run(new TestSink(), sink.position, new AbortController().signal), /is lost/);
});

Deno.test("a reader that stops reading costs no memory, and gets a snapshot when it goes on", () =>
  withRig({ publisher: { deltasMax: 8, bytesMax: 1 << 20 } }, async (rig) => {
    const session = connectHttp2(`http://127.0.0.1:${rig.server.port}`);
    try {
      const stream = subscribeByHand(session, seedCheck(rig.tree));
      await new Promise((resolve) => stream.once("response", resolve));
      stream.pause();
      // Far more than any socket buffer between the two.
      for (let i = 0; i < 300; i++) {
        const hashes = rig.store(2000);
        rig.publisher.log.flush();
        rig.cache.remove(0, 0, hashes);
        rig.publisher.log.flush();
        await sleep(systemClock, 0);
      }
      ok(rig.publisher.log.bytes <= 1 << 20, `${rig.publisher.log.bytes} bytes of deltas`);
      const before = rig.publisher.snapshots;
      stream.resume();
      const endMs = systemClock.now() + 5000;
      while (rig.publisher.snapshots === before && systemClock.now() < endMs) {
        await sleep(systemClock, 5);
      }
      equal(rig.publisher.snapshots, before + 1);
    } finally {
      session.destroy();
    }
  }));

function subscribeByHand(session: ReturnType<typeof connectHttp2>, check: bigint) {
  const request = create(warmpathFeed.SubscribeRequestSchema, { seedCheck: check, client: "by hand" });
  const body = toBinary(warmpathFeed.SubscribeRequestSchema, request);
  const stream = session.request({
    ":method": "POST",
    ":path": "/warmpath.feed.v1.FeedService/Subscribe",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  // Not compressed, length, message.
  stream.end(Uint8Array.of(0, 0, 0, 0, body.length, ...body));
  return stream;
}

Deno.test("the port takes TLS, trusted by the reader's own certificates only", async () => {
  const pem = (name: string) => Deno.readTextFileSync(new URL(`../../tests/golden/tls/${name}`, import.meta.url));
  const tls = { cert: pem("server.pem"), key: pem("server.key") };
  await withRig({ tls }, async (rig, read) => {
    rig.store(2000);
    const trusting = { host: "localhost", tls: true, caCerts: [pem("ca.pem")] };
    const { sink } = read(new TestSink(), rig.source(trusting));
    await caughtUp(rig, sink);
    deepStrictEqual(sink.held(), rig.held());
    const { ended } = read(new TestSink(), rig.source({ host: "localhost", tls: true }));
    match((await ended)!.message, /is lost: .*certificate/i);
    const client = Deno.createHttpClient({ caCerts: [pem("ca.pem")], http2: false });
    const answer = await fetch(`https://localhost:${rig.server.port}/health`, { client });
    equal((await answer.json()).status, "ok");
    client.close();
  });
});

Deno.test("GET /health and /metrics answer on the same port over HTTP/1.1, other paths do not", () =>
  withRig({}, async (rig, read) => {
    rig.store(3);
    rig.publisher.setState(FeedState.Live, "subscribed");
    const { sink } = read();
    await caughtUp(rig, sink);
    const get = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${rig.server.port}${path}`);
      return { status: answer.status, text: await answer.text() };
    };
    deepStrictEqual(JSON.parse((await get("/health?verbose")).text), {
      status: "ok",
      live: true,
      feeds: [{ rank: 0, state: "LIVE", reason: "subscribed", seq: 1, subscribers: 1 }],
    });
    const metrics = (await get("/metrics")).text;
    match(metrics, /# TYPE warmpath_agent_state gauge\nwarmpath_agent_state\{rank="0"\} 3\n/);
    match(metrics, /\nwarmpath_agent_snapshots_total\{rank="0"\} 1\n/);
    deepStrictEqual(await get("/warmpath.feed.v1.FeedService/Subscribe"), { status: 404, text: "Not found\n" });
  }));

Deno.test("bytes that are no HTTP end their own connection only", () =>
  withRig({}, async (rig, read) => {
    for (const bytes of ["PRI * HTTP/9.9\r\n\r\nnonsense nonsense nonsense", "\x00\x01\x02\r\n\r\n", "GET"]) {
      const socket = connect(rig.server.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.end(bytes);
      await new Promise((resolve) => socket.resume().once("close", resolve));
    }
    const { sink } = read();
    await sink.until(() => sink.snapshots === 1);
  }));
