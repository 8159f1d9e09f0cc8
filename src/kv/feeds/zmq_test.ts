import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { createServer } from "node:net";
import { once } from "node:events";
import { sleep, systemClock } from "../../core/mod.ts";
import { ZmqSource } from "./zmq.ts";
import { fromStart, testDeps, TestSink } from "./feed_testing.ts";
import { clearedBatch, seqFrame, storedBatch, TestPublisher } from "./zmq_testing.ts";

/** A running source, the sink it tells and its end. */
function start(publisher: TestPublisher, options: { topic?: string } = {}) {
  const sink = new TestSink();
  const abort = new AbortController();
  const source = new ZmqSource({ host: "127.0.0.1", port: publisher.port, ...options }, testDeps());
  const done = source.run(sink, fromStart, abort.signal);
  done.catch(() => {});
  return { sink, abort, done, source };
}

/** Publishes until the subscription, which travels after the handshake, has reached the publisher. */
async function subscribed(publisher: TestPublisher, sink: TestSink, topic = ""): Promise<void> {
  await sink.until(() => sink.connects === 1);
  const first = sink.until(() => sink.batches.length > 0);
  const arrived = { yet: false };
  first.then(() => arrived.yet = true);
  while (!arrived.yet) {
    await publisher.publish(clearedBatch(), { topic });
    await sleep(systemClock, 5);
  }
  await sleep(systemClock, 20);
}

Deno.test("run() tells every batch of the publisher in order and ends when aborted", async () => {
  const publisher = TestPublisher.start();
  const { sink, abort, done, source } = start(publisher);
  await subscribed(publisher, sink);
  const first = await publisher.publish(storedBatch(7));
  for (let i = 0; i < 99; i++) await publisher.publish();
  await sink.until(() => sink.seqs.at(-1) === first + 99);
  deepStrictEqual(sink.seqs.slice(-100), Array.from({ length: 100 }, (_, i) => first + i));
  const { rank, timestamp, events } = sink.batches.at(-100)!;
  equal(rank, 0);
  equal(timestamp, 1.5);
  ok(events[0].kind === "stored");
  deepStrictEqual(events[0].hashes, BigUint64Array.of(7n));
  equal(events[0].tokens.length, 16);
  equal(source.address, `tcp://127.0.0.1:${publisher.port}`);
  equal(source.replay, undefined);
  const told = sink.batches.length;
  abort.abort();
  await done;
  await publisher.publish();
  await sleep(systemClock, 20);
  equal(sink.batches.length, told);
  publisher.close();
});

Deno.test("run() tells a late joiner nothing of the past, whose first number shows the gap", async () => {
  const publisher = TestPublisher.start();
  for (let i = 0; i < 50; i++) await publisher.publish();
  const { sink, abort, done } = start(publisher);
  await subscribed(publisher, sink);
  ok(sink.seqs[0] >= 50, `first batch is ${sink.seqs[0]}`);
  abort.abort();
  await done;
  publisher.close();
});

Deno.test("run() delivers an unreadable payload as a batch without events", async () => {
  const publisher = TestPublisher.start();
  const { sink, abort, done } = start(publisher);
  await subscribed(publisher, sink);
  const seq = await publisher.publish(Uint8Array.of(0xc1, 0xff));
  const next = await publisher.publish();
  await sink.until(() => sink.seqs.at(-1) === next);
  deepStrictEqual(sink.batches.at(-2), {
    seq,
    timestamp: 0,
    events: [],
    skipped: { malformed: 1 },
    unreadable: true,
  });
  equal(sink.batches.at(-1)!.unreadable, undefined);
  abort.abort();
  await done;
  publisher.close();
});

Deno.test("run() counts messages of another form as strays and goes on", async () => {
  const publisher = TestPublisher.start();
  const { sink, abort, done } = start(publisher);
  await subscribed(publisher, sink);
  const told = sink.batches.length;
  await publisher.send(["only a topic"]);
  await publisher.send(["", seqFrame(5)]);
  await publisher.send(["", seqFrame(5).subarray(1), clearedBatch()]);
  await publisher.send(["", new Uint8Array(8).fill(0xff), clearedBatch()]);
  await publisher.send(["", seqFrame(5), clearedBatch(), "more"]);
  const seq = await publisher.publish();
  await sink.until(() => sink.seqs.at(-1) === seq);
  equal(sink.strays, 5);
  equal(sink.batches.length, told + 1);
  abort.abort();
  await done;
  publisher.close();
});

