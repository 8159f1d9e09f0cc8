import { equal, ok } from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { concatBytes } from "../../core/mod.ts";
import { commandBytes, greeting, greetingBytes, messageBytes, type ZmtpItem, ZmtpReader } from "./zmq_wire.ts";

/** Which form of reply a replay socket sends. */
export type ReplayForm = "old" | "new";

/** A publisher as engines have it: numbered batches, the last `ringSteps` of them again on request. */
export class TestPublisher {
  readonly #publisher: TestPub;
  readonly #router: TestRouter;
  readonly #ring: [seq: number, payload: Uint8Array][] = [];
  readonly #ringSteps: number;
  #seq = 0;
  /** Replay requests, by their first sequence number. */
  readonly requests: number[] = [];
  /** Replies of one answer that are sent; what follows, the end included, is dropped. */
  answersMax = Infinity;

  private constructor(form: ReplayForm, ringSteps: number, port: number) {
    this.#ringSteps = ringSteps;
    this.#publisher = new TestPub(port);
    const topic = form === "new" ? [noBytes] : [];
    this.#router = new TestRouter(([delimiter, start, ...more]) => {
      equal(more.length, 0);
      equal(delimiter.length, 0);
      const from = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0));
      this.requests.push(from);
      const kept = this.#ring.filter(([seq]) => seq >= from);
      const replies = kept.map(([seq, payload]) => [noBytes, ...topic, seqFrame(seq), payload]);
      return [...replies, [noBytes, ...topic, endFrame, noBytes]].slice(0, this.answersMax);
    });
  }

  static start(options: { form?: ReplayForm; ringSteps?: number; port?: number } = {}): TestPublisher {
    return new TestPublisher(options.form ?? "new", options.ringSteps ?? 10_000, options.port ?? 0);
  }

  get port(): number {
    return this.#publisher.port;
  }

  get replayPort(): number {
    return this.#router.port;
  }

  /** Publishes the next batch; `lose` keeps it from the subscribers and in the ring. */
  async publish(payload: Uint8Array = clearedBatch(), { topic = "", lose = false } = {}): Promise<number> {
    const seq = this.#seq++;
    this.#ring.push([seq, payload]);
    if (this.#ring.length > this.#ringSteps) this.#ring.shift();
    if (!lose) await this.send([topic, seqFrame(seq), payload]);
    return seq;
  }

  async send(frames: (string | Uint8Array)[]): Promise<void> {
    await this.#publisher.send(frames.map((frame) => typeof frame === "string" ? encoder.encode(frame) : frame));
  }

  close(): void {
    this.#publisher.close();
    this.#router.close();
  }
}

const noBytes = new Uint8Array();
const encoder = new TextEncoder();

/** A PUB socket: gives each message to those that subscribed to the beginning of its first frame. */
class TestPub {
  readonly #peer: TestPeer;
  readonly #subscribers = new Map<TestLink, string[]>();

  constructor(port: number) {
    this.#peer = new TestPeer(async (link) => {
      await link.handshake("PUB");
      this.#subscribers.set(link, []);
      try {
        for (;;) await this.#take(link, await link.next());
      } finally {
        this.#subscribers.delete(link);
      }
    }, port);
  }

  get port(): number {
    return this.#peer.port;
  }

  async send(frames: readonly Uint8Array[]): Promise<void> {
    const topic = new TextDecoder().decode(frames[0]);
    const message = messageBytes(frames);
    for (const [link, prefixes] of this.#subscribers) {
      if (prefixes.some((prefix) => topic.startsWith(prefix))) await link.write(message).catch(() => {});
    }
  }

  close(): void {
    this.#peer.close();
  }

  /** A subscription, as a command or in the older form; a ping. */
  async #take(link: TestLink, item: ZmtpItem): Promise<void> {
    const [bytes, kind] = item.command === undefined
      ? [item.frames[0].subarray(1), "SUBSCRIBE"]
      : [item.body, item.command];
    if (kind === "SUBSCRIBE") this.#subscribers.get(link)!.push(new TextDecoder().decode(bytes));
    if (kind === "PING") await link.write(commandBytes("PONG", bytes.subarray(2)));
  }
}

export const endFrame = new Uint8Array(8).fill(0xff);

/** A ROUTER socket that answers each request with messages. */
export class TestRouter {
  readonly #server: TestPeer;

  constructor(answer: (request: readonly Uint8Array[]) => readonly (readonly Uint8Array[])[]) {
    this.#server = new TestPeer(async (peer) => {
      await peer.handshake("ROUTER");
      for (;;) {
        const item = await peer.next();
        if (item.command === undefined) {
          await peer.write(concatBytes(answer(item.frames).map(messageBytes)));
        }
      }
    });
  }

  get port(): number {
    return this.#server.port;
  }

  close(): void {
    this.#server.close();
  }
}

/** One accepted connection, driven by a test. */
export class TestLink {
  readonly #conn: Deno.Conn;
  readonly #reader = new ZmtpReader(1 << 20);

  constructor(conn: Deno.Conn) {
    this.#conn = conn;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
  }

  async next(): Promise<ZmtpItem> {
    for (;;) {
      const item = this.#reader.next();
      if (item) return item;
      await this.#fill();
    }
  }

  /** Greets as a peer of version 3.`minor` and says READY. */
  async handshake(socketType: string, minor = 1): Promise<void> {
    const hello = greeting();
    hello[11] = minor;
    await this.write(hello);
    while (!this.#reader.take(greetingBytes)) await this.#fill();
    equal((await this.next()).command, "READY");
    const value = new TextEncoder().encode(socketType);
    const name = new TextEncoder().encode("Socket-Type");
    await this.write(
      commandBytes(
        "READY",
        concatBytes([Uint8Array.of(name.length), name, Uint8Array.of(0, 0, 0, value.length), value]),
      ),
    );
  }

  async #fill(): Promise<void> {
    const count = await this.#conn.read(this.#reader.space());
    if (count === null) throw new Error("the client left");
    this.#reader.filled(count);
  }
}

/** A listener whose connections run a script; a connection ends when its script does. */
export class TestPeer {
  readonly #listener: Deno.TcpListener;
  readonly #conns = new Set<Deno.Conn>();

  constructor(script: (link: TestLink) => Promise<void>, port = 0) {
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.#accept(script);
  }

  get port(): number {
    const { addr } = this.#listener;
    ok(addr.transport === "tcp");
    return addr.port;
  }

  close(): void {
    this.#listener.close();
    for (const conn of this.#conns) conn.close();
    this.#conns.clear();
  }

  async #accept(script: (link: TestLink) => Promise<void>): Promise<void> {
    for await (const conn of this.#listener) {
      this.#conns.add(conn);
      script(new TestLink(conn)).catch(() => {}).finally(() => {
        if (this.#conns.delete(conn)) conn.close();
      });
    }
  }
}

export function seqFrame(seq: number): Uint8Array {
  const frame = new Uint8Array(8);
  new DataView(frame.buffer).setBigUint64(0, BigInt(seq));
  return frame;
}

/** A batch that says the cache was dropped. */
export function clearedBatch(): Uint8Array {
  return encode([1.5, [["AllBlocksCleared"]], 0]);
}

/** A batch that stores one block of `blockTokens` tokens. */
export function storedBatch(hash: number, blockTokens = 16): Uint8Array {
  const tokens = Array.from({ length: blockTokens }, (_, i) => hash + i);
  return encode([1.5, [["BlockStored", [hash], null, tokens, blockTokens, null, "GPU"]], 0]);
}
