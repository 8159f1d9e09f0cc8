/** The port's HTTP/2: with prior knowledge in the clear, by ALPN behind TLS. */
import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import http2, { type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { VirtualClock } from "../../src/core/mod.ts";
import type { Handler } from "../../src/edge/mod.ts";
import type { BodySource } from "../../src/pipeline/mod.ts";
import { busy, eventData, fact, model, nothingReserved, reserved, until, withRouter } from "./harness.ts";
import { connected, echo, onceAborted, plain, received, withPort } from "./ports.ts";

/** Runs `use` with a client's session, which is gone afterwards. */
async function session(url: string, use: (session: ClientHttp2Session) => Promise<void>): Promise<void> {
  const client = http2.connect(url);
  client.on("error", () => {});
  const closed = new Promise((resolve) => client.once("close", resolve));
  try {
    await use(client);
  } finally {
    client.destroy();
    await closed;
  }
}

interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** The answer to a stream that was opened. */
function answered(stream: ClientHttp2Stream): Promise<Answered> {
  return new Promise((resolve, reject) => {
    let headers: Record<string, unknown> = {}, text = "";
    stream.on("response", (fields) => headers = fields as Record<string, unknown>);
    stream.on("data", (bytes) => text += bytes.toString("latin1"));
    stream.on("end", () => resolve({ status: Number(headers[":status"]), headers, text }));
    stream.on("error", reject);
  });
}

function ask(client: ClientHttp2Session, path: string, body?: string, headers: Record<string, string> = {}) {
  const stream = client.request({ ":method": body === undefined ? "GET" : "POST", ":path": path, ...headers }, {
    endStream: body === undefined,
  });
  if (body !== undefined) stream.end(body);
  return stream;
}

const origin = (port: number) => `http://127.0.0.1:${port}`;

fact(
  "requests of one HTTP/2 connection are answered side by side, bodies of any length whole",
  () =>
    withPort(echo, {}, ({ listener, requests }) =>
      session(origin(listener.port), async (client) => {
        const long = "z".repeat(300_000);
        const answers = await Promise.all([
          answered(ask(client, "/a?b=c")),
          answered(ask(client, "/b", "hello", { "x-a": "1", cookie: "k=v" })),
          answered(ask(client, "/c", long, { "content-length": String(long.length) })),
          answered(ask(client, "/d/../e", "")),
        ]);
        deepStrictEqual(answers.map(({ status }) => status), [200, 200, 200, 200]);
        deepStrictEqual(answers.map(({ text }) => text.slice(0, 20)), [
          "GET /a?b=c ",
          "POST /b hello",
          "POST /c zzzzzzzzzzzz",
          "POST /e ",
        ]);
        equal(answers[2].text.length, "POST /c ".length + long.length);
        equal(answers[0].headers["content-length"], "11");
        const b = requests.find(({ path }) => path === "/b")!;
        deepStrictEqual([b.headers.get("x-a"), b.headers.get("cookie")], ["1", "k=v"]);
        deepStrictEqual(requests.map(({ body }) => body.length).toSorted(), [0, long.length, undefined, undefined]);
      })),
);

fact(
  "a stream of the whole router passes by HTTP/2, and ends its request when its client resets it",
  () =>
    withRouter({ sims: [{ speed: 1 }] }, (stage) =>
      session(stage.url, async (client) => {
        const body = (tokens: number) => JSON.stringify({ model, prompt: "x", stream: true, max_tokens: tokens });
        const { status, text } = await answered(ask(client, "/v1/completions", body(3)));
        equal(status, 200, text);
        equal(eventData(text).length, 4);
        const endless = ask(client, "/v1/completions", body(20_000));
        endless.on("error", () => {});
        await new Promise((resolve) => endless.once("data", resolve));
        equal(reserved(stage).requests, 1);
        endless.close(http2.constants.NGHTTP2_CANCEL);
        await until("every request has ended", () => stage.router.edges.active === 0);
        await until("the engine is idle", () => busy(stage.sims[0]) === 0);
        deepStrictEqual(reserved(stage), nothingReserved);
        equal(stage.accessLines.at(-1)!.outcome, "client-disconnect");
      })),
);

fact(
  "a connection that breaks aborts all its requests",
  () =>
    withPort(
      onceAborted,
      {},
      async (port) => {
        await session(origin(port.listener.port), async (client) => {
          for (let i = 0; i < 5; i++) ask(client, `/${i}`).on("error", () => {});
          await until("all arrived", () => port.requests.length === 5);
        });
        await until("all are aborted", () => port.requests.every(({ signal }) => signal.aborted));
        await until("the connection is gone", () => port.listener.connections === 0);
        deepStrictEqual(port.errors, []);
      },
    ),
);

fact("no more than 250 requests of one connection are under way", async () => {
  const go = Promise.withResolvers<void>();
  await withPort(
    async () => {
      await go.promise;
      return plain("done");
    },
    {},
    ({ listener, requests }) =>
      session(origin(listener.port), async (client) => {
        const settings = await new Promise<http2.Settings>((resolve) => client.once("remoteSettings", resolve));
        equal(settings.maxConcurrentStreams, 250);
        const all = Array.from({ length: 300 }, (_, i) => answered(ask(client, `/${i}`)));
        await until("the first arrived", () => requests.length === 250);
        go.resolve();
        equal((await Promise.all(all)).length, 300);
      }),
  );
});

fact(
  "a client that takes back request after request loses its connection",
  () =>
    withPort(
      onceAborted,
      {},
      (port) =>
        session(origin(port.listener.port), async (client) => {
          let closed = false;
          client.once("close", () => closed = true);
          for (let taken = 0; taken < 1_100 && !closed; taken += 50) {
            const streams = Array.from({ length: 50 }, () => ask(client, "/"));
            for (const stream of streams) stream.on("error", () => {});
            await until("all arrived", () => closed || port.requests.length === taken + 50);
            for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL);
            await until("all are taken back", () => closed || port.requests.every(({ signal }) => signal.aborted));
          }
          await until("it is closed", () => closed);
          ok(port.requests.length >= 1_000, `closed after ${port.requests.length}`);
          await until("the connection is gone", () => port.listener.connections === 0);
        }),
    ),
);

