import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import type { KvBatch } from "../../protocol/mod.ts";
import { ZmqSource } from "./zmq.ts";
import { testDeps } from "./feed_testing.ts";
import { clearedBatch, endFrame, seqFrame, TestPublisher, TestRouter } from "./zmq_testing.ts";

type Limits = { replayIdleMs?: number; replayTotalMs?: number };

function replayOf(replayPort: number, limits: Limits = {}) {
  const source = new ZmqSource({ host: "127.0.0.1", port: 1, replayPort, ...limits }, testDeps());
  return (from: number, signal = new AbortController().signal) => source.replay!(from, signal);
}

async function seqsOf(batches: AsyncIterable<KvBatch>): Promise<number[]> {
  const seqs: number[] = [];
  for await (const { seq } of batches) seqs.push(seq);
  return seqs;
}

const bytes = (text: string) => new TextEncoder().encode(text);
const end = [bytes(""), endFrame, bytes("")];

for (const form of ["old", "new"] as const) {
  Deno.test(`replay() reads what the publisher still has from replies of the ${form} form`, async () => {
    const publisher = TestPublisher.start({ form });
    for (let i = 0; i < 20; i++) await publisher.publish();
    const replay = replayOf(publisher.replayPort);
    deepStrictEqual(await seqsOf(replay(15)), [15, 16, 17, 18, 19]);
    deepStrictEqual(await seqsOf(replay(20)), []);
    equal((await seqsOf(replay(-1))).length, 20);
    deepStrictEqual(publisher.requests, [15, 20, 0]);
    publisher.close();
  });
}

Deno.test("replay() begins later than asked when the buffer has forgotten", async () => {
  const publisher = TestPublisher.start({ ringSteps: 5 });
  for (let i = 0; i < 20; i++) await publisher.publish();
  deepStrictEqual(await seqsOf(replayOf(publisher.replayPort)(3)), [15, 16, 17, 18, 19]);
  publisher.close();
});

Deno.test("replay() takes a full buffer of 10,000 batches without loss", async () => {
  const publisher = TestPublisher.start();
  const payload = clearedBatch();
  for (let i = 0; i < 10_000; i++) await publisher.publish(payload, { lose: true });
  const seqs = await seqsOf(replayOf(publisher.replayPort)(0));
  equal(seqs.length, 10_000);
  ok(seqs.every((seq, i) => seq === i));
  publisher.close();
});

Deno.test("replay() gives unreadable batches as such, passes over strange replies and earlier batches", async () => {
  const server = new TestRouter(() => [
    [bytes(""), seqFrame(3), clearedBatch()],
    [bytes(""), seqFrame(7), Uint8Array.of(0xc1)],
    [bytes("nonsense")],
    [bytes(""), bytes("short"), clearedBatch()],
    [seqFrame(8), clearedBatch()],
    end,
  ]);
  const batches = await Array.fromAsync(replayOf(server.port)(7));
  deepStrictEqual(batches.map(({ seq, unreadable }) => [seq, unreadable]), [[7, true], [8, undefined]]);
  server.close();
});

Deno.test("replay() rejects when every reply is strange", async () => {
  const server = new TestRouter(() => Array.from({ length: 200 }, () => [bytes("nonsense")]));
  await rejects(seqsOf(replayOf(server.port)(0)), /Cannot replay from tcp:.*: .*the replies are not an engine's/);
  server.close();
});

Deno.test("replay() asks again for what the engine dropped, be it in between or at the end", async () => {
  const asked: number[] = [];
  const server = new TestRouter(([, start]) => {
    const from = start[7];
    asked.push(from);
    const replies = [0, 1, 2, 3, 4, 5, 6, 7].filter((seq) => seq >= from).map((
      seq,
    ) => [bytes(""), seqFrame(seq), clearedBatch()]);
    // Of the first answer the third and fourth are lost, of the second all after two.
    if (asked.length === 1) return [...replies.slice(0, 2), ...replies.slice(4), end];
    if (asked.length === 2) return replies.slice(0, 2);
    return [...replies, end];
  });
  deepStrictEqual(await seqsOf(replayOf(server.port, { replayIdleMs: 60 })(0)), [0, 1, 2, 3, 4, 5, 6, 7]);
  deepStrictEqual(asked, [0, 2, 4]);
  server.close();
});

Deno.test("replay() rejects where nobody listens and where nobody answers", async () => {
  await rejects(seqsOf(replayOf(1)(0)), /Cannot replay from tcp:\/\/127\.0\.0\.1:1: .*refused/);
  const publisher = TestPublisher.start();
  for (let i = 0; i < 5; i++) await publisher.publish();
  const replay = replayOf(publisher.replayPort, { replayIdleMs: 60 });
  publisher.answersMax = 0;
  await rejects(seqsOf(replay(0)), /no reply within 60 ms/);
  publisher.close();
});

Deno.test("replay() rejects when it takes too long as a whole", async () => {
  const publisher = TestPublisher.start();
  publisher.answersMax = 0;
  const replay = replayOf(publisher.replayPort, { replayIdleMs: 5000, replayTotalMs: 60 });
  await rejects(seqsOf(replay(0)), /no end within 60 ms/);
  publisher.close();
});

Deno.test("replay() stops with the signal's reason and closes when its reader leaves", async () => {
  const publisher = TestPublisher.start();
  for (let i = 0; i < 5; i++) await publisher.publish();
  publisher.answersMax = 2;
  const replay = replayOf(publisher.replayPort);
  const abort = new AbortController();
  const reason = new Error("no longer wanted");
  await rejects(async () => {
    for await (const { seq } of replay(0, abort.signal)) if (seq === 1) abort.abort(reason);
  }, reason);
  await rejects(seqsOf(replay(0, AbortSignal.abort(reason))), reason);
  for await (const { seq } of replay(0)) if (seq === 0) break;
  publisher.close();
});
