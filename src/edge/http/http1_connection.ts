import { closeQuietly } from "../../core/mod.ts";
import { type Answer, isSource } from "../../pipeline/mod.ts";
import {
  type ByteSink,
  Http1Error,
  keepsAlive,
  lists,
  parseRequestHead,
  refuseTrace,
  requestFraming,
  type RequestHead,
  SinkFailure,
  textOf,
  writeTo,
} from "../../protocol/mod.ts";
import type { ByteStream } from "../../upstream/mod.ts";
import { writeAnswer } from "./answer_writer.ts";
import { Http1Body } from "./http1_body.ts";
import { Input } from "./input.ts";
import type { Port, PortConnection } from "./port.ts";
import { refusalOf } from "./refusal.ts";

/** The stream of a connection; it can be closed for writing alone. */
export interface ClientStream extends ByteStream {
  readonly remoteAddr?: Deno.Addr;
  closeWrite?(): Promise<void>;
}

/** The address of a connection's other side; "" where it has none. */
export function peerOf({ remoteAddr }: ClientStream): string {
  return remoteAddr && "hostname" in remoteAddr ? remoteAddr.hostname : "";
}

/** What a handler left unread of a body is read to keep the connection, up to this much. */
const skippedBytesMax = 262_144;

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const proceedLine = new TextEncoder().encode("HTTP/1.1 100 Continue\r\n\r\n");

/** One client's connection: its requests are answered one after the other, as their answers must be sent. */
export class Http1Connection implements PortConnection, ByteSink {
  deadlineMs: number;
  readonly #port: Port;
  readonly #stream: ClientStream;
  readonly #peer: string;
  readonly #input: Input;
  /** Of the request under way. */
  #gone: AbortController | undefined;
  #phase: "idle" | "head" | "body" | "answer" = "idle";
  /** The time for a request was over and the client was told so. */
  #refused = false;
  #closed = false;
  /** A streamed answer is on its way: there is no room for a refusal of what stands behind its request. */
  #streaming = false;
  #unjudged = false;

  constructor(stream: ClientStream, port: Port) {
    this.#stream = stream;
    this.#peer = peerOf(stream);
    this.#port = port;
    this.#input = new Input(stream);
    this.deadlineMs = port.nowMs + port.limits.headMs;
  }

