/** The port's HTTP/1.1 on raw sockets: framing, order, times and bounds. */
import { deepStrictEqual, equal, match, ok, rejects } from "node:assert/strict";
import { VirtualClock } from "../../src/core/mod.ts";
import type { BodySource } from "../../src/pipeline/mod.ts";
import { fact, until } from "./harness.ts";
import { connected, echo, onceAborted, plain, received, send, withPort } from "./ports.ts";

const encoder = new TextEncoder();
const get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/** A body of these pieces, then a failure where one is given. */
function pieces(parts: readonly string[], failure?: Error): BodySource & { cancelled: boolean } {
  const queue = [...parts];
  return {
    cancelled: false,
    read() {
      const part = queue.shift();
      if (part === undefined && failure) return Promise.reject(failure);
      return Promise.resolve(part === undefined ? null : encoder.encode(part));
    },
    cancel() {
      this.cancelled = true;
    },
  };
}

fact(
  "bodies arrive by length and in chunks, however they are cut, and requests behind them are served in order",
  () =>
    withPort(echo, {}, async (port) => {
      const requests = [
        "POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
        "POST /b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: u\r\n\r\n",
        "\r\nGET /c HTTP/1.1\r\nhost: x\r\n\r\n",
        "PUT /d HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nconnection: close\r\n\r\n!",
      ].join("");
      for (const size of [1, 7, 64, requests.length]) {
        await connected(port, "", async (connection) => {
          for (let at = 0; at < requests.length; at += size) await send(connection, requests.slice(at, at + size));
          const text = await received(connection);
          deepStrictEqual([...text.matchAll(/^(?:POST|GET|PUT) \/.*?(?=HTTP|$)/gm)].map(([line]) => line), [
            "POST /a hello",
            "POST /b abcde",
            "GET /c ",
            "PUT /d !",
          ]);
          equal(text.match(/connection: close/g)?.length, 1);
        });
      }
    }),
);

