/**
 * An HTTP/1.1 client connection over a byte stream: one exchange at a time, body bytes handed out as they arrive.
 *
 * Strict where leniency lets one side see a different message than the other (RFC 9112 section 11.2): a response with both
 * framings, with differing lengths, with a bare CR, a folded line or a malformed chunk size ends the connection.
 */
import { closeQuietly, writeAll } from "../core/mod.ts";
import {
  type ByteGate,
  type ByteSink,
  bytesOf,
  type Framing,
  headBytesMax,
  headEnd,
  Http1Error,
  keepsAlive,
  noBody,
  parseResponseHead,
  responseFraming,
  type ResponseHead,
  SinkFailure,
  textOf,
} from "../protocol/mod.ts";

/** The stream a connection runs over; `Deno.TcpConn` and `Deno.TlsConn` are such. */
export interface ByteStream {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

const readBytes = 16_384;

export class Http1Connection {
  readonly #stream: ByteStream;
  #buffer = new Uint8Array(readBytes);
  #start = 0;
  #end = 0;
  #framing: Framing = noBody;
  #keepAlive = true;
  #closed = false;
  #sending = false;
  #writeError: unknown;
  /** The read that watches an idle connection; what it brings once the connection is in use belongs to the answer. */
  #pending: Promise<number | null> | undefined;
  #idle = false;
  /** Whether any byte of the current response has arrived. */
  sawByte = false;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether the exchange has ended and another may begin. */
  get reusable(): boolean {
    return !this.#closed && this.#keepAlive && !this.#sending && this.#framing.kind === "none" &&
      this.#start === this.#end;
  }

  /**
   * Watches a connection that is not in use: whatever comes, bytes nobody asked for or the end, closes it. Left unread, such
   * bytes would be taken for the next answer. `onClosed` is told then.
   */
  rest(onClosed: () => void): void {
    this.#idle = true;
    this.#start = this.#end = 0;
    this.#pending = this.#stream.read(this.#buffer);
    const wake = () => {
      if (!this.#idle || this.#closed) return;
      this.close();
      onClosed();
    };
    this.#pending.then(wake, wake);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    closeQuietly(this.#stream);
  }

  /**
   * Sends a request and reads the head of its answer. The body is sent while the answer is awaited, so that a server
   * that refuses early is heard. `head` is everything up to and including the empty line.
   */
  async exchange(method: string, head: string, body: Uint8Array | undefined): Promise<ResponseHead> {
    this.#idle = false;
    this.sawByte = false;
    this.#writeError = undefined;
    this.#sending = true;
    this.#send(head, body).then(() => {
      this.#sending = false;
    }, (error) => {
      this.#writeError = error;
    });
    return await this.#readHead(method);
  }

  /** The bytes last taken from the buffer are in chunked framing. */
  #framed = false;
  /** Reads of body bytes so far, and whether one is under way: what silence is told by. */
  reads = 0;
  reading = false;

  /** The next body bytes, in a buffer of their own; null at the end of the body. */
  read(): Promise<Uint8Array | null> {
    return this.#next(undefined, undefined);
  }

  /**
   * Writes to `sink` the whole chunks that `gate` lets pass, in their framing, from the connection's own buffer, as they
   * come. Resolves with the first bytes that are none, as `read` gives them. Rejects with `SinkFailure` when the sink fails.
   */
  pump(gate: ByteGate, sink: ByteSink): Promise<Uint8Array | null> {
    return this.#next(gate, sink);
  }

