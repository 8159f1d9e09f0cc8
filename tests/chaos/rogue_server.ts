/**
 * A model server that looks well (health, models and load are answered) and answers completions as no server should. On
 * bare sockets, since an HTTP library would not let it.
 */
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What it does with a completion. */
export type RogueMode =
  /** Bytes that are no HTTP. */
  | "garbage"
  /** Nothing, with the connection open. */
  | "silent"
  /** Closed at once. */
  | "hang-up"
  /** A head and half a chunk, then a reset. */
  | "half-chunk"
  /** A chunk with a size that is none. */
  | "bad-chunk"
  /** Two framings that say different things. */
  | "two-lengths";

const answers: Readonly<Record<Exclude<RogueMode, "silent" | "hang-up">, string>> = {
  "garbage": "\x00\x01\x02 this is no HTTP at all\r\n\r\n\r\n",
  "half-chunk": "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n40\r\ndata: {",
  "bad-chunk": "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
  "two-lengths": "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
};

export class RogueServer {
  mode: RogueMode;
  /** Whether health checks pass. */
  healthy = true;
  readonly url: string;
  /** Completions that came. */
  asked = 0;
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #model: string;

  constructor(model: string, mode: RogueMode) {
    this.#model = model;
    this.mode = mode;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.url = `http://127.0.0.1:${this.#listener.addr.port}`;
    void this.#accept();
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const connection of this.#open) this.#close(connection);
  }

  async #accept(): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        this.#open.add(connection);
        this.#serve(connection).catch(() => {}).finally(() => this.#close(connection));
      }
    } catch {
      // The listener was closed.
    }
  }

  async #serve(connection: Deno.TcpConn): Promise<void> {
    const into = new Uint8Array(65_536);
    for (let text = "";;) {
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) {
        const n = await connection.read(into);
        if (n === null) return;
        text += decoder.decode(into.subarray(0, n));
        continue;
      }
      const [method, path] = text.split(" ", 2);
      const streams = text.includes('"stream":true');
      text = text.slice(end + 4);
      if (method === "POST") return await this.#misbehave(connection, streams);
      await connection.write(encoder.encode(this.#answer(path)));
    }
  }

  #answer(path: string): string {
    const [status, body] = path === "/health"
      ? [this.healthy ? 200 : 503, ""]
      : path === "/v1/models"
      ? [200, JSON.stringify({ object: "list", data: [{ id: this.#model }] })]
      : [404, ""];
    return `HTTP/1.1 ${status} x\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  }

  async #misbehave(connection: Deno.TcpConn, streams: boolean): Promise<void> {
    this.asked++;
    const { mode } = this;
    if (mode === "hang-up") return;
    if (mode !== "silent") {
      const answer = streams ? answers[mode] : answers[mode].replace("text/event-stream", "application/json");
      await connection.write(encoder.encode(answer));
    }
    if (mode === "silent") { while (await connection.read(new Uint8Array(1024)) !== null); }
  }

  #close(connection: Deno.TcpConn): void {
    this.#open.delete(connection);
    try {
      connection.close();
    } catch {
      // Gone.
    }
  }
}
