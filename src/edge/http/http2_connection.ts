/** HTTP/2 by `node:http2`, over connections of our own: one session a connection, one request a stream. */
import http2, { type Http2Session, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { headBytesMax } from "../../protocol/mod.ts";
import { ConnectionDuplex } from "./duplex.ts";
import { type ClientStream, peerOf } from "./http1_connection.ts";
import { Http2Exchange } from "./http2_exchange.ts";
import type { Port, PortConnection } from "./port.ts";

/** Requests under way on one connection. */
const streamsMax = 250;
/** A client may take back so many requests at once, and so many a second: more is an attack that costs it nothing. */
const resetsMax = 1_000;
const resetsPerS = 33;

const settings = { maxConcurrentStreams: streamsMax, maxHeaderListSize: headBytesMax };
const { NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;

/** Serves a connection to its end; `begun` are bytes of it that were read already. */
export function serveHttp2(stream: ClientStream, port: Port, begun: Uint8Array | undefined): Promise<void> {
  return new Promise((resolve) => {
    const connection = new Http2Connection(new ConnectionDuplex(stream, begun), port, peerOf(stream), () => {
      port.remove(connection);
      resolve();
    });
    port.add(connection);
    if (port.draining) connection.drain();
  });
}

class Http2Connection implements PortConnection {
  readonly #port: Port;
  readonly #peer: string;
  readonly #session: Http2Session;
  readonly #exchanges = new Set<Http2Exchange>();
  /** Since when no request is under way. */
  #idleMs: number;
  #resetsLeft = resetsMax;
  #resetMs: number;

  constructor(duplex: ConnectionDuplex, port: Port, peer: string, onEnd: () => void) {
    this.#port = port;
    this.#peer = peer;
    this.#idleMs = this.#resetMs = port.nowMs;
    this.#session = http2.performServerHandshake(duplex, { settings });
    this.#session.on("stream", (stream, headers) => this.#take(stream, headers));
    // What breaks the session ends it; its requests are told by their streams.
    this.#session.on("error", () => this.close());
    duplex.on("error", () => this.close());
    duplex.once("close", () => {
      this.close();
      onEnd();
    });
  }

  get deadlineMs(): number {
    if (this.#exchanges.size === 0) return this.#idleMs + this.#port.limits.keepAliveMs;
    let least = Infinity;
    for (const { deadlineMs } of this.#exchanges) least = Math.min(least, deadlineMs);
    return least;
  }

  expired(): void {
    if (this.#exchanges.size === 0) return this.close();
    for (const exchange of this.#exchanges) if (exchange.deadlineMs <= this.#port.nowMs) exchange.expired();
  }

  drain(): void {
    if (this.#exchanges.size === 0) this.close();
    else this.#session.close();
  }

  close(): void {
    if (!this.#session.destroyed) this.#session.destroy();
  }

  #take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const exchange = new Http2Exchange(stream, headers, this.#port, this.#peer);
    this.#exchanges.add(exchange);
    stream.once("close", () => {
      this.#exchanges.delete(exchange);
      this.#idleMs = this.#port.nowMs;
      if (exchange.abandoned) this.#countReset();
      if (this.#port.draining && this.#exchanges.size === 0) this.close();
    });
    void exchange.run();
  }

  #countReset(): void {
    const sinceS = (this.#port.nowMs - this.#resetMs) / 1000;
    this.#resetMs = this.#port.nowMs;
    this.#resetsLeft = Math.min(resetsMax, this.#resetsLeft + sinceS * resetsPerS) - 1;
    if (this.#resetsLeft < 0) this.#session.destroy(undefined, NGHTTP2_ENHANCE_YOUR_CALM);
  }
}
