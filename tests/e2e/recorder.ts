/** A model server that keeps what it is sent, byte for byte, and answers what the test says. */
import { model } from "./harness.ts";

/** One request as it arrived. */
export interface Received {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  readonly headers: Headers;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly text: string;
}

export interface RecorderOptions {
  /** Names at `/v1/models`. */
  readonly models?: readonly string[];
  /** Answers everything but probes; 200 with an empty JSON object when absent. */
  readonly answer?: (received: Received) => Response | Promise<Response>;
}

const idle = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\nvllm:kv_cache_usage_perc 0\n";

/** The router's own questions, which are answered and not kept. */
function probe(request: Request, models: readonly string[]): Response | undefined {
  if (request.method !== "GET") return undefined;
  switch (new URL(request.url).pathname) {
    case "/health":
      return new Response();
    case "/metrics":
      return new Response(idle);
    case "/v1/models":
      return Response.json({ object: "list", data: models.map((id) => ({ id, object: "model" })) });
  }
}

export class Recorder {
  readonly received: Received[] = [];
  /** Headers of the router's own questions. */
  readonly probed: Headers[] = [];
  readonly url: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #abort = new AbortController();

  constructor({ models = [model], answer = () => Response.json({}) }: RecorderOptions = {}) {
    // A body that a test cuts on purpose ends here, and no answer can follow it.
    const onError = () => new Response(null, { status: 500 });
    const options = { hostname: "127.0.0.1", port: 0, signal: this.#abort.signal, onListen() {}, onError };
    this.#server = Deno.serve(options, async (request) => {
      const probed = probe(request, models);
      if (probed) {
        this.probed.push(request.headers);
        return probed;
      }
      const body = new Uint8Array(await request.arrayBuffer());
      const { pathname, search } = new URL(request.url);
      const received = {
        method: request.method,
        path: pathname + search,
        headers: request.headers,
        body,
        text: new TextDecoder().decode(body),
      };
      this.received.push(received);
      return await answer(received);
    });
    this.url = `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** The last request; fails when there was none. */
  get last(): Received {
    const last = this.received.at(-1);
    if (!last) throw new Error("Nothing was received");
    return last;
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#server.finished;
  }
}

/** Starts a recorder for as long as `use` runs. */
export async function withRecorder(
  options: RecorderOptions,
  use: (recorder: Recorder) => Promise<void>,
): Promise<void> {
  const recorder = new Recorder(options);
  try {
    await use(recorder);
  } finally {
    await recorder.stop();
  }
}

/** An answer in the given pieces, one a turn of the event loop; it waits where a promise stands. */
export function pieces(
  parts: readonly (string | Promise<unknown>)[],
  contentType = "text/event-stream",
): Response {
  const encoder = new TextEncoder();
  let next = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (; next < parts.length; next++) {
        const part = parts[next];
        if (typeof part === "string") {
          next++;
          await new Promise((resolve) => setTimeout(resolve, 0));
          return controller.enqueue(encoder.encode(part));
        }
        await part;
      }
      controller.close();
    },
  });
  return new Response(body, { headers: { "content-type": contentType } });
}
