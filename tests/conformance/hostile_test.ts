/**
 * 10,000 malformed or hostile requests: each gets a 4xx in the shape its clients read, the process stays alive, and no model
 * server sees any of it. The cases that are valid after all, decided beforehand, must arrive, and only they.
 */
import { deepStrictEqual, equal, fail, match, ok } from "node:assert/strict";
import { Prng } from "../../src/core/mod.ts";
import { apiPaths, type ErrorShape, errorShape } from "../../src/protocol/mod.ts";
import { nothingReserved, reserved, type Stage, until, withRouter } from "../e2e/harness.ts";
import { type BodyCase, judge, mutations, wrongForms, wrongHeaders, wrongTypes } from "./hostile_bodies.ts";
import { type BytesCase, hostileShapes, latin1, noise } from "./hostile_bytes.ts";
import { headerOf, RecordingServer } from "./recording_server.ts";
import { rawExchange } from "./raw_client.ts";

/** Mutations that are valid after all come on top. */
const hostileMin = 10_000;
const requestsInAll = 10_600;
const together = 16;
/** A connection that says nothing for so long will not. */
const quietMs = 2_000;

/** The body of a refusal is the error its clients' libraries read. */
function checkError(text: string, shape: ErrorShape, where: string): Record<string, unknown> {
  let parsed;
  try {
    parsed = JSON.parse(text);
  } catch {
    fail(`${where}: the answer is no JSON: ${JSON.stringify(text.slice(0, 200))}`);
  }
  const { error } = parsed;
  equal(typeof error?.message, "string", where);
  equal(typeof error.type, "string", where);
  if (shape === "anthropic") {
    equal(parsed.type, "error", where);
    equal(typeof parsed.request_id, "string", where);
  } else {
    deepStrictEqual(Object.keys(error).toSorted(), ["code", "message", "param", "type"], where);
  }
  return error;
}

/** Runs `work` over the cases, `together` at a time. */
async function each<T>(cases: readonly T[], work: (each: T, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < cases.length) {
      const index = next++;
      await work(cases[index], index);
    }
  };
  await Promise.all(Array.from({ length: together }, worker));
}

async function sendBody(url: string, hostile: BodyCase, id: string): Promise<void> {
  const verdict = judge(hostile);
  const given = hostile.headers["x-request-id"];
  const where = `${hostile.path} ${JSON.stringify(new TextDecoder().decode(hostile.body).slice(0, 300))}`;
  const response = await fetch(url + hostile.path, {
    method: "POST",
    headers: { "x-request-id": id, ...hostile.headers },
    body: hostile.body,
  });
  const text = await response.text();
  if (given === undefined) equal(response.headers.get("x-request-id"), id, where);
  else match(response.headers.get("x-request-id") ?? "", /^[\x21-\x7e]{1,128}$/, where);
  if (verdict.forwarded) return equal(response.status, 200, where);
  equal(response.status, verdict.status, `${where}: ${text}`);
  equal(response.headers.get("content-type"), "application/json", where);
  const shape = errorShape(hostile.path);
  const error = checkError(text, shape, where);
  if (shape === "openai" && verdict.param !== undefined) equal(error.param, verdict.param, where);
}

async function sendBytes(port: number, { name, bytes, answerer, errors, status }: BytesCase): Promise<void> {
  const answersMax = answerer === "port" ? Infinity : 1;
  const { answers, closed } = await rawExchange(port, [bytes], { quietMs, answersMax });
  if (answerer === "port") ok(closed, `${name}: the connection must be closed`);
  equal(answers.length, 1, `${name}: must be answered once`);
  const [answer] = answers;
  equal(answer.status, status, `${name}: ${answer.body}`);
  checkError(answer.body, answerer === "port" && answer.body.startsWith('{"error":') ? "openai" : errors, name);
}

/** A valid request is served: the process is alive. */
async function alive(url: string, id: string): Promise<void> {
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "x-request-id": id },
    body: '{"model":"known","prompt":"x"}',
  });
  equal(await response.text(), '{"object":"recorded"}');
}

/** What must hold after any attack. */
async function unharmed({ router, accessLines, logLines }: Stage, server: RecordingServer): Promise<void> {
  await until("every request has ended", () => router.edges.active === 0);
  deepStrictEqual(reserved({ router } as Stage), nothingReserved);
  deepStrictEqual(server.broken, [], "whatever reaches a model server has one length");
  deepStrictEqual(accessLines.filter(({ outcome }) => outcome === "internal-error"), []);
  deepStrictEqual(logLines.filter(({ level }) => level === "error"), []);
}

const config = { observe: { usage: "client" } };

