/** The load of benchmarks: what counts as an answer, and that prompts share what they should. */
import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { Connection } from "../../bench/lib/http.ts";
import { batch, inTurns, openLoop, untilAnswers } from "../../bench/lib/load.ts";
import { processTree } from "../../bench/lib/procfs.ts";
import { Prompts } from "../../bench/lib/prompts.ts";
import { peersKnown } from "../../bench/peers.ts";
import { Prng } from "../../src/core/mod.ts";

const body = new TextEncoder().encode("{}");

/** A server that answers every request with the next of `answers`, as bytes; `close` ends the connection behind it. */
function scripted(answers: readonly { text: string; close?: boolean }[]) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let next = 0;
  const serve = async (conn: Deno.TcpConn) => {
    const buffer = new Uint8Array(65_536);
    let got = "";
    for (let n; (n = await conn.read(buffer)) !== null;) {
      got += new TextDecoder().decode(buffer.subarray(0, n));
      if (!got.endsWith("}")) continue;
      got = "";
      const { text, close } = answers[next++];
      await conn.write(new TextEncoder().encode(text));
      if (close) break;
    }
    conn.close();
  };
  const done = (async () => {
    for await (const conn of listener) serve(conn).catch(() => {});
  })();
  return {
    url: `http://127.0.0.1:${listener.addr.port}`,
    async [Symbol.asyncDispose]() {
      listener.close();
      await done;
    },
  };
}

const plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

Deno.test("Connection counts the body however it is framed, and connects again when it must", async () => {
  await using server = scripted([
    { text: plain },
    {
      text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n",
      close: true,
    },
    { text: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", close: true },
    { text: "HTTP/1.1 200 OK\r\n\r\nto the end", close: true },
    { text: plain },
  ]);
  let heard = 0;
  const connection = new Connection({ url: server.url }, { onBody: (bytes) => void (heard += bytes) });
  const sizes = [];
  for (let i = 0; i < 5; i++) {
    const { bodyBytes, firstByteMs, ms } = await connection.ask(body);
    ok(firstByteMs > 0 && firstByteMs <= ms);
    sizes.push(bodyBytes);
  }
  connection.close();
  deepStrictEqual([sizes, heard], [[5, 15, 2, 10, 5], 37]);
});

Deno.test("Connection refuses what is not a complete 200", async () => {
  await using server = scripted([
    { text: "HTTP/1.1 503 Busy\r\nContent-Length: 5\r\n\r\nlater" },
    { text: "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", close: true },
  ]);
  await rejects(new Connection({ url: server.url }).ask(body), /answer is 503: later/);
  await rejects(new Connection({ url: server.url }).ask(body), /ended within an answer/);
});

Deno.test("untilAnswers() ends at once with the last words of a program that has ended", async () => {
  await using server = scripted(Array(9).fill({ text: "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n" }));
  await rejects(untilAnswers({ url: server.url }, { ms: 100 }), /answer is 503/);
  await rejects(untilAnswers({ url: server.url }, { unless: () => "it ended with: no such file" }), /no such file/);
});

Deno.test("untilAnswers() waits no longer for a server that never answers", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  await rejects(untilAnswers({ url: `http://127.0.0.1:${listener.addr.port}` }, { ms: 50 }));
  (await accepted).close();
  listener.close();
});

Deno.test("batch() asks as often as it is told, openLoop() as often as arrivals come, inTurns() of each", async () => {
  let requests = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    requests++;
    return new Response("hello");
  });
  const target = { url: `http://127.0.0.1:${server.addr.port}` };
  equal((await batch(target, { count: 7, inFlight: 3, rampMs: 1 }, () => body)).length, 7);
  equal(requests, 7);
  const tookMs = await openLoop(target, { perS: 400, seconds: 0.25, prng: new Prng(1), connections: 8 }, body);
  equal(tookMs.length, requests - 7);
  // Poisson, mean 100: six standard deviations.
  ok(tookMs.length > 40 && tookMs.length < 160, `${tookMs.length} arrivals`);
  const before = requests;
  const times = await inTurns([target, target], 3, () => body);
  deepStrictEqual([times.map((list) => list.length), requests - before], [[3, 3], 6]);
  await server.shutdown();
});

Deno.test("Prompts share their beginning within a group and their end with none", () => {
  const prompts = new Prompts({ tokens: 1000, sharedShare: 0.95, groups: 2, seed: 1 });
  const [a, b, c] = Array.from({ length: 3 }, () => {
    const { messages, ...rest } = JSON.parse(new TextDecoder().decode(prompts.next({ maxTokens: 3, stream: true })));
    deepStrictEqual(rest, { model: "bench", max_tokens: 3, stream: true });
    return messages.map(({ content }: { content: string }) => content) as string[];
  });
  deepStrictEqual([a[0].length, a[1].length], [3800, 200]);
  equal(a[0], c[0]);
  equal(new Set([a[0], b[0]]).size, 2);
  equal(new Set([a[1], b[1], c[1]]).size, 3);
});

Deno.test({
  name: "processTree() holds the processes that a process started",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const child = new Deno.Command("sh", { args: ["-c", "sleep 30 & echo $!; wait"], stdout: "piped" }).spawn();
    const reader = child.stdout.getReader();
    const sleepPid = Number(new TextDecoder().decode((await reader.read()).value));
    deepStrictEqual(processTree(child.pid), [child.pid, sleepPid]);
    ok(processTree(Deno.pid).includes(sleepPid));
    for (const pid of [sleepPid, child.pid]) Deno.kill(pid, "SIGKILL");
    await child.status;
    await reader.cancel();
  },
});

Deno.test("every peer is started at its port, with every server", () => {
  const upstreams = ["127.0.0.1:1111", "127.0.0.1:2222"];
  for (const peer of peersKnown) {
    const start = peer.start({ installed: "i", work: "w", port: 3333, adminPort: 4444, upstreams });
    const said = JSON.stringify(start);
    for (const port of ["3333", "1111", "2222"]) ok(said.includes(port), `${peer.name}: ${port}`);
  }
});
