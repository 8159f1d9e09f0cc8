/** Connections to model servers: dialled, kept alive, given to one exchange at a time, watched for silence. */
import { type Clock, closeQuietly, type KeyPair, systemClock, type Timer, unbracketed } from "../core/mod.ts";
import { type ByteGate, type ByteSink, Http1Error, type ResponseHead, SinkFailure } from "../protocol/mod.ts";
import { type ByteStream, Http1Connection } from "./http1.ts";
import { dialWithIdentity, shaken } from "./tls.ts";

/** Where to connect; an `EndpointMeta` is one. */
export interface UpstreamTarget {
  readonly scheme: "http" | "https";
  /** IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
}

export interface UpstreamOptions {
  /** To an open connection, TLS included. */
  readonly connectTimeoutMs: number;
  /**
   * From the request sent to the head of the answer, and from there to the first byte of its body. Long: a queued prompt may
   * wait minutes for its turn.
   */
  readonly firstByteTimeoutMs: number;
  /** Longest silence inside a body. */
  readonly idleTimeoutMs: number;
  /** Idle connections kept for one target. */
  readonly idleConnectionsMax: number;
  /** How long an idle connection is kept. Below the 5 s after which uvicorn closes its side. */
  readonly keepAliveMs: number;
  /** PEM certificates trusted beside the system's. */
  readonly caCerts?: readonly string[];
  /** The certificate and key shown to servers that ask; asked for at each new connection. */
  readonly identity?: () => KeyPair | undefined;
  readonly clock?: Clock;
  readonly dial?: (target: UpstreamTarget, signal: AbortSignal) => Promise<ByteStream>;
}

export const upstreamDefaults: UpstreamOptions = {
  connectTimeoutMs: 2_000,
  firstByteTimeoutMs: 600_000,
  idleTimeoutMs: 120_000,
  idleConnectionsMax: 256,
  keepAliveMs: 4_000,
};

export type FailureKind =
  | "connect"
  | "connect-timeout"
  | "first-byte-timeout"
  | "first-token-timeout"
  | "idle-timeout"
  | "reset"
  | "protocol"
  | "cancelled";

/** An exchange that did not come to its end. `cause` holds the system's error. */
export class UpstreamFailure extends Error {
  override readonly name = "UpstreamFailure";
  constructor(readonly kind: FailureKind, message: string, cause?: unknown) {
    super(message, { cause });
  }
}

export interface UpstreamRequest {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  /** `name: value` lines, each ended by CRLF; host and framing are added. */
  readonly headerLines: string;
  readonly body?: Uint8Array;
  /** From the request sent to the first token, which the reader tells of by `sawToken`; absent: not watched. */
  readonly firstTokenTimeoutMs?: number;
}

interface IdleConnection {
  readonly connection: Http1Connection;
  readonly sinceMs: number;
}

export class UpstreamClient {
  /** Replaced as a whole when configuration is read again. */
  options: UpstreamOptions;
  readonly #clock: Clock;
  readonly #idle = new Map<string, IdleConnection[]>();
  readonly #active = new Set<Exchange>();
  #watch: Timer | undefined;
  #closed = false;

  constructor(options: Partial<UpstreamOptions> = {}) {
    this.options = { ...upstreamDefaults, ...options };
    this.#clock = this.options.clock ?? systemClock;
  }

  /** Exchanges that have not ended. */
  get active(): number {
    return this.#active.size;
  }

