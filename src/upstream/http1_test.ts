import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import fc from "fast-check";
import { concatBytes } from "../core/mod.ts";
import { ChunkedBody, chunkOf, Http1Error, lastChunk } from "../protocol/mod.ts";
import { type ByteStream, Http1Connection } from "./http1.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A stream that gives its bytes in the pieces it was told. */
function scripted(pieces: Uint8Array[]): ByteStream & { written: string } {
  const queue = [...pieces];
  return {
    written: "",
    read(into) {
      const piece = queue.shift();
      if (!piece) return Promise.resolve(null);
      const n = Math.min(into.length, piece.length);
      into.set(piece.subarray(0, n));
      if (n < piece.length) queue.unshift(piece.subarray(n));
      return Promise.resolve(n);
    },
    write(bytes) {
      this.written += decoder.decode(bytes);
      return Promise.resolve(bytes.length);
    },
    close() {},
  };
}

function cut(bytes: Uint8Array, sizes: number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const n = sizes.length ? sizes[i % sizes.length] : bytes.length;
    pieces.push(bytes.subarray(at, at + n));
    at += n;
  }
  return pieces;
}

async function answer(text: string | Uint8Array, sizes: number[] = [], method = "POST") {
  const bytes = typeof text === "string" ? encoder.encode(text) : text;
  const connection = new Http1Connection(scripted(cut(bytes, sizes)));
  const head = await connection.exchange(method, "POST / HTTP/1.1\r\n\r\n", undefined);
  let body = "";
  for (let chunk = await connection.read(); chunk; chunk = await connection.read()) {
    body += decoder.decode(chunk, { stream: true });
  }
  return { head, body, reusable: connection.reusable };
}

