/**
 * The HTTP/1.1 ports, on `node:http`. `Deno.serve` 2.9 does not tell when a client leaves before its answer has begun if
 * the request took more than one read (about 512 bytes); the work for such a client would run to its end.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { type Clock, RouterError } from "../core/mod.ts";
import { type BodySource, SourcedResponse } from "../pipeline/mod.ts";
import { errorBody, errorResponse, errorShape } from "../protocol/mod.ts";

export interface ListenerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Others may listen on the same port: the system spreads connections over them. */
  readonly reusePort?: boolean;
  readonly clock: Clock;
  /** An answer could not be finished: its body failed on the way out. */
  readonly onError: (error: unknown) => void;
}

const headBytesMax = 65_536;
// Above the 60 s after which common load balancers close an idle connection: the side that may send closes first.
const keepAliveMs = 75_000;
// A head is one packet or two; a body of 64 MiB takes 256 s at 2 Mbit/s.
const headersMs = 30_000;
const requestMs = 300_000;
// A client that takes no byte for so long has gone without saying so; the model server's place is worth more.
const stallMs = 120_000;

/** What the apps are told of a request beside the `Request` itself, as Hono's bindings. */
export interface Bindings {
  /** Address of the other side of the connection. */
  readonly peer: string;
  /** The body as it arrives; rejects when the client leaves before its end. */
  readonly incoming: AsyncIterable<Uint8Array>;
}

type Handler = (request: Request, bindings: Bindings) => Response | Promise<Response>;

const refusals = { 400: "Bad Request", 405: "Method Not Allowed", 408: "Request Timeout" } as const;

