import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { type ByteGate, ChunkedBody, chunkOf, lastChunk } from "./chunked.ts";
import { bytesOf, Http1Error, textOf } from "./text.ts";

/** Feeds a body in pieces; what it carries and what was left over. */
function decoded(text: string, sizes: readonly number[] = []): { payload: string; done: boolean; rest: number } {
  const body = new ChunkedBody(), bytes = bytesOf(text);
  let payload = "", at = 0;
  for (let i = 0; at < bytes.length && !body.done; i++) {
    const piece = bytes.subarray(at, at + (sizes.length > 0 ? sizes[i % sizes.length] : bytes.length));
    const out = new Uint8Array(piece.length);
    payload += textOf(out.subarray(0, body.decode(piece, out)));
    at += body.used;
  }
  return { payload, done: body.done, rest: bytes.length - at };
}

const chunks = fc.array(fc.string({ minLength: 1, maxLength: 40, unit: "binary-ascii" }), { maxLength: 8 });
const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 5 });

Deno.test("ChunkedBody reads what chunkOf writes, however it is cut, and stops at its end", () => {
  fc.assert(fc.property(chunks, sizes, (parts, cuts) => {
    const text = parts.map((part) => textOf(chunkOf(bytesOf(part)))).join("") + textOf(lastChunk);
    deepStrictEqual(decoded(text + "GET", cuts.map((cut) => cut)), {
      payload: parts.join(""),
      done: true,
      rest: 3,
    });
  }));
});

const refused: readonly (readonly [name: string, text: string])[] = [
  ["no size", "\r\nab\r\n"],
  ["no digits", "zz\r\n"],
  ["a sign", "+2\r\nab\r\n"],
  ["a prefix", "0x2\r\nab\r\n"],
  ["space before the size", " 2\r\nab\r\n"],
  ["space behind the size", "2 \r\nab\r\n"],
  ["a size beyond 2^48", "fffffffffffff\r\n"],
  ["LF behind the size", "2\nab\r\n"],
  ["CR within an extension", "2;a\rb\r\nab\r\n"],
  ["NUL within an extension", "2;a\0b\r\nab\r\n"],
  ["an endless extension", `2;${"a".repeat(5_000)}`],
  ["data longer than its size", "2\r\nabc\r\n"],
  ["LF behind the data", "2\r\nab\n2\r\n"],
  ["a trailer that is none", "0\r\na b: c\r\n\r\n"],
  ["a folded trailer", "0\r\na: b\r\n c\r\n\r\n"],
  ["a length in the trailers", "0\r\nContent-Length: 3\r\n\r\n"],
  ["a coding in the trailers", "0\r\ntransfer-encoding: chunked\r\n\r\n"],
  ["a host in the trailers", "0\r\nHost: x\r\n\r\n"],
  ["endless trailers", `0\r\n${"a: b\r\n".repeat(5_000)}`],
];
for (const [name, text] of refused) {
  Deno.test(`ChunkedBody refuses ${name}`, () => {
    throws(() => decoded(text), Http1Error);
    throws(() => decoded(text, [1]), Http1Error);
  });
}

Deno.test("ChunkedBody takes extensions, leading zeros and trailers", () => {
  for (
    const text of ['2;a="b;c"\r\nab\r\n0\r\n\r\n', "0002\r\nab\r\n00\r\nx: y\r\n\r\n", "2\t;a\r\nab\r\n0;b\r\n\r\n"]
  ) {
    deepStrictEqual(decoded(text, [3]), { payload: "ab", done: true, rest: 0 }, text);
  }
});

/** Collects what passes; stops at a payload that holds `stop`. */
class Collector implements ByteGate {
  payload = "";
  constructor(readonly stop = "\0none") {}
  passes(payload: Uint8Array): boolean {
    return !textOf(payload).includes(this.stop);
  }
  chunk(payload: Uint8Array): void {
    this.payload += textOf(payload);
  }
  arrived(): void {}
}

Deno.test("whole() passes the leading whole plain chunks that the gate lets through, and nothing of the next", () => {
  const whole = "3\r\nabc\r\na\r\n0123456789\r\n";
  for (
    const rest of [
      "",
      "0\r\n\r\n",
      "2",
      "2\r\na",
      "2\r\nab",
      "2\r\nab\r",
      "2;x\r\nab\r\n",
      "2\r\nabX",
      "0000000002\r\nab\r\n",
    ]
  ) {
    const gate = new Collector();
    const bytes = bytesOf(`XX${whole}${rest}Z`);
    equal(new ChunkedBody().whole(bytes, 2, bytes.length - 1, gate), 2 + whole.length, JSON.stringify(rest));
    equal(gate.payload, "abc0123456789");
  }
  equal(new ChunkedBody().whole(bytesOf(whole), 0, whole.length, new Collector("5")), 8);
  const begun = new ChunkedBody();
  begun.decode(bytesOf("5\r\nab"), new Uint8Array(8));
  equal(begun.whole(bytesOf(whole), 0, whole.length, new Collector()), 0);
});

Deno.test("whole chunks and decoded rests together are the payload, however it is cut", () => {
  fc.assert(fc.property(chunks, sizes, fc.boolean(), (parts, cuts, picky) => {
    const bytes = bytesOf(parts.map((part) => textOf(chunkOf(bytesOf(part)))).join("") + textOf(lastChunk));
    const body = new ChunkedBody(), gate = new Collector(picky ? "a" : undefined);
    for (let at = 0, i = 0; at < bytes.length; i++) {
      const end = at + (cuts.length > 0 ? cuts[i % cuts.length] : bytes.length);
      const piece = bytes.subarray(at, end);
      const passed = body.whole(piece, 0, piece.length, gate);
      const out = new Uint8Array(piece.length);
      gate.payload += textOf(out.subarray(0, body.decode(piece.subarray(passed), out)));
      at += passed + body.used;
    }
    ok(body.done);
    equal(gate.payload, parts.join(""));
  }));
});
