/**
 * An HTTP/1.1 client for load: one kept-alive connection over a bare socket, the body counted and not kept. It costs about
 * a third of what `fetch` does, and on few cores the load competes with what is measured.
 */

/** Where requests go. */
export interface Target {
  readonly url: string;
  /** Sent besides `content-type` and `content-length`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A complete answer. */
export interface Answer {
  readonly bodyBytes: number;
  /** From sending to the first byte of the body, and to its last. */
  readonly firstByteMs: number;
  readonly ms: number;
}

/** Body bytes kept to say why an answer is not the expected one. */
const shownBytes = 300;

const path = "/v1/chat/completions";
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Asks one after the other; connects when it must, again when the server has closed an idle connection. */
export class Connection {
  readonly #target: Target;
  readonly #onBody: (bytes: number) => void;
  readonly #buffer: Uint8Array;
  #conn: Deno.TcpConn | undefined;
  #from = 0;
  #to = 0;
  /** Of the answer that is being read. */
  #bodyBytes = 0;
  #firstByteAtMs = NaN;
  #shown = "";
  #answerBegan = false;
  #closed = false;

  /** `onBody` hears of body bytes as they come. */
  constructor(target: Target, { onBody = () => {}, bufferBytes = 65_536 }: {
    readonly onBody?: (bytes: number) => void;
    readonly bufferBytes?: number;
  } = {}) {
    this.#target = target;
    this.#onBody = onBody;
    this.#buffer = new Uint8Array(bufferBytes);
  }

  /** Sends a chat completion and reads the answer to its end; throws unless it is a 200. */
  async ask(body: Uint8Array): Promise<Answer> {
    const reused = this.#conn !== undefined;
    try {
      return await this.#exchange(body);
    } catch (error) {
      this.#drop();
      // The server closed the connection before it saw the request, as it may.
      if (!reused || this.#answerBegan || this.#closed) throw error;
      return await this.#exchange(body);
    }
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  #drop(): void {
    const conn = this.#conn;
    this.#conn = undefined;
    conn?.close();
  }

  async #exchange(body: Uint8Array): Promise<Answer> {
    this.#answerBegan = false;
    this.#bodyBytes = 0;
    this.#firstByteAtMs = NaN;
    this.#shown = "";
    const startMs = performance.now();
    await this.#send(body);
    const head = await this.#head();
    const close = await this.#body(head);
    const ms = performance.now() - startMs;
    if (close) this.#drop();
    const status = Number(head.slice(9, 12));
    if (status !== 200) throw new Error(`Cannot measure as the answer is ${status}: ${this.#shown}`);
    return { bodyBytes: this.#bodyBytes, firstByteMs: this.#firstByteAtMs - startMs, ms };
  }

  async #send(body: Uint8Array): Promise<void> {
    const { hostname, port, host } = new URL(this.#target.url);
    if (!this.#conn) {
      this.#from = this.#to = 0;
      this.#conn = await Deno.connect({ hostname, port: Number(port) });
      this.#conn.setNoDelay(true);
    }
    const fields = { host, "content-type": "application/json", "content-length": body.length, ...this.#target.headers };
    const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`).join("");
    const head = encoder.encode(`POST ${path} HTTP/1.1\r\n${lines}\r\n`);
    const bytes = new Uint8Array(head.length + body.length);
    bytes.set(head);
    bytes.set(body, head.length);
    for (let sent = 0; sent < bytes.length;) sent += await this.#conn.write(bytes.subarray(sent));
  }

  /** The answer's head, status line first, in lower case. */
  async #head(): Promise<string> {
    let head = "";
    do head += await this.#line() + "\n"; while (!head.endsWith("\n\n"));
    return head.toLowerCase();
  }

  /** Reads the body whose head this is; true when the connection ends with it. */
  async #body(head: string): Promise<boolean> {
    if (/^transfer-encoding:.*chunked/m.test(head)) {
      for (let size: number; (size = parseInt(await this.#line(), 16)) > 0;) {
        await this.#take(size);
        await this.#line();
      }
      while (await this.#line() !== "");
    } else {
      const length = /^content-length: *(\d+)/m.exec(head)?.[1];
      if (length !== undefined) await this.#take(Number(length));
      else await this.#takeAll();
      if (length === undefined) return true;
    }
    return /^connection:.*close/m.test(head);
  }

  /** A line without its end. */
  async #line(): Promise<string> {
    let line = "";
    for (;;) {
      const at = this.#buffer.subarray(0, this.#to).indexOf(10, this.#from);
      line += decoder.decode(this.#buffer.subarray(this.#from, at < 0 ? this.#to : at));
      this.#from = at < 0 ? this.#to : at + 1;
      if (at >= 0) return line.endsWith("\r") ? line.slice(0, -1) : line;
      await this.#fill();
    }
  }

  async #take(bytes: number): Promise<void> {
    for (let left = bytes; left > 0;) {
      if (this.#from === this.#to) await this.#fill();
      left -= this.#pass(left);
    }
  }

  async #takeAll(): Promise<void> {
    do this.#pass(Infinity); while (await this.#read());
  }

  /** Counts up to `bytes` of what is here as body. */
  #pass(bytes: number): number {
    const count = Math.min(bytes, this.#to - this.#from);
    if (count === 0) return 0;
    if (this.#bodyBytes === 0) this.#firstByteAtMs = performance.now();
    if (this.#bodyBytes < shownBytes) {
      this.#shown += decoder.decode(this.#buffer.subarray(this.#from, this.#from + Math.min(count, shownBytes)));
    }
    this.#from += count;
    this.#bodyBytes += count;
    this.#onBody(count);
    return count;
  }

  async #fill(): Promise<void> {
    if (!await this.#read()) throw new Error("Cannot measure as the connection ended within an answer");
  }

  async #read(): Promise<boolean> {
    if (!this.#conn) throw new Error("Cannot read as the connection is closed");
    const count = await this.#conn.read(this.#buffer);
    this.#from = 0;
    this.#to = count ?? 0;
    this.#answerBegan ||= count !== null;
    return count !== null;
  }
}