fact(
  "requests that are none are refused in HTTP/2 too",
  () =>
    withPort(echo, {}, ({ listener, requests }) =>
      session(origin(listener.port), async (client) => {
        for (const [method, status] of [["TRACE", 405], ["FOO", 400]] as const) {
          const answer = await answered(client.request({ ":method": method, ":path": "/" }));
          equal(answer.status, status, method);
          match(answer.text, /"error"/);
        }
        equal(requests.length, 0);
      })),
);

fact("an idle connection is closed, and one that begins HTTP/2 and goes on otherwise", async () => {
  const clock = new VirtualClock();
  await withPort(echo, { clock }, async (port) => {
    await session(origin(port.listener.port), async (client) => {
      await answered(ask(client, "/"));
      await until("it is closed", () => {
        clock.advance(1_000);
        return port.listener.connections === 0;
      });
    });
    const garbage = `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${"\xff".repeat(200)}`;
    await connected(port, garbage, async (connection) => {
      await received(connection);
      await until("the connection is gone", () => port.listener.connections === 0);
    });
    equal(port.requests.length, 1);
  });
});

fact("an answer may take longer than a request, whose body ends with its declared length", async () => {
  const clock = new VirtualClock();
  const rest = Promise.withResolvers<Uint8Array>();
  const words = [Promise.resolve(Buffer.from("begun, ")), rest.promise];
  const source: BodySource = { read: async () => await words.shift() ?? null, cancel() {} };
  const handler: Handler = async ({ body }) => {
    // As the router does: no more is read than was declared.
    for (let left = body.length!; left > 0;) left -= await body.readInto(new Uint8Array(left));
    return { status: 200, headers: new Headers(), body: source };
  };
  await withPort(handler, { clock }, (port) =>
    session(origin(port.listener.port), async (client) => {
      const stream = ask(client, "/", "hello", { "content-length": "5" });
      const answer = answered(stream);
      await once(stream, "data");
      for (let second = 0; second < 400; second++) clock.advance(1_000);
      rest.resolve(Buffer.from("done"));
      equal((await answer).text.endsWith("done"), true);
      deepStrictEqual(port.errors, []);
    }));
});

fact("curl speaks HTTP/2 to the router, with prior knowledge", () =>
  withRouter({ sims: [{}] }, async ({ url }) => {
    const { success, stdout } = await new Deno.Command("curl", {
      args: [
        ...["-sS", "--http2-prior-knowledge", "-w", "\n%{http_version} %{http_code}", `${url}/v1/completions`],
        ...["-d", JSON.stringify({ model, prompt: "x", max_tokens: 2 })],
      ],
    }).output();
    ok(success);
    match(Buffer.from(stdout).toString(), /"choices".*\n2 200$/s);
  }));

fact("a client that takes nothing of its answer stops its source, and is given up in time", async () => {
  const clock = new VirtualClock();
  let pieces = 0, cancelled = false;
  const endless: BodySource = {
    read: () => {
      pieces++;
      return Promise.resolve(new Uint8Array(16_384));
    },
    cancel: () => {
      cancelled = true;
    },
  };
  await withPort(
    () => ({ status: 200, headers: new Headers(), body: endless }),
    { clock },
    (port) =>
      session(origin(port.listener.port), async (client) => {
        const stream = ask(client, "/");
        stream.on("error", () => {});
        stream.pause();
        let still = 0, last = -1;
        await until("the source is left alone", () => {
          still = pieces === last ? still + 1 : 0;
          last = pieces;
          return pieces > 0 && still > 20;
        });
        ok(pieces < 1_000, `${pieces} pieces taken`);
        await until("it is given up", () => {
          clock.advance(5_000);
          return cancelled;
        });
        equal(port.errors.length, 0);
      }),
  );
});
