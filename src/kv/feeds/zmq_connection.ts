import { bracketed, type Clock, reasonOf, type Timer, writeAll } from "../../core/mod.ts";
import {
  commandBytes,
  greeting,
  greetingBytes,
  messageBytes,
  readGreeting,
  readProperties,
  readyCommand,
  subscribeBytes,
  ZmtpError,
  ZmtpReader,
} from "./zmq_wire.ts";

export interface ZmqTarget {
  readonly host: string;
  readonly port: number;
  /** What this side is, which the peer must match. */
  readonly socketType: "SUB" | "DEALER";
  /** Time until the handshake is done. */
  readonly connectTimeoutMs: number;
}

/** A message above this ends the connection: batches are some KiB, a whole step's at most some MiB. */
const messageBytesMax = 64 << 20;

/**
 * A peer whose host is gone is found by pings: after `pingIntervalMs` without a byte from it one is sent, after
 * `pingTimeoutMs` the connection is given up. Peers of ZMTP 3.0 know no pings.
 */
const pingIntervalMs = 10_000;
const pingTimeoutMs = 30_000;

/** Bytes of a ping's context that come back in its pong, at most. */
const pingContextBytesMax = 16;

/** Pings and pongs that wait for the peer to read. */
const writesPendingMax = 8;

const peerTypes = { SUB: ["PUB", "XPUB"], DEALER: ["ROUTER", "REP", "DEALER"] } as const;

/** `tcp://host:port`, with an IPv6 address in brackets. */
export function zmqAddress(host: string, port: number): string {
  return `tcp://${bracketed(host)}:${port}`;
}

/** One ZeroMQ connection that was dialled and has shaken hands. */
export class ZmqConnection {
  readonly #conn: Deno.TcpConn;
  readonly #clock: Clock;
  readonly #reader = new ZmtpReader(messageBytesMax);
  #peerMinor = 0;
  #heardAtMs = 0;
  #ping: Timer | undefined;
  #writing = Promise.resolve();
  #writesPending = 0;
  #closed: Error | undefined;

  private constructor(conn: Deno.TcpConn, clock: Clock) {
    this.#conn = conn;
    this.#clock = clock;
  }

  /** Dials and shakes hands. Rejects with the signal's reason when it aborts, else with why it failed. */
  static async open(target: ZmqTarget, clock: Clock, signal: AbortSignal): Promise<ZmqConnection> {
    const address = zmqAddress(target.host, target.port);
    const stop = new AbortController();
    const late = new Error(`Cannot connect to ${address} within ${target.connectTimeoutMs} ms`);
    const timer = clock.after(target.connectTimeoutMs, () => stop.abort(late));
    const either = AbortSignal.any([signal, stop.signal]);
    let connection: ZmqConnection | undefined;
    const close = () => connection?.close();
    either.addEventListener("abort", close, { once: true });
    try {
      const hostname = target.host.replace(/^\[|\]$/g, "");
      const conn = await Deno.connect({ hostname, port: target.port, signal: either });
      connection = new ZmqConnection(conn, clock);
      either.throwIfAborted();
      conn.setNoDelay(true);
      await connection.#handshake(target.socketType);
      either.throwIfAborted();
      return connection;
    } catch (error) {
      connection?.close();
      either.throwIfAborted();
      const reason = reasonOf(error);
      throw new Error(`Cannot connect to ${address}: ${reason}`, { cause: error });
    } finally {
      timer.cancel();
      either.removeEventListener("abort", close);
    }
  }

  subscribe(prefix: string): Promise<void> {
    return this.#write(subscribeBytes(prefix, this.#peerMinor));
  }

  send(frames: readonly Uint8Array[]): Promise<void> {
    return this.#write(messageBytes(frames));
  }

  /** A message that has already arrived; its frames are valid until `fill`. Pings are answered on the way. */
  next(): readonly Uint8Array[] | undefined {
    for (;;) {
      const item = this.#reader.next();
      if (!item) return undefined;
      if (item.command === undefined) return item.frames;
      if (item.command === "PING") {
        // Two bytes of time to live come before the context.
        this.#writeAside(commandBytes("PONG", item.body.subarray(2, 2 + pingContextBytesMax)));
      } else if (item.command === "ERROR") throw new ZmtpError("the peer reported an error");
    }
  }

  /** Waits for bytes. Rejects when the connection has ended, with the reason given to `close` if it was closed here. */
  async fill(): Promise<void> {
    let count: number | null;
    try {
      count = await this.#conn.read(this.#reader.space());
    } catch (error) {
      throw this.#closed ?? error;
    }
    if (count === null) throw this.#closed ?? new Error("the peer closed the connection");
    this.#heardAtMs = this.#clock.now();
    this.#reader.filled(count);
  }

  /** May be called again. `reason` is what a pending `fill` rejects with. */
  close(reason = new Error("the connection was closed")): void {
    if (this.#closed) return;
    this.#closed = reason;
    this.#ping?.cancel();
    this.#conn.close();
  }

  async #handshake(socketType: ZmqTarget["socketType"]): Promise<void> {
    await this.#write(greeting());
    let hello: Uint8Array | undefined;
    while (!(hello = this.#reader.take(greetingBytes))) await this.fill();
    this.#peerMinor = readGreeting(hello);
    await this.#write(readyCommand(socketType));
    let item;
    while (!(item = this.#reader.next())) await this.fill();
    if (item.command !== "READY") throw new ZmtpError(`the peer answered with ${item.command ?? "a message"}`);
    const peerType = readProperties(item.body).get("socket-type") ?? "";
    if (!peerTypes[socketType].some((type) => type === peerType)) {
      throw new ZmtpError(`the peer is a ${peerType} socket, not ${peerTypes[socketType][0]}`);
    }
    if (this.#peerMinor > 0) this.#schedulePing();
  }

  #schedulePing(): void {
    this.#ping = this.#clock.after(pingIntervalMs, () => {
      const silentMs = this.#clock.now() - this.#heardAtMs;
      if (silentMs >= pingTimeoutMs) return this.close(new Error(`the peer was silent for ${pingTimeoutMs} ms`));
      // Time to live 0: the peer need not watch this side.
      if (silentMs >= pingIntervalMs) this.#writeAside(commandBytes("PING", new Uint8Array(2)));
      this.#schedulePing();
    }, { background: true });
  }

  /** For what a peer that does not read may miss. A failed write is seen by the read that follows. */
  #writeAside(bytes: Uint8Array): void {
    if (this.#writesPending < writesPendingMax) this.#write(bytes).catch(() => {});
  }

  #write(bytes: Uint8Array): Promise<void> {
    const write = async () => {
      try {
        await writeAll(this.#conn, bytes);
      } finally {
        this.#writesPending--;
      }
    };
    this.#writesPending++;
    return this.#writing = this.#writing.then(write, write);
  }
}
