/** The ports: HTTP/1.1 and HTTP/2 over sockets of the runtime's, in the clear or behind TLS. */
import { type Clock, closeQuietly, type KeyPair } from "../core/mod.ts";
import { serveHttp2 } from "./http/http2_connection.ts";
import { type ClientStream, Http1Connection } from "./http/http1_connection.ts";
import { Port, type PortConnection, type PortLimits, portLimits } from "./http/port.ts";
import { crowdedAnswer } from "./http/refusal.ts";
import { writeAnswer } from "./http/answer_writer.ts";
import type { Handler } from "./http/request.ts";

export interface ListenerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly clock: Clock;
  /** An answer could not be finished: its body failed on the way out. */
  readonly onError: (error: unknown) => void;
  /** Several listeners may share the port: the system spreads connections over them. */
  readonly reusePort?: boolean;
  /** Absent: the port is in the clear. */
  readonly tls?: KeyPair;
  readonly limits?: Partial<PortLimits>;
}

type Socket = Deno.Listener<Deno.TcpConn | Deno.TlsConn>;

/** An open port. */
export class Listener {
  readonly port: number;
  readonly #options: ListenerOptions;
  readonly #connections: Port;
  readonly #serving = new Set<Promise<void>>();
  #socket: Socket;
  #accepting: Promise<void>;

  private constructor(socket: Socket, connections: Port, options: ListenerOptions) {
    this.#socket = socket;
    this.#connections = connections;
    this.#options = options;
    this.port = (socket.addr as Deno.NetAddr).port;
    this.#accepting = this.#accept(socket);
  }

  /** Opens the port. Rejects with the system's error, which has a `code` such as `EADDRINUSE`. */
  static open(handler: Handler, options: ListenerOptions): Promise<Listener> {
    return new Promise((resolve) => {
      const { clock, onError, limits, host, port, tls, reusePort } = options;
      // With TLS the port can be shared: without this look, two routers on one port would not notice each other.
      if (tls && !reusePort) Deno.listen({ hostname: host, port }).close();
      const socket = listen(options, options.port, options.tls);
      resolve(new Listener(socket, new Port(handler, clock, { ...portLimits, ...limits }, onError), options));
    });
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#connections.connections;
  }

  /**
   * New connections get this certificate once it resolves; those that are open go on with theirs. Rejects, and changes
   * nothing, when it cannot be used. The runtime binds a certificate to the listening socket, so a second one takes over: a
   * connection that the system has handed the first one, and that was not accepted yet, is reset.
   */
  async renew(tls: KeyPair): Promise<void> {
    if (this.#connections.draining) return;
    const socket = listen(this.#options, this.port, tls);
    closeQuietly(this.#socket);
    this.#socket = socket;
    const before = this.#accepting;
    this.#accepting = this.#accept(socket);
    await before;
  }

  /** Takes no new connection; resolves when those that are open have ended. */
  async drain(): Promise<void> {
    closeQuietly(this.#socket);
    await this.#accepting;
    await this.#connections.drain();
    await Promise.all(this.#serving);
  }

  /** Closes the port and every connection as it stands. */
  async close(): Promise<void> {
    closeQuietly(this.#socket);
    await this.#accepting;
    await this.#connections.close();
    await Promise.all(this.#serving);
  }

  #track(work: Promise<void>): void {
    this.#serving.add(work);
    const done = () => void this.#serving.delete(work);
    work.then(done, done);
  }

  async #accept(socket: Socket): Promise<void> {
    for (;;) {
      let stream;
      try {
        stream = await socket.accept();
      } catch (error) {
        if (isClosed(error)) return;
        // A handshake that failed, or no file descriptor left: the next one may do better.
        await pause(this.#options.clock);
        continue;
      }
      this.#track(this.#serve(stream));
    }
  }

  async #serve(stream: Deno.TcpConn | Deno.TlsConn): Promise<void> {
    const port = this.#connections;
    port.wake();
    if (port.connections >= port.limits.connectionsMax) {
      // An answer would wait for the handshake, and nobody watches one that is not counted.
      return "handshake" in stream ? closeQuietly(stream) : await refuse(stream, port);
    }
    try {
      if ("handshake" in stream) {
        if (await handshake(stream, port) === "h2") return serveHttp2(stream, port, undefined);
      } else stream.setNoDelay(true);
    } catch {
      return closeQuietly(stream);
    }
    await new Http1Connection(stream, port).serve((begun) => serveHttp2(stream, port, begun));
  }
}

function listen({ host, reusePort }: ListenerOptions, port: number, tls: KeyPair | undefined): Socket {
  if (!tls) return Deno.listen({ hostname: host, port, reusePort });
  // Shared with itself, so that the next certificate's socket can be opened before this one is closed.
  return Deno.listenTls({ hostname: host, port, reusePort: true, ...tls, alpnProtocols: ["h2", "http/1.1"] });
}

function isClosed(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted;
}

function pause(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.after(10, resolve, { background: true }));
}

/** The protocol a client chose; it has as long as for a head. */
async function handshake(stream: Deno.TlsConn, port: Port): Promise<string | null> {
  const connection: PortConnection = {
    deadlineMs: port.nowMs + port.limits.headMs,
    expired: () => closeQuietly(stream),
    drain: () => closeQuietly(stream),
    close: () => closeQuietly(stream),
  };
  port.add(connection);
  try {
    return (await stream.handshake()).alpnProtocol;
  } finally {
    port.remove(connection);
  }
}

/** Answers that there are too many connections. Nothing is waited for: whoever floods the port gets no hold on it. */
async function refuse(stream: ClientStream, { date }: Port): Promise<void> {
  try {
    const sink = { write: (bytes: Uint8Array) => stream.write(bytes), wrote() {} };
    await writeAnswer(crowdedAnswer(), { method: "GET", minor: 1, stays: false, date }, sink);
    await stream.closeWrite?.();
  } catch {
    // It has left.
  }
  closeQuietly(stream);
}