  /** One function for every step of a chunk: each more that is awaited costs half a microsecond. */
  async #next(gate: ByteGate | undefined, sink: ByteSink | undefined): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#framing.kind === "none") return null;
      const available = this.#takeBuffered(gate);
      if (available && !this.#framed) return available;
      if (available) {
        gate!.arrived();
        try {
          let at = await sink!.write(available);
          while (at < available.length) at += await sink!.write(available.subarray(at));
        } catch (cause) {
          throw new SinkFailure("The client is gone", { cause });
        }
        sink!.wrote();
        continue;
      }
      // #takeBuffered moves the framing on; the compiler does not see it.
      if ((this.#framing as Framing).kind === "none") return null;
      this.#prepareFill();
      this.reads++;
      this.reading = true;
      const n = await this.#reading();
      this.reading = false;
      if (n) {
        this.#end += n;
        continue;
      }
      if (this.#framing.kind !== "until-close") throw new Http1Error("Connection ended inside a response body");
      this.#framing = noBody;
      this.close();
      return null;
    }
  }

  /** A small body goes out with the head in one write. */
  async #send(head: string, body: Uint8Array | undefined): Promise<void> {
    const joined = body !== undefined && body.length <= readBytes;
    const bytes = bytesOf(head, joined ? body.length : 0);
    if (joined) bytes.set(body, head.length);
    await writeAll(this.#stream, bytes);
    if (body && !joined) await writeAll(this.#stream, body);
  }

  #prepareFill(): void {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#end === this.#buffer.length) this.#makeRoom();
  }

  #reading(): Promise<number | null> {
    const reading = this.#pending ??
      this.#stream.read(this.#end === 0 ? this.#buffer : this.#buffer.subarray(this.#end));
    this.#pending = undefined;
    return reading;
  }

  async #fill(): Promise<boolean> {
    this.#prepareFill();
    const n = await this.#reading();
    if (!n) return false;
    this.sawByte = true;
    this.#end += n;
    return true;
  }

  /** Only a head can fill the buffer: bodies are taken as they come. */
  #makeRoom(): void {
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
      return;
    }
    if (this.#buffer.length >= headBytesMax) throw new Http1Error(`Response head is longer than ${headBytesMax} bytes`);
    const larger = new Uint8Array(this.#buffer.length * 2);
    larger.set(this.#buffer);
    this.#buffer = larger;
  }

  async #readHead(method: string): Promise<ResponseHead> {
    for (;;) {
      const text = await this.#readHeadText();
      const head = parseResponseHead(text);
      // 1xx are interim; 101 would switch protocols, which was not asked for.
      if (head.status === 101) throw new Http1Error("Server switched protocols unasked");
      if (head.status < 200) continue;
      this.#keepAlive = keepsAlive(head) && this.#keepAlive;
      this.#framing = responseFraming(method, head);
      if (this.#framing.kind === "until-close") this.#keepAlive = false;
      if (this.#buffer.length > readBytes && this.#end <= readBytes) this.#buffer = this.#buffer.slice(0, readBytes);
      return head;
    }
  }

  async #readHeadText(): Promise<string> {
    let scanned = this.#start;
    for (;;) {
      const end = headEnd(this.#buffer, this.#start, this.#end, scanned);
      if (end >= 0) {
        const text = textOf(this.#buffer.subarray(this.#start, end - 4));
        this.#start = end;
        return text;
      }
      scanned = this.#end;
      const moved = this.#start;
      if (!(await this.#fill())) {
        throw new Http1Error("Connection ended before a response", { cause: this.#writeError });
      }
      if (this.#start !== moved) scanned -= moved;
    }
  }

  /** Body bytes among those already read; undefined when there are none. */
  #takeBuffered(gate: ByteGate | undefined): Uint8Array | undefined {
    const framing = this.#framing;
    this.#framed = false;
    if (this.#start === this.#end || framing.kind === "none") return undefined;
    if (gate && framing.kind === "chunked") {
      const from = this.#start;
      const end = framing.body.whole(this.#buffer, from, this.#end, gate);
      if (end > from) {
        this.#framed = true;
        this.#start = end;
        return this.#buffer.subarray(from, end);
      }
    }
    if (framing.kind === "chunked") {
      const out = new Uint8Array(this.#end - this.#start);
      const size = framing.body.decode(this.#buffer.subarray(this.#start, this.#end), out);
      this.#start += framing.body.used;
      if (framing.body.done) this.#framing = noBody;
      return size > 0 ? out.subarray(0, size) : undefined;
    }
    const size = Math.min(framing.kind === "length" ? framing.left : Infinity, this.#end - this.#start);
    const bytes = this.#buffer.slice(this.#start, this.#start + size);
    this.#start += size;
    if (framing.kind === "length" && (framing.left -= size) === 0) this.#framing = noBody;
    return bytes;
  }
}