  /** Serves the connection to its end. One that begins HTTP/2 is handed on open, with the bytes that were read. */
  async serve(toHttp2: (begun: Uint8Array) => Promise<void>): Promise<void> {
    this.#port.add(this);
    let handedOn = false;
    try {
      if (await this.#beginsHttp2()) {
        handedOn = true;
        return toHttp2(this.#input.take(this.#input.buffered).slice());
      }
      while (!this.#closed && await this.#serveOne());
    } catch (error) {
      // To a client that left nothing is owed.
      const left = this.#closed || this.#input.ended || error instanceof SinkFailure;
      if (!left) this.#port.onError(error);
    } finally {
      if (!handedOn) this.close();
      this.#port.remove(this);
    }
  }

  expired(): void {
    this.deadlineMs = Infinity;
    if (this.#phase !== "head" && this.#phase !== "body") return this.close();
    this.#refused = true;
    const refusal = refusalOf(new Http1Error("it did not arrive in time", { status: 408 }));
    const done = () => this.close();
    writeAnswer(refusal, this.#terms("GET", 1, false), this).then(done, done);
    this.#phase = "answer";
  }

  drain(): void {
    if (this.#phase === "idle") this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeQuietly(this.#stream);
    this.#leave();
  }

  #leave(): void {
    this.#gone?.abort(new DOMException("The client left", "AbortError"));
  }

  async #beginsHttp2(): Promise<boolean> {
    for (;;) {
      if (!(await this.#input.fill())) return false;
      const text = textOf(this.#input.peek().subarray(0, preface.length));
      if (!preface.startsWith(text)) return false;
      if (text.length === preface.length) return true;
    }
  }

  /** Answers one request; false when the connection ends with it. */
  async #serveOne(): Promise<boolean> {
    let head: RequestHead | undefined, body: Http1Body;
    try {
      head = await this.#readHead();
      if (!head) return false;
      body = this.#bodyOf(head);
      refuseTrace(head.method);
    } catch (error) {
      if (!(error instanceof Http1Error)) throw error;
      this.#phase = "answer";
      await this.#send(refusalOf(error, head?.path), head?.method ?? "GET", head?.minor ?? 1, false);
      await this.#linger();
      return false;
    }
    const gone = this.#gone = new AbortController();
    if (body.done) this.#await();
    else {
      this.#phase = "body";
      this.deadlineMs = this.#port.nowMs + this.#port.limits.requestMs;
    }
    try {
      const { method, path, headers } = head;
      const answering = this.#port.handler({ method, path, headers, peer: this.#peer, signal: gone.signal, body });
      const answer = answering instanceof Promise ? await answering : answering;
      return await this.#answer(head, body, answer);
    } finally {
      this.#input.unwatch();
      this.#gone = undefined;
    }
  }

  /** The next request's head; undefined when the client sends none. Throws Http1Error. */
  async #readHead(): Promise<RequestHead | undefined> {
    const { limits } = this.#port;
    let scanned = 0;
    for (;;) {
      const length = this.#input.headLength(scanned);
      if (length > 0) return parseRequestHead(textOf(this.#input.take(length).subarray(0, length - 4)));
      scanned = this.#input.buffered;
      if (scanned === 0) {
        if (this.#port.draining) return undefined;
        this.#phase = "idle";
        this.deadlineMs = this.#port.nowMs + limits.keepAliveMs;
      } else if (this.#phase !== "head") {
        this.#phase = "head";
        this.deadlineMs = this.#port.nowMs + limits.headMs;
      }
      if (!(await this.#input.fill())) return undefined;
    }
  }

  #bodyOf(head: RequestHead): Http1Body {
    const framing = requestFraming(head);
    const expects = head.minor === 1 && framing.kind !== "none" && lists(head.headers.get("expect"), "100-continue");
    return new Http1Body(this.#input, framing, expects ? () => this.#proceed() : undefined, () => this.#await());
  }

  /** Says 100 Continue; the time for the request goes on. */
  async #proceed(): Promise<void> {
    const { deadlineMs } = this;
    await writeTo(this, proceedLine);
    this.deadlineMs = deadlineMs;
  }

  /** The request is whole: from here on the client is watched, and what it sends are its next requests. */
  #await(): void {
    this.#phase = "answer";
    this.deadlineMs = Infinity;
    this.#input.watch(() => {
      if (this.#input.ended || (this.#streaming && !this.#mayFollow())) this.close();
    });
  }

  /** Whether what has come of the next request may become one. */
  #mayFollow(): boolean {
    try {
      const length = this.#input.headLength();
      if (length > 0) requestFraming(parseRequestHead(textOf(this.#input.peek().subarray(0, length - 4))));
      return true;
    } catch {
      return false;
    }
  }

  /** Sends the answer; whether another request may follow. */
  async #answer({ method, minor, headers }: RequestHead, body: Http1Body, answer: Answer): Promise<boolean> {
    if (this.#refused || this.#closed) {
      if (isSource(answer.body)) answer.body.cancel();
      return false;
    }
    this.#phase = "answer";
    this.#streaming = this.#unjudged = body.done && isSource(answer.body);
    const rest = body.done ? 0 : body.length ?? Infinity;
    const readable = body.done || (!body.broken && !body.awaited && rest <= skippedBytesMax);
    const stays = readable && !this.#port.draining && keepsAlive({ minor, headers });
    const kept = await this.#send(answer, method, minor, stays);
    this.#streaming = false;
    if (kept && (body.done || await this.#skip(body))) return true;
    if (!body.done || this.#input.buffered > 0) await this.#linger();
    return false;
  }

  #send(answer: Answer, method: string, minor: number, stays: boolean): Promise<boolean> {
    return writeAnswer(answer, this.#terms(method, minor, stays), this);
  }

  #terms(method: string, minor: number, stays: boolean) {
    return { method, minor, stays, date: this.#port.date };
  }

  /** Some of an answer's bytes, as far as the client takes them. */
  write(bytes: Uint8Array): Promise<number> {
    this.deadlineMs = this.#port.nowMs + this.#port.limits.stallMs;
    return this.#stream.write(bytes);
  }

  wrote(): void {
    this.deadlineMs = Infinity;
    if (!this.#unjudged) return;
    this.#unjudged = false;
    if (this.#input.buffered > 0 && !this.#mayFollow()) this.close();
  }

  /** Reads what is left of a small body; false when it is no use. */
  async #skip(body: Http1Body): Promise<boolean> {
    this.deadlineMs = this.#port.nowMs + this.#port.limits.lingerMs;
    const waste = new Uint8Array(16_384);
    try {
      while (await body.readInto(waste) > 0);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Ends our side and reads what the client still sends, for a while: closing over unread bytes would reset the connection,
   * and the client would lose its answer.
   */
  async #linger(): Promise<void> {
    this.deadlineMs = this.#port.nowMs + this.#port.limits.lingerMs;
    try {
      await this.#stream.closeWrite?.();
    } catch {
      return;
    }
    const waste = new Uint8Array(65_536);
    while (!this.#closed && await this.#input.readInto(waste) > 0);
  }
}
