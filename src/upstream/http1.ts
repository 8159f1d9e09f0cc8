/**
 * An HTTP/1.1 client connection over a byte stream: one exchange at a time, body bytes handed out as they arrive.
 *
 * Strict where leniency lets one side see a different message than the other (RFC 9112 section 11.2): a response with both
 * framings, with differing lengths, with a bare CR, a folded line or a malformed chunk size ends the connection.
 */

/** The stream a connection runs over; `Deno.TcpConn` and `Deno.TlsConn` are such. */
export interface ByteStream {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** The peer broke the protocol or the connection ended inside a message. */
export class Http1Error extends Error {
  override readonly name = "Http1Error";
}

export interface ResponseHead {
  readonly status: number;
  readonly headers: Headers;
}

const headBytesMax = 65_536;
const readBytes = 16_384;
const trailerBytesMax = 16_384;

/** Header bytes as text, one character a byte: `TextDecoder`'s latin1 is windows-1252 and changes some of them. */
function headText(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  return text;
}

function headBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

type Framing =
  | { kind: "none" }
  | { kind: "length"; left: number }
  | {
    kind: "chunked";
    state: "size" | "data" | "data-end" | "trailer";
    left: number;
    line: string;
    trailerBytes: number;
  }
  | { kind: "until-close" };

const none: Framing = { kind: "none" };

export class Http1Connection {
  readonly #stream: ByteStream;
  #buffer = new Uint8Array(readBytes);
  #start = 0;
  #end = 0;
  #framing: Framing = none;
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
    try {
      this.#stream.close();
    } catch {
      // Already gone: closing is all that was wanted.
    }
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
    this.#send(headBytes(head), body).then(() => {
      this.#sending = false;
    }, (error) => {
      this.#writeError = error;
    });
    return await this.#readHead(method);
  }

  /** The next body bytes, in a buffer of their own; null at the end of the body. */
  async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#framing.kind === "none") return null;
      const available = this.#takeBuffered();
      if (available) return available;
      // #takeBuffered moves the framing on; the compiler does not see it.
      if ((this.#framing as Framing).kind === "none") return null;
      if (!(await this.#fill())) {
        if (this.#framing.kind !== "until-close") throw new Http1Error("Connection ended inside a response body");
        this.#framing = none;
        this.close();
        return null;
      }
    }
  }

  async #send(head: Uint8Array, body: Uint8Array | undefined): Promise<void> {
    if (body && body.length > 0 && body.length <= readBytes) {
      const both = new Uint8Array(head.length + body.length);
      both.set(head);
      both.set(body, head.length);
      return await this.#writeAll(both);
    }
    await this.#writeAll(head);
    if (body && body.length > 0) await this.#writeAll(body);
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#stream.write(at === 0 ? bytes : bytes.subarray(at));
  }

  async #fill(): Promise<boolean> {
    if (this.#start === this.#end) this.#start = this.#end = 0;
    else if (this.#end === this.#buffer.length) this.#makeRoom();
    const reading = this.#pending ??
      this.#stream.read(this.#end === 0 ? this.#buffer : this.#buffer.subarray(this.#end));
    this.#pending = undefined;
    const n = await reading;
    if (n === null || n === 0) return false;
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
      const head = parseHead(text);
      // 1xx are interim; 101 would switch protocols, which was not asked for.
      if (head.status === 101) throw new Http1Error("Server switched protocols unasked");
      if (head.status < 200) continue;
      this.#keepAlive = keepsAlive(head) && this.#keepAlive;
      this.#framing = framingOf(method, head);
      if (this.#framing.kind === "until-close") this.#keepAlive = false;
      if (this.#buffer.length > readBytes && this.#end <= readBytes) this.#buffer = this.#buffer.slice(0, readBytes);
      return head;
    }
  }

  async #readHeadText(): Promise<string> {
    let scanned = this.#start;
    for (;;) {
      for (let i = Math.max(scanned, this.#start + 3); i < this.#end; i++) {
        if (this.#buffer[i] !== 0x0a || this.#buffer[i - 1] !== 0x0d) continue;
        if (this.#buffer[i - 2] !== 0x0a || this.#buffer[i - 3] !== 0x0d) continue;
        const text = headText(this.#buffer.subarray(this.#start, i - 1));
        this.#start = i + 1;
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

  /** Body bytes among those already read, copied out; undefined when there are none. */
  #takeBuffered(): Uint8Array | undefined {
    const framing = this.#framing;
    if (this.#start === this.#end && !(framing.kind === "length" && framing.left === 0)) return undefined;
    if (framing.kind === "chunked") return this.#takeChunks(framing);
    if (framing.kind === "until-close") {
      const bytes = this.#buffer.slice(this.#start, this.#end);
      this.#start = this.#end;
      return bytes;
    }
    if (framing.kind !== "length") return undefined;
    const n = Math.min(framing.left, this.#end - this.#start);
    const bytes = this.#buffer.slice(this.#start, this.#start + n);
    this.#start += n;
    framing.left -= n;
    if (framing.left === 0) this.#framing = none;
    return n > 0 ? bytes : undefined;
  }

  /** Strips the chunk framing from what is buffered; payload of several chunks comes out as one piece. */
  #takeChunks(framing: Framing & { kind: "chunked" }): Uint8Array | undefined {
    const buffer = this.#buffer;
    const out = new Uint8Array(this.#end - this.#start);
    let size = 0;
    while (this.#start < this.#end) {
      if (framing.state === "data") {
        const n = Math.min(framing.left, this.#end - this.#start);
        out.set(buffer.subarray(this.#start, this.#start + n), size);
        size += n;
        this.#start += n;
        framing.left -= n;
        if (framing.left === 0) framing.state = "data-end";
        continue;
      }
      if (framing.line === "" && this.#takePlainLine(framing)) continue;
      const byte = buffer[this.#start++];
      if (byte !== 0x0a) {
        framing.line += String.fromCharCode(byte);
        if (framing.line.length > 4096) throw new Http1Error("Chunk line is too long");
        continue;
      }
      if (!framing.line.endsWith("\r")) throw new Http1Error("Chunk line does not end in CRLF");
      const line = framing.line.slice(0, -1);
      framing.line = "";
      if (this.#chunkLine(framing, line)) break;
    }
    return size > 0 ? out.subarray(0, size) : undefined;
  }

  /** The usual chunk line, whole in the buffer: hexadecimal digits or nothing, then CRLF. False leaves it to the careful way. */
  #takePlainLine(framing: Framing & { kind: "chunked" }): boolean {
    if (framing.state !== "size" && framing.state !== "data-end") return false;
    const buffer = this.#buffer;
    let i = this.#start, size = 0;
    if (framing.state === "size") {
      const end = Math.min(this.#end, i + 7);
      for (let digit = 0; i < end && (digit = hexDigit(buffer[i])) >= 0; i++) size = size * 16 + digit;
      if (i === this.#start || size === 0) return false;
    }
    if (i + 1 >= this.#end || buffer[i] !== 0x0d || buffer[i + 1] !== 0x0a) return false;
    this.#start = i + 2;
    framing.left = size;
    framing.state = framing.state === "size" ? "data" : "size";
    return true;
  }

  /** Acts on one line of chunk framing; true when the body has ended. */
  #chunkLine(framing: Framing & { kind: "chunked" }, line: string): boolean {
    if (framing.state === "data-end") {
      if (line !== "") throw new Http1Error("Chunk data is longer than its size");
      framing.state = "size";
      return false;
    }
    if (framing.state === "trailer") {
      framing.trailerBytes += line.length;
      if (framing.trailerBytes > trailerBytesMax) throw new Http1Error("Trailers are too long");
      if (line !== "") return false;
      this.#framing = none;
      return true;
    }
    const digits = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line);
    if (!digits) throw new Http1Error("Chunk size is not hexadecimal");
    framing.left = parseInt(digits[1], 16);
    framing.state = framing.left === 0 ? "trailer" : "data";
    return false;
  }
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

const statusLine = /^HTTP\/1\.([01]) (\d{3})(?: [^\r\n]*)?$/;
const fieldLine = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(.*?)[ \t]*$/;

/** Whether a line holds what no header may: a control character other than a tab. */
function hasControl(line: string): boolean {
  for (let i = 0; i < line.length; i++) {
    const code = line.charCodeAt(i);
    if ((code < 0x20 && code !== 0x09) || code === 0x7f) return true;
  }
  return false;
}

interface ParsedHead extends ResponseHead {
  readonly minor: number;
}

function parseHead(text: string): ParsedHead {
  const lines = text.split("\r\n");
  const start = statusLine.exec(lines[0]);
  if (!start) throw new Http1Error(`Cannot read the status line ${JSON.stringify(lines[0].slice(0, 80))}`);
  const headers = new Headers();
  for (let i = 1; i < lines.length; i++) {
    if (lines[i] === "") continue;
    const field = fieldLine.exec(lines[i]);
    if (!field || hasControl(lines[i])) {
      throw new Http1Error(`Cannot read the header line ${JSON.stringify(lines[i].slice(0, 80))}`);
    }
    headers.append(field[1], field[2]);
  }
  const status = Number(start[2]);
  if (status < 100 || status > 599) throw new Http1Error(`Cannot take status ${status}: it must be from 100 to 599`);
  return { minor: Number(start[1]), status, headers };
}

function keepsAlive(head: ParsedHead): boolean {
  const connection = head.headers.get("connection")?.toLowerCase() ?? "";
  if (/(^|,)\s*close\s*(,|$)/.test(connection)) return false;
  return head.minor === 1 || /(^|,)\s*keep-alive\s*(,|$)/.test(connection);
}

/** RFC 9112 section 6.3, refusing what it calls unrecoverable. */
function framingOf(method: string, head: ParsedHead): Framing {
  if (method === "HEAD" || head.status === 204 || head.status === 304) return none;
  const encoding = head.headers.get("transfer-encoding");
  const length = head.headers.get("content-length");
  if (encoding !== null) {
    if (length !== null) throw new Http1Error("Response has both transfer-encoding and content-length");
    if (encoding.trim().toLowerCase() !== "chunked") {
      throw new Http1Error(`Cannot read transfer-encoding ${JSON.stringify(encoding)}`);
    }
    return { kind: "chunked", state: "size", left: 0, line: "", trailerBytes: 0 };
  }
  if (length === null) return { kind: "until-close" };
  const values = new Set(length.split(",").map((value) => value.trim()));
  const [value] = values;
  if (values.size !== 1 || !/^\d{1,15}$/.test(value)) {
    throw new Http1Error(`Cannot read content-length ${JSON.stringify(length)}`);
  }
  const left = Number(value);
  return left === 0 ? none : { kind: "length", left };
}
