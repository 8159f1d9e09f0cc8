import { equal, ok } from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import { Publisher } from "zeromq";
import { concatBytes } from "../../core/mod.ts";
import { commandBytes, greeting, greetingBytes, messageBytes, type ZmtpItem, ZmtpReader } from "./zmq_wire.ts";

/** Which form of reply a replay socket sends. */
export type ReplayForm = "old" | "new";

/** A publisher as engines have it: numbered batches, the last `ringSteps` of them again on request. */
export class TestPublisher {
  readonly #publisher = new Publisher({ linger: 0, sendHighWaterMark: 100_000 });
  readonly #router: TestRouter;
  readonly #ring: [seq: number, payload: Uint8Array][] = [];
  readonly #ringSteps: number;
  #seq = 0;
  /** Replay requests, by their first sequence number. */
  readonly requests: number[] = [];
  /** Replies of one answer that are sent; what follows, the end included, is dropped. */
  answersMax = Infinity;

  private constructor(form: ReplayForm, ringSteps: number) {
    this.#ringSteps = ringSteps;
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

  static async start(options: { form?: ReplayForm; ringSteps?: number; port?: number } = {}): Promise<TestPublisher> {
    const self = new TestPublisher(options.form ?? "new", options.ringSteps ?? 10_000);
    await self.#publisher.bind(`tcp://127.0.0.1:${options.port ?? "*"}`);
    return self;
  }

  get port(): number {
    const port = Number(this.#publisher.lastEndpoint?.split(":").at(-1));
    ok(port > 0);
    return port;
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
    await this.#publisher.send(frames);
  }

  close(): void {
    this.#publisher.close();
    this.#router.close();
  }
}

const noBytes = new Uint8Array();
export const endFrame = new Uint8Array(8).fill(0xff);

/** A ROUTER socket that answers each request with messages. The library's own misses requests under Deno. */
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
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #conns = new Set<Deno.Conn>();

  constructor(script: (link: TestLink) => Promise<void>) {
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