fact("a long body is read whole, and larger ones than the buffer in order", () =>
  withPort(echo, {}, (port) => {
    const body = Array.from({ length: 100_000 }, (_, i) => String.fromCharCode(32 + (i * 7) % 90)).join("");
    const request = `POST /l HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    return connected(port, request, async (connection) => {
      ok((await received(connection)).endsWith(`POST /l ${body}`));
    });
  }));

fact(
  "100 Continue is said when the body is wanted, and not where it is refused",
  () =>
    withPort((request) => request.path === "/no" ? plain("no", 413) : echo(request), {}, async (port) => {
      const head = (path: string) =>
        `POST ${path} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n`;
      await connected(port, head("/yes"), async (connection) => {
        equal(await received(connection, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
        await send(connection, "hi");
        match(await received(connection, "hi"), /^HTTP\/1.1 200 /);
      });
      await connected(port, head("/no"), async (connection) => {
        const text = await received(connection);
        match(text, /^HTTP\/1.1 413 /);
        match(text, /connection: close/);
      });
    }),
);

fact(
  "HTTP/1.0 gets no chunks and keeps its connection only when it asks",
  () =>
    withPort(
      ({ path }) =>
        path === "/s" ? { status: 200, headers: new Headers(), body: pieces(["a", "bc"]) } : {
          status: 200,
          headers: new Headers(),
          body: encoder.encode("whole"),
        },
      {},
      async (port) => {
        await connected(port, "GET /s HTTP/1.0\r\n\r\n", async (connection) => {
          const text = await received(connection);
          ok(text.endsWith("\r\n\r\nabc") && !/transfer-encoding/.test(text), text);
        });
        await connected(port, "GET / HTTP/1.0\r\n\r\n", async (connection) => {
          match(await received(connection), /content-length: 5\r\nconnection: close\r\n\r\nwhole$/);
        });
        await connected(port, "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", async (connection) => {
          match(await received(connection, "whole"), /connection: keep-alive/);
          await send(connection, "GET / HTTP/1.0\r\n\r\n");
          match(await received(connection), /connection: close/);
        });
      },
    ),
);

fact("HEAD, 204 and 304 have no body, and the connection goes on", () =>
  withPort(
    ({ method, path }) => ({
      status: method === "HEAD" ? 200 : Number(path.slice(1)),
      headers: new Headers(),
      body: pieces(["x"]),
    }),
    {},
    (port) =>
      connected(port, "HEAD / HTTP/1.1\r\nhost: x\r\n\r\nGET /204 HTTP/1.1\r\nhost: x\r\n\r\n", async (connection) => {
        await send(connection, "GET /304 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        const text = await received(connection);
        deepStrictEqual(text.match(/HTTP\/1.1 \d+/g), ["HTTP/1.1 200", "HTTP/1.1 204", "HTTP/1.1 304"]);
        ok(!text.includes("x\r\n0"), text);
      }),
  ));

fact("an answer whose body fails is cut off where it stands, and its source cancelled", async () => {
  const source = pieces(["begun"], new Error("lost"));
  await withPort(
    () => ({ status: 200, headers: new Headers(), body: source }),
    {},
    (port) =>
      connected(port, get, async (connection) => {
        const text = await received(connection);
        ok(text.endsWith("5\r\nbegun\r\n"), text);
        ok(source.cancelled);
        deepStrictEqual(port.errors.map(String), ["Error: lost"]);
      }),
  );
});

fact(
  "a client that leaves while it waits aborts its request, and the half of a connection is no client",
  () =>
    withPort(
      onceAborted,
      {},
      async (port) => {
        for (const leave of [(c: Deno.TcpConn) => c.close(), (c: Deno.TcpConn) => c.closeWrite()]) {
          await connected(port, get, async (connection) => {
            await until("the request arrived", () => port.requests.length > 0);
            await leave(connection);
            await until("it is aborted", () => port.requests.at(-1)!.signal.aborted);
            await until("the connection is gone", () => port.listener.connections === 0);
          });
        }
        deepStrictEqual(port.errors, []);
      },
    ),
);

/** Advances until the other side has ended the connection; what it said. */
async function afterSilence(clock: VirtualClock, connection: Deno.TcpConn, ms: number): Promise<string> {
  let ended = false;
  const text = received(connection).finally(() => ended = true);
  let passed = 0;
  await until("the connection is ended", () => {
    clock.advance(1_000);
    passed += 1_000;
    return ended;
  });
  ok(passed >= ms, `ended after ${passed} ms`);
  return await text;
}

for (
  const [what, sent, ms, said] of [
    ["sends nothing", "", 30_000, /^$/],
    ["never ends its head", "GET / HTTP/1.1\r\nhost:", 30_000, /^HTTP\/1.1 408 .*connection: close/s],
    ["never ends its body", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc", 300_000, /^HTTP\/1.1 408 /],
    [
      "is told to go on and does not",
      "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n",
      300_000,
      /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 408 /,
    ],
    ["asks nothing more", get, 75_000, /^HTTP\/1.1 200 OK.*GET \/ $/s],
  ] as const
) {
  fact(`a client that ${what} is given up in time`, async () => {
    const clock = new VirtualClock();
    await withPort(echo, { clock }, (port) =>
      connected(port, sent, async (connection) => {
        if (ms === 300_000) await until("the request arrived", () => port.requests.length === 1);
        else await until("it is connected", () => port.listener.connections === 1);
        match(await afterSilence(clock, connection, ms), said);
      }));
  });
}

fact("the first client after a long silence has as much time as any", async () => {
  const clock = new VirtualClock();
  await withPort(echo, { clock }, async (port) => {
    for (let hour = 0; hour < 2; hour++) {
      clock.advance(3_600_000);
      await connected(port, "GET /", async (connection) => {
        await until("it is connected", () => port.listener.connections === 1);
        clock.advance(20_000);
        await send(connection, " HTTP/1.1\r\nhost: x\r\n\r\n");
        match(await received(connection, "GET / "), /^HTTP\/1.1 200 OK\r\n/);
      });
      await until("it is gone", () => port.listener.connections === 0);
    }
  });
});

fact("a head sent byte by byte has no more time than another", async () => {
  const clock = new VirtualClock();
  await withPort(echo, { clock }, (port) =>
    connected(port, "G", async (connection) => {
      await until("it is connected", () => port.listener.connections === 1);
      for (let i = 0; i < 40 && port.listener.connections > 0; i++) {
        await send(connection, "E").catch(() => {});
        clock.advance(1_000);
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      match(await received(connection), /^HTTP\/1.1 408 /);
    }));
});

fact("a client that takes nothing of its answer is given up", async () => {
  const clock = new VirtualClock();
  const chunk = "x".repeat(65_536);
  const endless: BodySource & { cancelled: boolean } = {
    cancelled: false,
    read: () => Promise.resolve(encoder.encode(chunk)),
    cancel() {
      this.cancelled = true;
    },
  };
  await withPort(
    () => ({ status: 200, headers: new Headers(), body: endless }),
    { clock },
    (port) =>
      connected(port, get, () =>
        until("it is given up", () => {
          clock.advance(5_000);
          return endless.cancelled;
        })),
  );
});

fact(
  "beyond their number connections are answered 503 at once",
  () =>
    withPort(
      echo,
      { limits: { connectionsMax: 2 } },
      (port) =>
        connected(port, "", () =>
          connected(port, "", async () => {
            await until("both are counted", () => port.listener.connections === 2);
            await connected(port, "", async (connection) => {
              const text = await received(connection);
              match(text, /^HTTP\/1.1 503 .*retry-after: 1\r\n.*too_many_connections/s);
            });
            equal(port.listener.connections, 2);
          })),
    ),
);

fact("two ports do not share a number unless both are told to, with TLS neither", async () => {
  const file = (name: string) => Deno.readTextFileSync(new URL(`../golden/tls/${name}`, import.meta.url));
  const tls = { cert: file("server.pem"), key: file("server.key") };
  for (const options of [{}, { tls }]) {
    await withPort(echo, options, async ({ listener: { port } }) => {
      await rejects(withPort(echo, { ...options, port }, () => Promise.resolve()), { code: "EADDRINUSE" });
    });
    await withPort(echo, { ...options, reusePort: true }, async ({ listener: { port } }) => {
      await withPort(echo, { ...options, port, reusePort: true }, () => Promise.resolve());
    });
  }
});

fact("draining ends idle connections and lets answers under way end, each the last of its connection", async () => {
  const go = Promise.withResolvers<void>();
  await withPort(
    async (request) => {
      await go.promise;
      return await echo(request);
    },
    {},
    (port) =>
      connected(port, "", (idle) =>
        connected(port, get, async (busy) => {
          await until("both are counted", () => port.listener.connections === 2 && port.requests.length === 1);
          const drained = port.listener.drain();
          equal(await received(idle), "");
          go.resolve();
          match(await received(busy), /^HTTP\/1.1 200 OK.*connection: close/s);
          await drained;
        })),
  );
});

fact("a client that resets its connection in the middle of its answer is no error of ours", async () => {
  const chunk = new Uint8Array(65_536);
  const sources: { cancelled: boolean }[] = [];
  await withPort(
    () => {
      const source = {
        cancelled: false,
        read: () => Promise.resolve(chunk),
        cancel() {
          this.cancelled = true;
        },
      };
      sources.push(source);
      return { status: 200, headers: new Headers(), body: source };
    },
    {},
    async (port) => {
      for (const sent of [get, get.repeat(3), `${get}${"x".repeat(100_000)}`]) {
        await connected(port, sent, async (connection) => {
          await connection.read(new Uint8Array(1));
          // Unread bytes make the end of it a reset.
          connection.close();
        });
      }
      await until("every source is let go", () => sources.length >= 3 && sources.every(({ cancelled }) => cancelled));
      await until("the connections are gone", () => port.listener.connections === 0);
      deepStrictEqual(port.errors, []);
    },
  );
});

fact(
  "what a refused client still sends is read, so that it gets its answer",
  () =>
    withPort(
      () => plain("too long", 413),
      {},
      (port) =>
        connected(port, "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 8000000\r\n\r\n", async (connection) => {
          await send(connection, "y".repeat(8_000_000));
          match(await received(connection), /^HTTP\/1.1 413 .*too long/s);
        }),
    ),
);
