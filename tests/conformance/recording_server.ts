/** A model server that records what reaches it, byte for byte: the witness of what the router let through. */

/** One request as it came over the wire. */
export interface RecordedRequest {
  /** Request line and header lines, without the empty line. */
  readonly head: string;
  readonly body: Uint8Array;
}

const encoder = new TextEncoder();
const latin1 = new TextDecoder("latin1");

const pages: Readonly<Record<string, string>> = {
  "/health": "",
  "/v1/models": '{"object":"list","data":[{"id":"known","object":"model"}]}',
  "/metrics": "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0\n",
};

/** Value of a header in a recorded head; undefined when it is absent. */
export function headerOf({ head }: RecordedRequest, name: string): string | undefined {
  return head.split("\r\n").slice(1).find((line) => line.toLowerCase().startsWith(`${name}:`))?.slice(name.length + 1)
    .trim();
}

/** Serves model `known`. Health, models and metrics are answered and not recorded. */
export class RecordingServer {
  readonly url: string;
  readonly requests: RecordedRequest[] = [];
  /** Connections that carried something other than requests with a length. */
  readonly broken: string[] = [];
  /** Requests to come whose connection is cut in place of an answer. */
  cuts = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.TcpConn>();
  readonly #done: Promise<void>;

  constructor() {
    this.url = `http://127.0.0.1:${this.#listener.addr.port}`;
    this.#done = this.#accept();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    for (const connection of this.#open) connection.close();
    await this.#done;
  }

  async #accept(): Promise<void> {
    const served: Promise<void>[] = [];
    for await (const connection of this.#listener) {
      this.#open.add(connection);
      // Either side may cut a connection at any time.
      served.push(this.#serve(connection).catch(() => {}).finally(() => this.#forget(connection)));
    }
    await Promise.all(served);
  }

  #forget(connection: Deno.TcpConn): void {
    this.#open.delete(connection);
    try {
      connection.close();
    } catch {
      // Closed by the other side or by the test's end.
    }
  }

  async #serve(connection: Deno.TcpConn): Promise<void> {
    let rest = new Uint8Array();
    const more = async () => {
      const into = new Uint8Array(65_536);
      const n = await connection.read(into);
      if (n === null) return false;
      const joined = new Uint8Array(rest.length + n);
      joined.set(rest);
      joined.set(into.subarray(0, n), rest.length);
      rest = joined;
      return true;
    };
    for (;;) {
      let end: number;
      while ((end = latin1.decode(rest).indexOf("\r\n\r\n")) < 0) if (!await more()) return;
      const head = latin1.decode(rest.subarray(0, end));
      rest = rest.slice(end + 4);
      const lengths = [...head.matchAll(/^content-length: (.*)$/gmi)].map(([, value]) => value.trim());
      if (lengths.length > 1 || lengths.some((length) => !/^\d+$/.test(length)) || /^transfer-encoding/mi.test(head)) {
        this.broken.push(head);
        return;
      }
      const length = Number(lengths[0] ?? 0);
      while (rest.length < length) if (!await more()) return;
      await this.#answer(connection, { head, body: rest.slice(0, length) });
      rest = rest.slice(length);
    }
  }

  async #answer(connection: Deno.TcpConn, request: RecordedRequest): Promise<void> {
    const page = pages[request.head.split(" ")[1]];
    if (page === undefined) {
      this.requests.push(request);
      if (this.cuts > 0) {
        this.cuts--;
        throw new Error("This connection is cut");
      }
    }
    const body = page ?? '{"object":"recorded"}';
    const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    const bodyless = request.head.startsWith("HEAD ");
    await connection.write(encoder.encode(bodyless ? head : head + body));
  }
}