Deno.test(`${hostileMin} hostile bodies and headers are answered with 4xx and never forwarded`, async () => {
  await using server = new RecordingServer();
  await withRouter({ endpoints: [server.url], config }, async (stage) => {
    const shapes = hostileShapes(Object.keys(apiPaths));
    const bytes = [...shapes, ...noise(500, 3)];
    const written = [...wrongForms(), ...wrongTypes(), ...wrongHeaders()];
    const taken = wrongTypes().filter((hostile) => judge(hostile).forwarded);
    deepStrictEqual(taken.map(({ path, body }) => `${path} ${new TextDecoder().decode(body)}`), []);
    const bodies = [...written, ...mutations(requestsInAll - written.length - bytes.length, 4)];
    equal(bodies.length + bytes.length, requestsInAll);

    await each(bytes, (hostile) => sendBytes(stage.router.port, hostile));
    equal(server.requests.length, 0, "none of the hostile bytes is forwarded");
    await each(bodies, (hostile, index) => sendBody(stage.url, hostile, `hostile-${index}`));
    const arrived = new Map(server.requests.map((request) => [headerOf(request, "x-request-id"), request.body]));
    equal(arrived.size, server.requests.length, "no request is forwarded twice");
    const expected = new Map(
      bodies.flatMap((hostile, index) => judge(hostile).forwarded ? [[`hostile-${index}`, hostile.body] as const] : []),
    );
    deepStrictEqual([...arrived.keys()].toSorted(), [...expected.keys()].toSorted());
    for (const [id, body] of expected) deepStrictEqual(arrived.get(id), body, `${id} arrives byte for byte`);
    ok(expected.size > 0 && requestsInAll - expected.size >= hostileMin, `${expected.size} mutations are valid`);

    await alive(stage.url, "last");
    await unharmed(stage, server);
  });
});

Deno.test("bodies over the limit are refused, declared or not", async () => {
  await using server = new RecordingServer();
  await withRouter({ endpoints: [server.url], config }, async (stage) => {
    const body = new Uint8Array(2 << 20).fill(0x20);
    const inPieces = () => ReadableStream.from(Array.from({ length: 32 }, () => body.subarray(0, 65_536)));
    for (const path of Object.keys(apiPaths)) {
      for (const sent of [body, inPieces()]) {
        const response = await fetch(stage.url + path, { method: "POST", body: sent });
        const text = await response.text();
        equal(response.status, 413, text);
        checkError(text, errorShape(path), path);
      }
    }
    equal(server.requests.length, 0);
    await unharmed(stage, server);
  });
});

Deno.test("what follows a request on its connection is never taken for its body, nor forwarded", async () => {
  await using server = new RecordingServer();
  await withRouter({ endpoints: [server.url], config }, async (stage) => {
    const bad = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n{x}";
    const pipelined = await rawExchange(stage.router.port, [latin1(bad.repeat(20))], { quietMs, answersMax: 20 });
    deepStrictEqual(pipelined.answers.map(({ status }) => status), new Array(20).fill(400));
    for (const { body } of pipelined.answers) checkError(body, "openai", "pipelined");

    const garbage = await rawExchange(stage.router.port, [latin1(`${bad}garbage in here\r\n\r\n`)], {
      quietMs,
      answersMax: Infinity,
    });
    ok(garbage.answers.length > 0 && garbage.answers.length <= 2);
    for (const { status } of garbage.answers) equal(status, 400);
    checkError(garbage.answers[0].body, "openai", "before the garbage");
    ok(garbage.closed);
    equal(server.requests.length, 0);
    await unharmed(stage, server);
  });
});

Deno.test("heads with random damage reach a model server only as whole requests for unknown paths", async () => {
  await using server = new RecordingServer();
  await withRouter({ endpoints: [server.url], config }, async (stage) => {
    const prng = new Prng(5);
    const cases = Array.from({ length: 400 }, () => {
      const bytes = latin1(
        "POST /v1/chat/completions?a=b HTTP/1.1\r\nhost: x\r\nx-request-id: r\r\ntraceparent: 00-1-1-01\r\n" +
          "connection: keep-alive\r\ncontent-type: application/json\r\ncontent-length: 3\r\n\r\n{x}",
      );
      for (let times = 1 + prng.below(3); times > 0; times--) bytes[prng.below(bytes.length - 7)] = prng.below(256);
      return bytes;
    });
    await each(cases, async (bytes) => {
      const { answers } = await rawExchange(stage.router.port, [bytes], { quietMs: 300, answersMax: 1 });
      for (const { status, body } of answers) {
        if (status === 200) continue;
        ok(status >= 400 && status < 500, `${status} ${body}`);
        checkError(body, "openai", new TextDecoder("latin1").decode(bytes));
      }
    });
    for (const { head } of server.requests) {
      match(head, /^[!-~]+ \/[!-~]* HTTP\/1\.1\r\n/);
      const path = head.split(" ")[1].split("?")[0];
      ok(!(path in apiPaths), `an invalid body was forwarded to ${path}`);
    }
    await alive(stage.url, "last");
    await unharmed(stage, server);
  });
});

Deno.test("clients that send slowly or stop in the middle hold nobody up and leave nothing behind", async () => {
  await using server = new RecordingServer();
  await withRouter({ endpoints: [server.url], config }, async (stage) => {
    const beginnings = [
      "P",
      "POST /v1/chat",
      "POST /v1/completions HTTP/1.1\r\nhost: x\r\nx-a: ",
      'POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n{"model":"kno',
      'POST /v1/messages HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n40\r\n{"model"',
    ];
    const open = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: stage.router.port });
      for (const byte of latin1(beginnings[i % beginnings.length])) await connection.write(new Uint8Array([byte]));
      return connection;
    }));
    for (let i = 0; i < 20; i++) await alive(stage.url, `beside-${i}`);
    equal(server.requests.length, 20);
    for (const connection of open) connection.close();
    await alive(stage.url, "after");
    await unharmed(stage, server);
    equal(server.requests.length, 21);
  });
});