  get idleConnections(): number {
    let count = 0;
    for (const list of this.#idle.values()) count += list.length;
    return count;
  }

  /** Begins an exchange; `head` and `read` of what it returns give the answer. */
  send(target: UpstreamTarget, request: UpstreamRequest): Exchange {
    const exchange = new Exchange(this, target, request, this.#clock);
    this.#active.add(exchange);
    this.#startWatch();
    return exchange;
  }

  /** Closes the connections that are not in use. */
  closeIdle(): void {
    for (const list of this.#idle.values()) for (const { connection } of list) connection.close();
    this.#idle.clear();
  }

  /** Ends every exchange and connection. */
  close(): void {
    this.#closed = true;
    for (const exchange of this.#active) exchange.cancel();
    this.closeIdle();
    this.#watch?.cancel();
  }

  /** @internal An idle connection to the target, newest first, or undefined. */
  takeIdle(target: UpstreamTarget): Http1Connection | undefined {
    const list = this.#idle.get(keyOf(target));
    const newest = list?.pop();
    if (list?.length === 0) this.#idle.delete(keyOf(target));
    if (!newest) return undefined;
    if (this.#clock.now() - newest.sinceMs <= this.options.keepAliveMs && newest.connection.reusable) {
      return newest.connection;
    }
    newest.connection.close();
    return undefined;
  }

  /** @internal */
  async dial(target: UpstreamTarget, signal: AbortSignal): Promise<Http1Connection> {
    if (this.options.dial) return new Http1Connection(await this.options.dial(target, signal));
    const identity = target.scheme === "https" ? this.options.identity?.() : undefined;
    if (identity) return new Http1Connection(await dialWithIdentity(target, identity, this.#caCerts(), signal));
    const tcp = await Deno.connect({ hostname: unbracketed(target.host), port: target.port, signal });
    try {
      tcp.setNoDelay(true);
      return new Http1Connection(target.scheme === "https" ? await this.#dialTls(target, tcp, signal) : tcp);
    } catch (error) {
      // The TLS connection may have taken it over and closed it.
      closeQuietly(tcp);
      throw error;
    }
  }

  async #dialTls(target: UpstreamTarget, tcp: Deno.TcpConn, signal: AbortSignal): Promise<Deno.TlsConn> {
    const tls = await Deno.startTls(tcp, {
      hostname: unbracketed(target.host),
      caCerts: this.#caCerts(),
      alpnProtocols: ["http/1.1"],
    });
    return await shaken(tls, signal);
  }

  #caCerts(): string[] | undefined {
    return this.options.caCerts && [...this.options.caCerts];
  }

  /** @internal An exchange has ended; its connection is kept when it may be used again. */
  ended(exchange: Exchange, target: UpstreamTarget, connection: Http1Connection | undefined): void {
    this.#active.delete(exchange);
    if (!connection) return;
    if (!connection.reusable || this.#closed) return connection.close();
    const key = keyOf(target);
    const list = this.#idle.get(key) ?? [];
    if (list.length >= this.options.idleConnectionsMax) return connection.close();
    const entry = { connection, sinceMs: this.#clock.now() };
    list.push(entry);
    connection.rest(() => this.#forgetIdle(key, entry));
    this.#idle.set(key, list);
    this.#startWatch();
  }

  #forgetIdle(key: string, entry: IdleConnection): void {
    const list = this.#idle.get(key);
    const at = list?.indexOf(entry) ?? -1;
    if (at >= 0) list!.splice(at, 1);
    if (list?.length === 0) this.#idle.delete(key);
  }

  // One timer looks at all exchanges and idle connections four times a second: a timer for every chunk would cost more than the chunk.
  #startWatch(): void {
    if (this.#watch || this.#closed) return;
    this.#watch = this.#clock.after(250, () => {
      this.#watch = undefined;
      const now = this.#clock.now();
      for (const exchange of this.#active) exchange.checkDeadline(now);
      this.#closeStale(now);
      if (this.#active.size > 0 || this.#idle.size > 0) this.#startWatch();
    }, { background: true });
  }

  #closeStale(now: number): void {
    for (const [key, list] of this.#idle) {
      while (list.length > 0 && now - list[0].sinceMs > this.options.keepAliveMs) list.shift()!.connection.close();
      if (list.length === 0) this.#idle.delete(key);
    }
  }
}

function keyOf(target: UpstreamTarget): string {
  return `${target.scheme}://${target.host}:${target.port}`;
}

/** One request and its answer. Ends by the body's end, a failure or `cancel`; what it holds is given back then. */
export class Exchange {
  readonly #client: UpstreamClient;
  readonly #target: UpstreamTarget;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  #connection: Http1Connection | undefined;
  #ended = false;
  #sawBody = false;
  #deadlineMs: number;
  #deadlineKind: FailureKind = "connect-timeout";
  #tokenDeadlineMs = Infinity;
  /** Reads at the last look, while the body is pumped. */
  #pumped: number | undefined;
  #timedOut: FailureKind | undefined;
  /** The answer's head; rejects with `UpstreamFailure`. */
  readonly head: Promise<ResponseHead>;

  constructor(client: UpstreamClient, target: UpstreamTarget, request: UpstreamRequest, clock: Clock) {
    this.#client = client;
    this.#target = target;
    this.#clock = clock;
    this.#deadlineMs = clock.now() + client.options.connectTimeoutMs;
    this.head = this.#run(request);
    // Whoever cancels before awaiting the head must not see an unhandled rejection.
    this.head.catch(() => {});
  }

  /** The next body bytes; null at the end. Rejects with `UpstreamFailure`. */
  async read(): Promise<Uint8Array | null> {
    if (this.#ended) return this.#over();
    // Engines send the head at once and the first token when its prompt is done: that wait is a first-byte wait.
    const { firstByteTimeoutMs, idleTimeoutMs } = this.#client.options;
    this.#deadlineMs = this.#clock.now() + (this.#sawBody ? idleTimeoutMs : firstByteTimeoutMs);
    this.#deadlineKind = this.#sawBody ? "idle-timeout" : "first-byte-timeout";
    try {
      const bytes = await this.#connection!.read();
      this.#sawBody = true;
      // While the reader is busy with these bytes the server is not the silent one.
      this.#deadlineMs = Infinity;
      if (bytes === null) this.#end();
      return bytes;
    } catch (error) {
      throw this.#fail(error);
    }
  }

  /**
   * As `read`, but whole chunks that `gate` lets pass go to `sink` at once; for a body that has begun. Rejects with
   * `SinkFailure` when the sink fails.
   */
  async pump(gate: ByteGate, sink: ByteSink): Promise<Uint8Array | null> {
    if (this.#ended) return this.#over();
    this.#pumped = this.#connection!.reads;
    try {
      const bytes = await this.#connection!.pump(gate, sink);
      this.#pumped = undefined;
      this.#deadlineMs = Infinity;
      if (bytes === null) this.#end();
      return bytes;
    } catch (error) {
      if (!(error instanceof SinkFailure)) throw this.#fail(error);
      this.cancel();
      throw error;
    }
  }

  /** Nothing more comes of an exchange that has ended. */
  #over(): null {
    if (this.#abort.signal.aborted) throw this.#failure(undefined);
    return null;
  }

  /** The body read so far holds a token, or whatever else the reader was waiting for. */
  sawToken(): void {
    this.#tokenDeadlineMs = Infinity;
  }

  /** Drops the exchange in whatever phase it is; the server sees its connection close. */
  cancel(): void {
    if (this.#ended) return;
    this.#abort.abort();
    this.#connection?.close();
    this.#end();
  }

  /** @internal */
  checkDeadline(now: number): void {
    if (this.#ended) return;
    this.#watchPump(now);
    if (now < Math.min(this.#deadlineMs, this.#tokenDeadlineMs)) return;
    this.#timedOut = now < this.#deadlineMs ? "first-token-timeout" : this.#deadlineKind;
    this.cancel();
  }

  /** Silence of a pumped body is told by its reads: the clock is not asked at every chunk. */
  #watchPump(now: number): void {
    if (this.#pumped === undefined) return;
    const { reads, reading } = this.#connection!;
    if (!reading) this.#deadlineMs = Infinity;
    else if (reads !== this.#pumped || this.#deadlineMs === Infinity) {
      this.#pumped = reads;
      this.#deadlineMs = now + this.#client.options.idleTimeoutMs;
      this.#deadlineKind = "idle-timeout";
    }
  }

  #end(): void {
    this.#ended = true;
    this.#client.ended(this, this.#target, this.#connection);
  }

  async #run(request: UpstreamRequest): Promise<ResponseHead> {
    const idle = this.#client.takeIdle(this.#target);
    if (idle) {
      try {
        return await this.#exchange(idle, request);
      } catch (error) {
        // The server may close an idle connection at any time; with no byte of an answer a fresh one is as good as the first.
        if (idle.sawByte || this.#abort.signal.aborted) throw this.#fail(error);
        idle.close();
      }
    }
    this.#connection = undefined;
    this.#deadlineMs = this.#clock.now() + this.#client.options.connectTimeoutMs;
    this.#deadlineKind = "connect-timeout";
    let connection: Http1Connection;
    try {
      connection = await this.#client.dial(this.#target, this.#abort.signal);
    } catch (error) {
      const failure = this.#abort.signal.aborted
        ? this.#failure(error)
        : new UpstreamFailure("connect", `Cannot connect to ${this.#target.host}:${this.#target.port}`, error);
      this.cancel();
      throw failure;
    }
    if (this.#abort.signal.aborted) {
      connection.close();
      throw this.#failure(undefined);
    }
    try {
      return await this.#exchange(connection, request);
    } catch (error) {
      throw this.#fail(error);
    }
  }

  async #exchange(connection: Http1Connection, request: UpstreamRequest): Promise<ResponseHead> {
    this.#connection = connection;
    this.#deadlineMs = this.#clock.now() + this.#client.options.firstByteTimeoutMs;
    this.#deadlineKind = "first-byte-timeout";
    this.#tokenDeadlineMs = this.#clock.now() + (request.firstTokenTimeoutMs ?? Infinity);
    const head = await connection.exchange(request.method, this.#headText(request), request.body);
    this.#deadlineMs = Infinity;
    return head;
  }

  #headText(request: UpstreamRequest): string {
    const length = request.body ? `content-length: ${request.body.length}\r\n` : "";
    return `${request.method} ${request.path} HTTP/1.1\r\nhost: ${this.#target.host}:${this.#target.port}\r\n${request.headerLines}${length}\r\n`;
  }

  #fail(error: unknown): UpstreamFailure {
    const failure = this.#failure(error);
    this.cancel();
    return failure;
  }

  #failure(error: unknown): UpstreamFailure {
    const where = `${this.#target.host}:${this.#target.port}`;
    if (this.#timedOut) return new UpstreamFailure(this.#timedOut, `No answer from ${where} in time`, error);
    if (this.#abort.signal.aborted) return new UpstreamFailure("cancelled", `Request to ${where} was cancelled`, error);
    if (error instanceof Http1Error && !error.message.startsWith("Connection ended")) {
      return new UpstreamFailure("protocol", `${where}: ${error.message}`, error);
    }
    return new UpstreamFailure("reset", `Connection to ${where} ended early`, error);
  }
}
