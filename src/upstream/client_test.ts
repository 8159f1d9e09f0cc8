import { equal, ok, rejects } from "node:assert/strict";
import { sleep, systemClock, VirtualClock } from "../core/mod.ts";
import { UpstreamClient, UpstreamFailure, type UpstreamTarget } from "./client.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A server scripted byte by byte: each connection is given to `serve` with its number. */
function rawServer(serve: (conn: Deno.TcpConn, number: number) => Promise<void>) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  let connections = 0;
  const done = (async () => {
    for await (const conn of listener) {
      open.add(conn);
      serve(conn, connections++).catch(() => {}).finally(() => {
        open.delete(conn);
        try {
          conn.close();
        } catch {
          // The test closed it.
        }
      });
    }
  })();
  const target: UpstreamTarget = { scheme: "http", host: "127.0.0.1", port: (listener.addr as Deno.NetAddr).port };
  return {
    target,
    get connections() {
      return connections;
    },
    async stop() {
      listener.close();
      for (const conn of open) conn.close();
      await done;
    },
  };
}

async function readRequest(conn: Deno.TcpConn): Promise<string | null> {
  const buffer = new Uint8Array(65536);
  let text = "";
  while (!text.includes("\r\n\r\n")) {
    const n = await conn.read(buffer);
    if (n === null) return null;
    text += decoder.decode(buffer.subarray(0, n));
  }
  return text;
}