/** Answers what did not become a request, and closes. Its path is not known, so the error has OpenAI's shape. */
function refuseRaw(socket: Socket, status: keyof typeof refusals, reason: string): void {
  if (!socket.writable) return void socket.destroy();
  const error = new RouterError("bad-request", `Cannot read the request: ${reason}`);
  const body = errorBody(error, "openai", "");
  const head = `HTTP/1.1 ${status} ${refusals[status]}`;
  socket.end(
    `${head}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}

/** An open port. */
export class Listener {
  readonly port: number;
  readonly #server: ReturnType<typeof createServer>;

  private constructor(server: ReturnType<typeof createServer>) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** Opens the port. Rejects with the system's error, which has a `code` such as `EADDRINUSE`. */
  static open(handler: Handler, { host, port, reusePort = false, clock, onError }: ListenerOptions): Promise<Listener> {
    const server = createServer({
      maxHeaderSize: headBytesMax,
      keepAliveTimeout: keepAliveMs,
      requireHostHeader: false,
      headersTimeout: headersMs,
      requestTimeout: requestMs,
    });
    const turns: Turns = { last: new WeakMap(), begun: new WeakSet() };
    const take = (incoming: IncomingMessage, outgoing: ServerResponse) => {
      answer(handler, incoming, outgoing, turns, clock).catch((error) => {
        outgoing.destroy();
        onError(error);
      });
    };
    server.on("request", take);
    server.on("checkContinue", take);
    // An expectation other than 100-continue asks for nothing the router knows: the request is judged by the rest of it.
    server.on("checkExpectation", take);
    const refuse = (socket: Socket, status: keyof typeof refusals, reason: string) => {
      // In the middle of an answer a refusal would be taken for its body.
      if (turns.begun.has(socket)) socket.destroy();
      else refuseRaw(socket, status, reason);
    };
    server.on("clientError", ({ code }: { code?: string }, socket: Socket) => {
      if (code === "ERR_HTTP_REQUEST_TIMEOUT") refuse(socket, 408, "it did not arrive in time");
      else refuse(socket, 400, "it is not valid HTTP/1.1");
    });
    server.on("connect", (_request, socket: Socket) => refuse(socket, 405, "the router is no tunnel"));
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ port, host, reusePort }, () => resolve(new Listener(server)));
    });
  }

  /** Takes no new connection; resolves when those that are open have ended. */
  async drain(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
  }

  /** Closes the port and every connection as it stands. */
  async close(): Promise<void> {
    const closed = this.drain();
    this.#server.closeAllConnections();
    await closed;
  }
}

/** What is under way on each connection: the answer its next request waits for, and whether one has begun. */
interface Turns {
  readonly last: WeakMap<Socket, Promise<void>>;
  readonly begun: WeakSet<Socket>;
}

/**
 * Answers one request. Requests of one connection are served one after the other, as their answers must be sent: work for
 * a later one would go on unseen if the client left while an earlier answer was on its way.
 */
async function answer(
  handler: Handler,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  turns: Turns,
  clock: Clock,
): Promise<void> {
  const { socket } = incoming;
  const gone = new AbortController();
  const leave = () => gone.abort(new DOMException("The client left", "AbortError"));
  const before = turns.last.get(socket);
  const turn = Promise.withResolvers<void>();
  turns.last.set(socket, turn.promise);
  try {
    if (before) await before;
    if (socket.destroyed) return;
    socket.once("close", leave);
    const request = requestOf(incoming, gone.signal);
    const body = new IncomingBody(incoming, outgoing);
    const response = request instanceof Request
      ? await handler(request, { peer: socket.remoteAddress ?? "", incoming: body })
      : request;
    // It may send its body yet or leave it: only the end of the connection says which.
    if (body.withheld) outgoing.setHeader("connection", "close");
    // What was not read of a refused body is let go, so that a client still sending gets to read its answer.
    if (!incoming.readableEnded) incoming.resume();
    turns.begun.add(socket);
    await send(response, outgoing, incoming.httpVersion === "1.1", () => drained(outgoing, gone.signal, clock));
  } catch (error) {
    // To a client that left nothing is owed.
    if (!gone.signal.aborted) throw error;
  } finally {
    socket.off("close", leave);
    turns.begun.delete(socket);
    if (turns.last.get(socket) === turn.promise) turns.last.delete(socket);
    turn.resolve();
  }
}

/** The body; leaving it half read does not end the connection, which still has to carry the answer. */
class IncomingBody implements AsyncIterable<Uint8Array> {
  /** The client asked whether to send it, and was not told to yet. */
  withheld: boolean;
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;

  constructor(incoming: IncomingMessage, outgoing: ServerResponse) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.withheld = incoming.httpVersion === "1.1" && /^100-continue$/i.test(incoming.headers.expect ?? "");
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    if (this.withheld) this.#outgoing.writeContinue();
    this.withheld = false;
    return this.#incoming.iterator({ destroyOnReturn: false });
  }
}

// Methods that the platform's `Request` refuses, with reason: they speak to the hop, not to the model server.
const hopMethods = new Set(["CONNECT", "TRACE", "TRACK"]);

/**
 * The head as a `Request`; its body comes with the bindings, since a stream of its own would cost a copy. The authority
 * is not the client's: nothing reads it, and a bad one would make no URL. A head that cannot be one is answered.
 */
function requestOf(incoming: IncomingMessage, signal: AbortSignal): Request | Response {
  const { rawHeaders, url = "/", method = "GET" } = incoming;
  const path = url.startsWith("/") ? url : `/${url.replace(/^https?:\/\/[^/?#]*\/?/i, "")}`;
  const refuse = (message: string, status: number) => {
    const error = new RouterError("bad-request", message, status === 405 ? { code: "method_not_allowed" } : {});
    const { body, headers } = errorResponse(error, errorShape(path), crypto.randomUUID());
    headers.set("connection", "close");
    return new Response(body, { status, headers });
  };
  if (hopMethods.has(method)) return refuse(`Cannot ${method}: the router does not take this method`, 405);
  if (!soundHead(incoming)) {
    return refuse("Cannot read the request: it must be HTTP/1.1 with one host header, or HTTP/1.0", 400);
  }
  try {
    const headers = new Headers();
    for (let i = 0; i < rawHeaders.length; i += 2) headers.append(rawHeaders[i], rawHeaders[i + 1]);
    return new Request(`http://router${path}`, { method, headers, signal });
  } catch {
    return refuse("Cannot read the request: its method, path or headers are malformed", 400);
  }
}

/** RFC 9112 section 3.2: one host, no more, and none only before HTTP/1.1. */
function soundHead({ httpVersion, rawHeaders }: IncomingMessage): boolean {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i].toLowerCase() === "host") hosts++;
  return httpVersion === "1.1" ? hosts === 1 : httpVersion === "1.0" && hosts <= 1;
}

/** Writes the answer as its bytes come, waiting while the client takes none. `chunks`: the client reads chunked bodies. */
async function send(
  response: Response,
  outgoing: ServerResponse,
  chunks: boolean,
  drained: () => Promise<void>,
): Promise<void> {
  const headers: string[] = [];
  response.headers.forEach((value, name) => headers.push(name, value));
  const source = response instanceof SourcedResponse ? response.source : sourceOf(response);
  const framed = chunks && source !== undefined && !response.headers.has("content-length");
  if (framed) headers.push("transfer-encoding", "chunked");
  outgoing.writeHead(response.status, headers);
  // The server would write size, data and line end of each chunk as three pieces, at 20 us a chunk.
  if (framed) outgoing.chunkedEncoding = false;
  try {
    for (let bytes = await source?.read(); bytes; bytes = await source?.read()) {
      if (bytes.length === 0) continue;
      if (!outgoing.write(framed ? chunkOf(bytes) : bytes)) await drained();
      if (outgoing.destroyed) return;
    }
    outgoing.end(framed ? lastChunk : undefined);
  } finally {
    source?.cancel();
  }
}

const lastChunk = "0\r\n\r\n";

/** One chunk of a chunked body (RFC 9112 section 7.1). */
function chunkOf(bytes: Uint8Array): Uint8Array {
  const size = bytes.length.toString(16);
  const from = size.length + 2;
  const out = new Uint8Array(from + bytes.length + 2);
  for (let i = 0; i < size.length; i++) out[i] = size.charCodeAt(i);
  out[from - 2] = out[from + bytes.length] = 0x0d;
  out[from - 1] = out[from + bytes.length + 1] = 0x0a;
  out.set(bytes, from);
  return out;
}

/** The body of an ordinary response. */
function sourceOf({ body }: Response): BodySource | undefined {
  if (!body) return undefined;
  const reader = body.getReader();
  return { read: async () => (await reader.read()).value ?? null, cancel: () => void reader.cancel() };
}

/** Resolves when the client has taken what was written, or is gone; one that takes nothing for too long is cut off. */
function drained(outgoing: ServerResponse, gone: AbortSignal, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const stall = clock.after(stallMs, () => outgoing.destroy(), { background: true });
    const done = () => {
      stall.cancel();
      outgoing.off("drain", done);
      gone.removeEventListener("abort", done);
      resolve();
    };
    outgoing.on("drain", done);
    gone.addEventListener("abort", done);
    if (gone.aborted) done();
  });
}
