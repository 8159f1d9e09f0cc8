/** A client that leaves while it waits for the first byte: the engine stops computing for nobody. */
import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { systemClock } from "../../src/core/mod.ts";
import {
  busy,
  fact,
  faster,
  model,
  nothingReserved,
  post,
  reserved,
  type Stage,
  until,
  withRouter,
} from "./harness.ts";

/** A model server on bare sockets that takes requests and answers none: it sees at once when the router hangs up. */
class SilentServer {
  /** Requests that were sent whole and whose connection is open. */
  waiting = 0;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #serving: Promise<unknown>;
  readonly url = `http://127.0.0.1:${(this.#listener.addr as Deno.NetAddr).port}`;

  constructor() {
    this.#serving = (async () => {
      const open: Promise<void>[] = [];
      for await (const connection of this.#listener) {
        this.#connections.add(connection);
        open.push(
          this.#serve(connection).catch(() => {}).finally(() => {
            this.#connections.delete(connection);
            try {
              connection.close();
            } catch {
              // stop() closed it.
            }
          }),
        );
      }
      await Promise.all(open);
    })();
  }

  async stop(): Promise<void> {
    this.#listener.close();
    for (const connection of this.#connections) connection.close();
    await this.#serving;
  }

  async #serve(connection: Deno.TcpConn): Promise<void> {
    const into = new Uint8Array(65_536);
    for (let text = "";;) {
      const n = await connection.read(into);
      if (n === null) return;
      text += new TextDecoder("latin1").decode(into.subarray(0, n));
      const head = text.indexOf("\r\n\r\n");
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
      if (head < 0 || text.length < head + 4 + length) continue;
      if (text.startsWith("POST")) {
        this.waiting++;
        await connection.read(into).catch(() => null);
        this.waiting--;
        return;
      }
      const body = text.startsWith("GET /v1/models")
        ? JSON.stringify({ data: [{ id: model }] })
        : "vllm:num_requests_running 0\n";
      await connection.write(
        new TextEncoder().encode(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`),
      );
      text = "";
    }
  }
}

/** One round: a request, its client's leaving once `working` is 1, and the time until it is 0 again. */
async function leave(stage: Stage, request: Record<string, unknown>, working: () => number): Promise<number> {
  const lines = stage.accessLines.length;
  const abort = new AbortController();
  const asked = { model, max_tokens: 20_000, ...request };
  const left = rejects(post(`${stage.url}/v1/completions`, asked, { signal: abort.signal }), { name: "AbortError" });
  await until("the engine is busy", () => working() === 1);
  equal(reserved(stage).requests, 1);
  ok(reserved(stage).prefillTokens > 0);
  const abortedMs = systemClock.now();
  abort.abort();
  await until("the engine is idle", () => working() === 0);
  const tookMs = systemClock.now() - abortedMs;
  await left;
  await until("the access line is written", () => stage.accessLines.length === lines + 1);
  equal(stage.accessLines.at(-1)!.outcome, "client-disconnect");
  deepStrictEqual(reserved(stage), nothingReserved);
  return tookMs;
}

fact(
  "leaving before the first byte frees a simulated engine within 50 ms and gives every reservation back",
  () =>
    withRouter(
      { sims: [{ speed: 1 }] },
      (stage) => faster(50, () => leave(stage, { prompt: "A short question" }, () => busy(stage.sims[0]))),
    ),
);

for (const stream of [false, true]) {
  for (const bytes of [10, 2_000, 400_000]) {
    fact(
      `leaving a ${
        stream ? "stream" : "plain answer"
      } to a prompt of ${bytes} bytes before its first byte hangs up within 50 ms`,
      async () => {
        const server = new SilentServer();
        try {
          await withRouter(
            { endpoints: [server.url] },
            (stage) => faster(50, () => leave(stage, { prompt: "x".repeat(bytes), stream }, () => server.waiting)),
          );
        } finally {
          await server.stop();
        }
      },
    );
  }
}