const ok2 = encoder.encode("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
const get = { method: "GET", path: "/", headerLines: "" };

async function text(exchange: ReturnType<UpstreamClient["send"]>): Promise<string> {
  await exchange.head;
  let body = "";
  for (let chunk = await exchange.read(); chunk; chunk = await exchange.read()) body += decoder.decode(chunk);
  return body;
}

Deno.test("UpstreamClient reuses a connection and closes it when idle too long", async () => {
  const server = rawServer(async (conn) => {
    while (await readRequest(conn)) await conn.write(ok2);
  });
  const clock = new VirtualClock();
  const client = new UpstreamClient({ clock });
  for (let i = 0; i < 3; i++) equal(await text(client.send(server.target, get)), "ok");
  equal(server.connections, 1);
  equal(client.idleConnections, 1);
  clock.advance(10_000);
  equal(client.idleConnections, 0);
  equal(await text(client.send(server.target, get)), "ok");
  equal(server.connections, 2);
  client.close();
  await server.stop();
});

Deno.test("UpstreamClient ends an exchange without a token in time, however much else comes, and not after one", async () => {
  const server = rawServer(async (conn) => {
    await readRequest(conn);
    await conn.write(encoder.encode("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"));
    for (let i = 0; i < 4; i++) {
      await conn.write(encoder.encode(": ping\n\n"));
      await sleep(systemClock, 5);
    }
    await readRequest(conn);
  });
  for (const token of [false, true]) {
    const clock = new VirtualClock();
    const client = new UpstreamClient({ clock, idleTimeoutMs: 3000 });
    const exchange = client.send(server.target, { ...get, firstTokenTimeoutMs: 1000 });
    await exchange.head;
    for (let read = 0; read < 32;) read += (await exchange.read())!.length;
    if (token) exchange.sawToken();
    const end = exchange.read();
    clock.advance(900);
    equal(client.active, 1);
    clock.advance(2000);
    equal(client.active, token ? 1 : 0);
    clock.advance(2000);
    await rejects(
      end,
      (error) => error instanceof UpstreamFailure && error.kind === (token ? "idle-timeout" : "first-token-timeout"),
    );
    client.close();
  }
  await server.stop();
});

Deno.test("UpstreamClient sends again on a fresh connection when an idle one was closed by the server", async () => {
  const server = rawServer(async (conn, number) => {
    await readRequest(conn);
    await conn.write(ok2);
    if (number === 0) return;
    while (await readRequest(conn)) await conn.write(ok2);
  });
  const client = new UpstreamClient();
  equal(await text(client.send(server.target, get)), "ok");
  equal(await text(client.send(server.target, get)), "ok");
  equal(server.connections, 2);
  client.close();
  await server.stop();
});

Deno.test("UpstreamClient says what failed: refused, reset, cut short, nonsense", async () => {
  const client = new UpstreamClient();
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const port = (gone.addr as Deno.NetAddr).port;
  gone.close();
  const kind = (expected: string) => (error: unknown) => error instanceof UpstreamFailure && error.kind === expected;
  await rejects(client.send({ scheme: "http", host: "127.0.0.1", port }, get).head, kind("connect"));
  for (
    const [answer, expected] of [["", "reset"], ["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", "reset"], [
      "garbage\r\n\r\n",
      "protocol",
    ]]
  ) {
    const server = rawServer(async (conn) => {
      await readRequest(conn);
      await conn.write(encoder.encode(answer));
    });
    await rejects(text(client.send(server.target, get)), kind(expected));
    await server.stop();
  }
  equal(client.active, 0);
  client.close();
});

Deno.test("UpstreamClient times out a silent connect, first byte and stream in virtual time", async () => {
  const clock = new VirtualClock();
  let headSent!: () => void;
  const sent = new Promise<void>((resolve) => headSent = resolve);
  const server = rawServer(async (conn, number) => {
    await readRequest(conn);
    if (number === 1) {
      await conn.write(encoder.encode("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"));
      headSent();
    }
    await readRequest(conn);
  });
  const client = new UpstreamClient({ clock, firstByteTimeoutMs: 5_000, idleTimeoutMs: 1_000 });
  const kind = (expected: string) => (error: unknown) => error instanceof UpstreamFailure && error.kind === expected;

  const first = client.send(server.target, get);
  const refused = rejects(first.head, kind("first-byte-timeout"));
  while (server.connections < 1) await sleep(systemClock, 1);
  await sleep(systemClock, 20);
  clock.advance(6_000);
  await refused;

  const second = client.send(server.target, get);
  await second.head;
  await sent;
  equal(decoder.decode((await second.read())!), "ab");
  const silent = rejects(second.read(), kind("idle-timeout"));
  clock.advance(1_500);
  await silent;

  const never = new UpstreamClient({
    clock,
    dial: (_target, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  });
  const dialling = rejects(never.send(server.target, get).head, kind("connect-timeout"));
  clock.advance(2_500);
  await dialling;
  equal(client.active + never.active, 0);
  client.close();
  await server.stop();
});

Deno.test("Exchange.cancel() closes the server's side within 50 ms in every phase", async () => {
  for (const phase of ["before head", "after head", "inside body"]) {
    let closedAt = 0;
    let reached!: () => void;
    const waiting = new Promise<void>((resolve) => reached = resolve);
    let noticed!: () => void;
    const seen = new Promise<void>((resolve) => noticed = resolve);
    const server = rawServer(async (conn) => {
      await readRequest(conn);
      if (phase !== "before head") {
        await conn.write(encoder.encode("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"));
      }
      if (phase === "inside body") await conn.write(encoder.encode("1\r\na\r\n"));
      reached();
      await readRequest(conn).catch(() => null);
      closedAt = systemClock.now();
      noticed();
    });
    const client = new UpstreamClient();
    const exchange = client.send(server.target, get);
    if (phase !== "before head") await exchange.head;
    if (phase === "inside body") await exchange.read();
    await waiting;
    const cancelledAt = systemClock.now();
    exchange.cancel();
    await seen;
    ok(closedAt - cancelledAt < 50, `${phase}: ${closedAt - cancelledAt} ms`);
    await rejects(exchange.read(), (error) => error instanceof UpstreamFailure && error.kind === "cancelled");
    equal(client.active, 0);
    equal(client.idleConnections, 0);
    client.close();
    await server.stop();
  }
});

Deno.test("UpstreamClient hears a server that refuses before the body is sent", async () => {
  const server = rawServer(async (conn) => {
    const buffer = new Uint8Array(1024);
    await conn.read(buffer);
    await conn.write(
      encoder.encode("HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig"),
    );
    while (await conn.read(buffer) !== null);
  });
  const client = new UpstreamClient();
  const exchange = client.send(server.target, { ...get, method: "POST", body: new Uint8Array(8 << 20) });
  equal((await exchange.head).status, 413);
  equal(decoder.decode((await exchange.read())!), "big");
  equal(await exchange.read(), null);
  equal(client.idleConnections, 0);
  client.close();
  await server.stop();
});

Deno.test("UpstreamClient gives up a TLS handshake that is never answered", async () => {
  const clock = new VirtualClock();
  let taken!: () => void;
  const accepted = new Promise<void>((resolve) => taken = resolve);
  const server = rawServer(async (conn) => {
    taken();
    await conn.read(new Uint8Array(4096));
    await conn.read(new Uint8Array(4096));
  });
  const client = new UpstreamClient({ clock });
  const refused = rejects(
    client.send({ ...server.target, scheme: "https" }, get).head,
    (error) => error instanceof UpstreamFailure && error.kind === "connect-timeout",
  );
  await accepted;
  clock.advance(2_500);
  await refused;
  equal(client.active, 0);
  client.close();
  await server.stop();
});

Deno.test("UpstreamClient closes an idle connection that speaks unasked, and never takes its words for an answer", async () => {
  const closed = Promise.withResolvers<void>();
  const server = rawServer(async (conn, number) => {
    await readRequest(conn);
    await conn.write(ok2);
    if (number > 0) return void await readRequest(conn);
    await conn.write(encoder.encode("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    await readRequest(conn).catch(() => null);
    closed.resolve();
  });
  const client = new UpstreamClient();
  equal(await text(client.send(server.target, get)), "ok");
  await closed.promise;
  equal(await text(client.send(server.target, get)), "ok");
  equal(server.connections, 2);
  client.close();
  await server.stop();
});
