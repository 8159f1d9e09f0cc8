import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { systemClock, VirtualClock } from "../../core/mod.ts";
import { ZmqConnection } from "./zmq_connection.ts";
import { type TestLink, TestPeer } from "./zmq_testing.ts";
import { commandBytes, messageBytes, type ZmtpItem } from "./zmq_wire.ts";

const never = new AbortController().signal;
const target = (peer: TestPeer) => ({
  host: "127.0.0.1",
  port: peer.port,
  socketType: "SUB" as const,
  connectTimeoutMs: 5000,
});

/** A peer of version 3.`minor` whose link the test drives after the handshake. */
function peerOf(minor: number): { peer: TestPeer; link: Promise<TestLink> } {
  const ready = Promise.withResolvers<TestLink>();
  const peer = new TestPeer(async (link) => {
    await link.handshake("PUB", minor);
    ready.resolve(link);
    await new Promise(() => {});
  });
  return { peer, link: ready.promise };
}

function nameOf(item: ZmtpItem): string {
  return item.command ?? item.frames.map((frame) => frame.toHex()).join(" ");
}

for (const minor of [0, 1]) {
  Deno.test(`ZmqConnection subscribes at a peer of version 3.${minor} in its own way`, async () => {
    const { peer, link } = peerOf(minor);
    const connection = await ZmqConnection.open(target(peer), systemClock, never);
    await connection.subscribe("k");
    equal(nameOf(await (await link).next()), minor === 0 ? "016b" : "SUBSCRIBE");
    connection.close();
    peer.close();
  });
}

Deno.test("ZmqConnection answers a ping with its context and passes over commands it does not know", async () => {
  const { peer, link } = peerOf(1);
  const connection = await ZmqConnection.open(target(peer), systemClock, never);
  const far = await link;
  await far.write(commandBytes("PING", Uint8Array.of(0, 9, 7, 7)));
  await far.write(commandBytes("NEWS"));
  await far.write(messageBytes([Uint8Array.of(1), Uint8Array.of(2)]));
  let frames;
  while (!(frames = connection.next())) await connection.fill();
  deepStrictEqual(frames.map((frame) => [...frame]), [[1], [2]]);
  const pong = await far.next();
  ok(pong.command === "PONG");
  deepStrictEqual([...pong.body], [7, 7]);
  await far.write(commandBytes("ERROR"));
  await rejects(async () => {
    while (!connection.next()) await connection.fill();
  }, /the peer reported an error/);
  connection.close();
  peer.close();
});

Deno.test("ZmqConnection pings a silent peer and gives it up when that stays so", async () => {
  const clock = new VirtualClock();
  const { peer, link } = peerOf(1);
  const connection = await ZmqConnection.open(target(peer), clock, never);
  const far = await link;
  clock.advance(9_000);
  await far.write(messageBytes([Uint8Array.of(1)]));
  while (!connection.next()) await connection.fill();
  clock.advance(9_000);
  await connection.send([Uint8Array.of(5)]);
  equal(nameOf(await far.next()), "05", "no ping while the peer speaks");
  clock.advance(2_000);
  equal(nameOf(await far.next()), "PING");
  const lost = rejects(connection.fill(), /the peer was silent for 30000 ms/);
  clock.advance(20_000);
  await lost;
  peer.close();
});

Deno.test("ZmqConnection refuses a peer of the wrong socket type, and one that does not say READY", async () => {
  const wrong = new TestPeer((link) => link.handshake("PULL").then(() => new Promise(() => {})));
  await rejects(ZmqConnection.open(target(wrong), systemClock, never), /the peer is a PULL socket, not PUB/);
  wrong.close();
  const refusing = new TestPeer(async (link) => {
    await link.write(
      new Uint8Array([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 1, 78, 85, 76, 76, ...new Array(48).fill(0)]),
    );
    await link.write(commandBytes("ERROR"));
    await new Promise(() => {});
  });
  await rejects(ZmqConnection.open(target(refusing), systemClock, never), /the peer answered with ERROR/);
  refusing.close();
});

Deno.test("fill() rejects with the reason of close(), which may be called again", async () => {
  const { peer } = peerOf(1);
  const connection = await ZmqConnection.open(target(peer), systemClock, never);
  const ended = rejects(connection.fill(), /enough/);
  connection.close(new Error("enough"));
  connection.close();
  await ended;
  await rejects(connection.fill(), /enough/);
  peer.close();
});