Deno.test("run() reads the topics that begin as asked", async () => {
  const publisher = TestPublisher.start();
  const { sink, abort, done } = start(publisher, { topic: "kv@a" });
  await subscribed(publisher, sink, "kv@a:8000@m");
  const told = sink.batches.length;
  await publisher.publish(clearedBatch(), { topic: "kv@b:8000@m" });
  const seq = await publisher.publish(clearedBatch(), { topic: "kv@a:8000@m" });
  await sink.until(() => sink.seqs.at(-1) === seq);
  equal(sink.batches.length, told + 1);
  abort.abort();
  await done;
  publisher.close();
});

Deno.test("run() rejects when the publisher goes, after telling what it had received", async () => {
  const publisher = TestPublisher.start();
  const { port } = publisher;
  const { sink, done } = start(publisher);
  await subscribed(publisher, sink);
  publisher.close();
  await rejects(done, /Connection to tcp:\/\/127\.0\.0\.1:\d+ lost: /);
  const again = TestPublisher.start({ port });
  const next = start(again);
  await subscribed(again, next.sink);
  ok(next.sink.seqs[0] < 50, "a restarted publisher counts from the beginning");
  next.abort.abort();
  await next.done;
  again.close();
});

Deno.test("run() drains what is queued before it rejects", async () => {
  const publisher = TestPublisher.start();
  const { sink, done } = start(publisher);
  await subscribed(publisher, sink);
  let last = 0;
  for (let i = 0; i < 5000; i++) last = await publisher.publish();
  // The loop is held while the publisher's own thread sends everything.
  const until = systemClock.now() + 100;
  while (systemClock.now() < until);
  publisher.close();
  await rejects(done, /lost: /);
  equal(sink.seqs.at(-1), last);
});

Deno.test("run() rejects at once where nobody listens, and in time where nobody answers", async () => {
  const deps = testDeps();
  const refused = new ZmqSource({ host: "127.0.0.1", port: 1 }, deps);
  await rejects(
    refused.run(new TestSink(), fromStart, new AbortController().signal),
    /Cannot connect to tcp:\/\/127\.0\.0\.1:1: .*refused/,
  );
  const silent = createServer(() => {});
  silent.listen(0, "127.0.0.1");
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  const source = new ZmqSource({ host: "127.0.0.1", port, connectTimeoutMs: 60 }, deps);
  const sink = new TestSink();
  await rejects(source.run(sink, fromStart, new AbortController().signal), /Cannot connect to .* within 60 ms/);
  equal(sink.connects, 0);
  silent.close();
});

Deno.test("run() rejects for a peer of another protocol", async () => {
  const server = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n".repeat(8)));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const source = new ZmqSource({ host: "127.0.0.1", port }, testDeps());
  await rejects(source.run(new TestSink(), fromStart, new AbortController().signal), /does not speak ZMTP/);
  server.close();
});

Deno.test("run() resolves when aborted before and while connecting", async () => {
  const source = new ZmqSource({ host: "127.0.0.1", port: 1 }, testDeps());
  await source.run(new TestSink(), fromStart, AbortSignal.abort());
  const server = createServer(() => {});
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const abort = new AbortController();
  const done = new ZmqSource({ host: "127.0.0.1", port }, testDeps()).run(new TestSink(), fromStart, abort.signal);
  await once(server, "connection");
  abort.abort();
  await done;
  server.close();
});

Deno.test("run() ends with what its sink throws", async () => {
  const publisher = TestPublisher.start();
  const { sink, done } = start(publisher);
  await subscribed(publisher, sink);
  sink.batch = () => {
    throw new Error("full");
  };
  await publisher.publish();
  await rejects(done, /full/);
  publisher.close();
});

Deno.test("run() leaves timers their turn while a backlog is read", async () => {
  const publisher = TestPublisher.start();
  const { sink, abort, done } = start(publisher);
  await subscribed(publisher, sink);
  const count = 8000;
  let last = 0;
  for (let i = 0; i < count; i++) last = await publisher.publish();
  const gaps: number[] = [];
  let before = systemClock.now();
  let ticking = true;
  const tick = () => {
    const now = systemClock.now();
    gaps.push(now - before);
    before = now;
    if (ticking) systemClock.after(5, tick);
  };
  systemClock.after(5, tick);
  await sink.until(() => sink.seqs.at(-1) === last);
  ticking = false;
  ok(sink.batches.length >= count);
  const median = gaps.sort((a, b) => a - b)[gaps.length >> 1];
  ok(gaps.length >= 3, `${gaps.length} ticks`);
  ok(median < 15, `median of ${median} ms between ticks of 5 ms`);
  abort.abort();
  await done;
  publisher.close();
});
