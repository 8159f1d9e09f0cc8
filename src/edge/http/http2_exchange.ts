import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import { type Answer, isSource } from "../../pipeline/mod.ts";
import { checkMethod, Fields, hasNoBody, Http1Error, originForm, refuseTrace } from "../../protocol/mod.ts";
import { ownFields } from "./answer_head.ts";
import type { Port } from "./port.ts";
import { refusalOf } from "./refusal.ts";
import type { ClientBody, ClientRequest } from "./request.ts";

/** Fields of HTTP/1.1's connections, which HTTP/2 does not know. */
const connectionFields = new Set([...ownFields, "upgrade"]);

/** One request of an HTTP/2 connection and its answer. */
export class Http2Exchange {
  /** On the port's clock; Infinity while nothing is due. */
  deadlineMs: number;
  /** The client took its request back before it was answered. */
  abandoned = false;
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #port: Port;
  readonly #gone = new AbortController();
  #done = false;
  /** Wakes a write that waits for the client's window. */
  #wake: (() => void) | undefined;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, port: Port, readonly peer: string) {
    this.#stream = stream;
    this.#headers = headers;
    this.#port = port;
    this.deadlineMs = port.nowMs + port.limits.requestMs;
    // A reset is told by `close` as well; unheard, an error would end the process.
    stream.on("error", () => {});
    stream.on("drain", () => this.#wake?.());
    stream.once("close", () => {
      this.abandoned = !this.#done;
      this.#leave();
    });
  }

  expired(): void {
    this.deadlineMs = Infinity;
    this.#stream.destroy();
    this.#leave();
  }

  #leave(): void {
    this.#gone.abort(new DOMException("The client left", "AbortError"));
    this.#wake?.();
  }

  async run(): Promise<void> {
    try {
      await this.#send(await this.#answer());
    } catch (error) {
      // To a client that left nothing is owed.
      if (!this.#gone.signal.aborted) this.#port.onError(error);
      this.#stream.destroy();
    }
  }

  #answer(): Answer | Promise<Answer> {
    let request: ClientRequest;
    try {
      request = this.#request();
    } catch (error) {
      if (!(error instanceof Http1Error || error instanceof TypeError)) throw error;
      return refusalOf(error instanceof Http1Error ? error : new Http1Error("its headers are malformed"));
    }
    return this.#port.handler(request);
  }

  #request(): ClientRequest {
    const { ":method": method = "", ":path": target = "" } = this.#headers;
    checkMethod(method);
    refuseTrace(method);
    const headers = fieldsOf(this.#headers);
    const length = headers.get("content-length");
    if (length !== null && !/^\d{1,18}$/.test(length)) throw new Http1Error("it has a malformed content-length");
    const declared = this.#stream.endAfterHeaders ? 0 : length === null ? undefined : Number(length);
    const body = new Http2Body(this.#stream, declared, () => {
      this.deadlineMs = Infinity;
    });
    return { method, path: originForm(method, target), headers, peer: this.peer, signal: this.#gone.signal, body };
  }

  async #send({ status, headers, body }: Answer): Promise<void> {
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) {
      if (isSource(body)) body.cancel();
      return;
    }
    const bodyless = hasNoBody(this.#headers[":method"] ?? "", status);
    const fields: OutgoingHttpHeaders = { ":status": status };
    headers.forEach((value, name) => {
      if (!connectionFields.has(name)) fields[name] = name in fields ? [fields[name], value].flat() as string[] : value;
    });
    if (!("date" in fields)) fields.date = this.#port.date;
    if (!bodyless && !isSource(body)) fields["content-length"] = String(body?.length ?? 0);
    const empty = bodyless || body === null;
    try {
      stream.respond(fields, { endStream: empty });
      if (isSource(body) && !empty) {
        for (let bytes = await body.read(); bytes; bytes = await body.read()) {
          if (bytes.length > 0) await this.#write(bytes);
        }
      } else if (body && !isSource(body) && !empty) await this.#write(body);
      this.#done = true;
      if (!empty) stream.end();
      // What is buffered waits for the client's window.
      this.deadlineMs = this.#port.nowMs + this.#port.limits.stallMs;
      // What a refused client still sends is not asked for.
      if (!stream.readableEnded && !stream.endAfterHeaders) stream.close();
    } finally {
      if (isSource(body)) body.cancel();
    }
  }

  /** Resolves when the client's window has room for more. */
  async #write(bytes: Uint8Array): Promise<void> {
    const { signal } = this.#gone;
    signal.throwIfAborted();
    if (this.#stream.write(bytes)) return;
    this.deadlineMs = this.#port.nowMs + this.#port.limits.stallMs;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    signal.throwIfAborted();
    this.deadlineMs = Infinity;
  }
}

function fieldsOf(headers: IncomingHttpHeaders): Fields {
  const fields = new Fields();
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(":") || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) fields.append(name, one);
  }
  return fields;
}

/** The body of one request; its window opens as it is read. */
class Http2Body implements ClientBody {
  readonly length: number | undefined;
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #onEnd: () => void;
  #piece: Uint8Array = new Uint8Array();
  /** Bytes to come as declared; Infinity where only the end tells. */
  #left: number;

  constructor(stream: ServerHttp2Stream, length: number | undefined, onEnd: () => void) {
    this.length = length;
    this.#left = length ?? Infinity;
    this.#pieces = stream.iterator({ destroyOnReturn: false });
    this.#onEnd = onEnd;
    if (length === 0) onEnd();
  }

  /** Whoever reads as much as was declared does not ask for the end. */
  #finish(): void {
    this.#onEnd();
    this.#pieces.next().catch(() => {});
  }

  async readInto(target: Uint8Array): Promise<number> {
    if (this.#left <= 0) return 0;
    while (this.#piece.length === 0) {
      const { value, done } = await this.#pieces.next();
      if (done) {
        this.#onEnd();
        return 0;
      }
      this.#piece = value;
    }
    const n = Math.min(target.length, this.#piece.length);
    target.set(this.#piece.subarray(0, n));
    this.#piece = this.#piece.subarray(n);
    this.#left -= n;
    if (this.#left === 0) this.#finish();
    return n;
  }
}