Deno.test("Http1Connection reads a chunked body however it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ minLength: 1, maxLength: 40, unit: "binary-ascii" }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
      async (chunks, sizes) => {
        const framed = chunks.map((chunk) => `${chunk.length.toString(16)};x=1\r\n${chunk}\r\n`).join("");
        const result = await answer(
          `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${framed}0\r\nx-trailer: 1\r\n\r\n`,
          sizes,
        );
        equal(result.body, chunks.join(""));
        equal(result.reusable, true);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("Http1Connection reads bodies by length, by close, and none", async () => {
  equal((await answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", [3])).body, "hello");
  equal((await answer("HTTP/1.1 200 OK\r\n\r\nuntil the end", [7])).body, "until the end");
  equal((await answer("HTTP/1.1 200 OK\r\n\r\nuntil the end")).reusable, false);
  equal((await answer("HTTP/1.1 204 No Content\r\n\r\n")).body, "");
  equal((await answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", [], "HEAD")).reusable, true);
  equal((await answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")).reusable, false);
  equal((await answer("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")).reusable, false);
});

Deno.test("Http1Connection skips interim responses and keeps repeated headers", async () => {
  const { head } = await answer(
    "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\na: 1\r\nA: 2\r\ncontent-length: 0\r\n\r\n",
    [11],
  );
  equal(head.status, 200);
  equal(head.headers.get("a"), "1, 2");
  equal(head.headers.get("link"), null);
});

Deno.test("Http1Connection does not reuse a connection with bytes left over", async () => {
  equal((await answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokEXTRA")).reusable, false);
});

const malformed: [string, string][] = [
  ["both framings", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc"],
  ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd"],
  ["negative length", "HTTP/1.1 200 OK\r\ncontent-length: -3\r\n\r\nabc"],
  ["unknown coding", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
  ["no status", "HTTP/1.1 OK\r\n\r\n"],
  ["not HTTP", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
  ["folded header", "HTTP/1.1 200 OK\r\na: 1\r\n b: 2\r\n\r\n"],
  ["space before colon", "HTTP/1.1 200 OK\r\na : 1\r\n\r\n"],
  ["chunk size not hex", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
  ["chunk size too long", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n"],
  ["chunk data too long", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n"],
  ["bare LF in chunk line", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\nab\r\n"],
  ["cut inside a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"],
  ["cut inside a length", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"],
  ["cut inside the head", "HTTP/1.1 200 OK\r\nconte"],
  ["switching protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
  ["endless head", `HTTP/1.1 200 OK\r\na: ${"x".repeat(70_000)}\r\n\r\n`],
  ["endless chunk line", `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;${"x".repeat(9_000)}`],
];
for (const [name, text] of malformed) {
  Deno.test(`Http1Connection refuses a response with ${name}`, async () => {
    await rejects(answer(text, [1000]), Http1Error);
    await rejects(answer(text, [7]), Http1Error);
  });
}

Deno.test("Http1Connection accepts a head larger than its first buffer", async () => {
  const value = "y".repeat(40_000);
  const { head, body } = await answer(`HTTP/1.1 200 OK\r\na: ${value}\r\ncontent-length: 2\r\n\r\nok`, [5000]);
  equal(head.headers.get("a"), value);
  equal(body, "ok");
});

Deno.test("Http1Connection sends head and body and gives buffers of their own", async () => {
  const stream = scripted([
    encoder.encode("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"),
    encoder.encode("1\r\nb\r\n0\r\n\r\n"),
  ]);
  const connection = new Http1Connection(stream);
  await connection.exchange("POST", "POST /x HTTP/1.1\r\ncontent-length: 3\r\n\r\n", encoder.encode("abc"));
  const first = await connection.read();
  const second = await connection.read();
  deepStrictEqual([first, second].map((b) => decoder.decode(b!)), ["a", "b"]);
  ok(first!.buffer !== second!.buffer);
  equal(stream.written, "POST /x HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc");
});

/** What a client reads of a body that is pumped: chunks as they came and others framed anew. */
async function passedOn(bytes: Uint8Array, sizes: number[], stop: string): Promise<{ body: string; seen: string }> {
  const connection = new Http1Connection(scripted(cut(bytes, sizes)));
  await connection.exchange("POST", "POST / HTTP/1.1\r\n\r\n", undefined);
  let seen = "";
  const gate = {
    passes: (payload: Uint8Array) => !decoder.decode(payload).includes(stop),
    chunk: (payload: Uint8Array) => void (seen += decoder.decode(payload)),
    arrived() {},
  };
  const out: Uint8Array[] = [];
  const sink = {
    // Takes what there is in two goes.
    write: (bytes: Uint8Array) => {
      const taken = bytes.slice(0, Math.ceil(bytes.length / 2));
      out.push(taken);
      return Promise.resolve(taken.length);
    },
    wrote() {},
  };
  for (let piece = await connection.pump(gate, sink); piece; piece = await connection.pump(gate, sink)) {
    seen += decoder.decode(piece);
    out.push(chunkOf(piece));
  }
  const framed = concatBytes([...out, lastChunk]);
  const client = new ChunkedBody(), payload = new Uint8Array(framed.length);
  const size = client.decode(framed, payload);
  deepStrictEqual([client.done, client.used], [true, framed.length]);
  return { body: decoder.decode(payload.subarray(0, size)), seen };
}

Deno.test("any cut of a chunked body gives the client the same bytes as the way without framing", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ minLength: 1, maxLength: 60, unit: "binary-ascii" }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 80 }), { maxLength: 5 }),
      fc.constantFrom("", ";x=1"),
      fc.constantFrom("\0never", "a"),
      async (chunks, sizes, extension, stop) => {
        const framed = chunks.map((chunk) => `${chunk.length.toString(16)}${extension}\r\n${chunk}\r\n`).join("");
        const text = `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${framed}0\r\n\r\n`;
        const { body, seen } = await passedOn(encoder.encode(text), sizes, stop);
        deepStrictEqual([body, seen], [chunks.join(""), chunks.join("")]);
        equal((await answer(text, sizes)).body, body);
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("whole chunks are passed on where they lie, and none of a chunk that is cut off", async () => {
  const head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
  const connection = new Http1Connection(scripted([encoder.encode(`${head}2\r\nab\r\n3\r\ncde\r\n9\r\nfg`)]));
  await connection.exchange("POST", "POST / HTTP/1.1\r\n\r\n", undefined);
  const gate = { passes: () => true, chunk() {}, arrived() {} };
  let written = "";
  const sink = {
    write: (bytes: Uint8Array) => {
      written += decoder.decode(bytes);
      return Promise.resolve(bytes.length);
    },
    wrote() {},
  };
  equal(decoder.decode((await connection.pump(gate, sink))!), "fg");
  equal(written, "2\r\nab\r\n3\r\ncde\r\n");
  await rejects(connection.pump(gate, sink), Http1Error);
});
