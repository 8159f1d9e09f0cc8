import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import { sleep, systemClock } from "../../core/mod.ts";
import { type Faults, noFaults } from "../faults.ts";
import type { SimKvEvent } from "./events.ts";
import { KvFeed } from "./kv_feed.ts";
import { defaultKvFeed, type KvFeedOptions } from "./kv_options.ts";
import { ZmtpClient } from "./zmtp_client_fixture.ts";
import { ZmqPublisher } from "./zmq_publisher.ts";

const cleared: SimKvEvent = { kind: "cleared" };
const anywhere = "tcp://127.0.0.1:0";

function makeFeed(options: Partial<KvFeedOptions> = {}, faults: Partial<Faults> = {}): KvFeed {
  const all = { ...defaultKvFeed, endpoint: anywhere, topic: "kv@pod", dialect: "vllm-group", ...options } as const;
  const source = { clock: systemClock, blockHash: "sha256-cbor", rank: 0, seed: 1, name: "s" } as const;
  return new KvFeed(all, source, { ...noFaults, ...faults });
}

const publish = (feed: KvFeed) => feed.publish({ atMs: 0, rank: 0, events: [cleared] });
const seqOf = (frame: Uint8Array) => new DataView(frame.buffer, frame.byteOffset).getBigUint64(0);

const text = new TextEncoder();
const subscription = (on: 0 | 1, prefix: string) => Uint8Array.of(on, ...text.encode(prefix));

/** Publishes until the subscription is in force: a subscriber hears nothing of what was sent before. */
async function joined(feed: KvFeed, subscriber: ZmtpClient): Promise<Uint8Array[]> {
  const first = subscriber.receive();
  let heard = false;
  first.then(() => heard = true);
  for (let i = 0; i < 500 && !heard; i++) {
    publish(feed);
    await sleep(systemClock, 5);
  }
  return await first;
}

Deno.test("ZmqPublisher sends topic, number and batch", async () => {
  const feed = makeFeed();
  const publisher = await ZmqPublisher.open(feed);
  const subscriber = await ZmtpClient.connect(publisher.endpoint, "SUB");
  try {
    await subscriber.send(subscription(1, "kv@"));
    const first = await joined(feed, subscriber);
    const seq = seqOf(first[1]);
    equal(first.length, 3);
    equal(new TextDecoder().decode(first[0]), "kv@pod");
    equal(first[1].length, 8);
    const batch = decode(first[2]) as [number, unknown, number];
    ok(Math.abs(batch[0] - systemClock.wallMs() / 1000) < 60);
    deepStrictEqual(batch.slice(1), [[["AllBlocksCleared"]], 0]);
    publish(feed);
    const next = await subscriber.receive();
    equal(seqOf(next[1]), seq + 1n);
  } finally {
    subscriber.close();
    await publisher.close();
  }
});

async function replayed(publisher: ZmqPublisher, from: number): Promise<Uint8Array[][]> {
  const dealer = await ZmtpClient.connect(publisher.replayEndpoint, "DEALER");
  try {
    const start = new Uint8Array(8);
    new DataView(start.buffer).setBigUint64(0, BigInt(from));
    // A request of another shape is passed over.
    await dealer.send(start);
    await dealer.send(new Uint8Array(0), start);
    const replies: Uint8Array[][] = [];
    for (;;) {
      const frames = await dealer.receive();
      if (frames.at(-1)!.length === 0) return [...replies, frames];
      replies.push(frames);
    }
  } finally {
    dealer.close();
  }
}

Deno.test("ZmqPublisher resends what it keeps from the asked number on, in the new and the old form", async () => {
  for (const replayForm of ["new", "old"] as const) {
    const feed = makeFeed({ replayEndpoint: anywhere, bufferSteps: 4, replayForm });
    for (let i = 0; i < 6; i++) publish(feed);
    const publisher = await ZmqPublisher.open(feed);
    try {
      const frames = await replayed(publisher, 3);
      const end = frames.pop()!;
      deepStrictEqual(frames.map((each) => seqOf(each.at(-2)!)), [3n, 4n, 5n]);
      const width = replayForm === "new" ? 4 : 3;
      for (const each of [...frames, end]) deepStrictEqual([each.length, each[0].length], [width, 0]);
      if (replayForm === "new") deepStrictEqual([new TextDecoder().decode(frames[0][1]), end[1].length], ["kv@pod", 0]);
      equal(seqOf(end.at(-2)!), 2n ** 64n - 1n);
      deepStrictEqual(frames[0].at(-1), feed.replay(3)![0].payload);
      // What is no longer kept is left out without a word.
      equal((await replayed(publisher, 0)).length, 5);
    } finally {
      await publisher.close();
    }
  }
});

Deno.test("ZmqPublisher.open() rejects for a taken port and leaves nothing open", async () => {
  const publisher = await ZmqPublisher.open(makeFeed());
  const port = publisher.endpoint.split(":").at(-1);
  try {
    const taken = `tcp://*:${port}`;
    await rejects(ZmqPublisher.open(makeFeed({ endpoint: taken })), /in use/);
    await rejects(ZmqPublisher.open(makeFeed({ replayEndpoint: publisher.endpoint })), /in use/);
  } finally {
    await publisher.close();
  }
});

Deno.test("ZmqPublisher connects to a collector, whose address has no star", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const feed = makeFeed({ endpoint: `tcp://127.0.0.1:${listener.addr.port}` });
  const publisher = await ZmqPublisher.open(feed);
  try {
    equal(publisher.endpoint, "");
    // The first connection is lost: the publisher dials again.
    (await listener.accept()).close();
    const collector = await ZmtpClient.over(await listener.accept(), "SUB");
    await collector.send(subscription(1, ""));
    equal((await joined(feed, collector)).length, 3);
    collector.close();
  } finally {
    await publisher.close();
    listener.close();
  }
});

Deno.test("ZmqPublisher sends each subscriber the topics it asked for, until it cancels, and cuts off what is not ZMTP", async () => {
  const feed = makeFeed();
  const publisher = await ZmqPublisher.open(feed);
  const [ours, other] = await Promise.all([
    ZmtpClient.connect(publisher.endpoint, "SUB"),
    ZmtpClient.connect(publisher.endpoint, "SUB"),
  ]);
  try {
    await ours.send(subscription(1, "kv@p"));
    await ours.send(subscription(1, "kv@"));
    await other.send(subscription(1, "kv@q"));
    const first = await joined(feed, ours);
    // Cancelling one of two matching prefixes changes nothing.
    await ours.send(subscription(0, "kv@p"));
    publish(feed);
    await ours.receive();
    await other.send(subscription(1, ""));
    const second = await joined(feed, other);
    // The other one heard nothing before it asked for everything.
    ok(seqOf(second[1]) > seqOf(first[1]));
    const [, hostname, port] = publisher.endpoint.match(/\/\/(.+):(\d+)/)!;
    const stranger = await Deno.connect({ hostname, port: Number(port) });
    await stranger.write(
      text.encode("GET / HTTP/1.1\r\nhost: somebody\r\naccept: anything at all, as long as it is long enough\r\n\r\n"),
    );
    const chunk = new Uint8Array(1024);
    await rejects(async () => {
      while (await stranger.read(chunk) !== null);
      throw new Error("ended");
    });
    stranger.close();
  } finally {
    ours.close();
    other.close();
    await publisher.close();
  }
});
