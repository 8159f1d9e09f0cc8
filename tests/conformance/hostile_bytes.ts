/**
 * Requests that are wrong below the body: what a client with a socket of its own can send.
 *
 * What is not HTTP/1.1, or breaks its framing, the port refuses before it is a request: 4xx with an error, of OpenAI's shape
 * where no path is known, and the connection is closed. Everything else reaches the router and gets the error its path's
 * clients read.
 */
import { Prng } from "../../src/core/mod.ts";
import { type ErrorShape, errorShape } from "../../src/protocol/mod.ts";

/** Who answers, each with a 4xx and a JSON error: the router, or the port, which then closes the connection. */
export type Answerer = "router" | "port";

export interface BytesCase {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly answerer: Answerer;
  /** Shape of the router's error; the port may know of no path. */
  readonly errors: ErrorShape;
  readonly status: number;
}

/** Text whose characters are bytes. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** A body no path takes. */
const bad = "{x}";
const smuggled = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

type Shape = readonly [name: string, answerer: Answerer, status: number, text: string];

function request(line: string, headers: readonly string[], body = ""): string {
  return [line, ...headers, "", body].join("\r\n");
}

function routed(name: string, status: number, text: string): Shape {
  return [name, "router", status, text];
}

function refused(name: string, text: string, status = 400): Shape {
  return [name, "port", status, text];
}

/** Bodies whose length is said twice, falsely or not at all. */
function framingShapes(path: string): Shape[] {
  const post = (headers: readonly string[], body: string, version = "1.1") =>
    request(`POST ${path} HTTP/${version}`, ["host: x", ...headers], body);
  const chunked = "transfer-encoding: chunked";
  return [
    refused("length and chunked", post(["content-length: 3", chunked], `3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("length over chunked", post([`content-length: ${5 + smuggled.length}`, chunked], `0\r\n\r\n${smuggled}`)),
    refused("chunked over length", post([chunked, "content-length: 6"], `0\r\n\r\n${smuggled}`)),
    refused("two lengths", post(["content-length: 3", "content-length: 4"], `${bad}y`)),
    refused("one length twice", post(["content-length: 3", "content-length: 3"], bad)),
    refused("a list of lengths", post(["content-length: 3, 3"], bad)),
    refused("length with a sign", post(["content-length: +3"], bad)),
    refused("negative length", post(["content-length: -3"], bad)),
    refused("hexadecimal length", post(["content-length: 0x3"], bad)),
    refused("length beyond 64 bits", post(["content-length: 99999999999999999999999"], bad)),
    routed("length beyond the limit", 413, post(["content-length: 9007199254740993"], bad)),
    refused("empty length", post(["content-length:"], bad)),
    refused("space before the colon", post(["content-length : 3"], bad)),
    refused("chunked in HTTP/1.0", post([chunked], `3\r\n${bad}\r\n0\r\n\r\n`, "1.0")),
    refused("unknown coding", post(["transfer-encoding: xchunked"], `3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("chunked not last", post(["transfer-encoding: chunked, identity"], `3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("chunked twice", post(["transfer-encoding: chunked, chunked"], `3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("identity coding", post(["transfer-encoding: identity"], bad)),
    routed("chunked body", 400, post([chunked], `3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("trailers", post([chunked], `3\r\n${bad}\r\n0\r\ncontent-length: 5\r\nhost: y\r\n\r\n`)),
    refused("chunk size of no digits", post([chunked], `zz\r\n${bad}\r\n0\r\n\r\n`)),
    refused("chunk size beyond 64 bits", post([chunked], `fffffffffffffffffff\r\n${bad}\r\n0\r\n\r\n`)),
    refused("chunk longer than its size", post([chunked], `2\r\n${bad}\r\n0\r\n\r\n`)),
    routed("chunk with an extension", 400, post([chunked], `3;a="b"\r\n${bad}\r\n0\r\n\r\n`)),
    refused("chunk with a long extension", post([chunked], `3;${"a".repeat(20_000)}\r\n${bad}\r\n0\r\n\r\n`)),
    refused("CR in a chunk's extension", post([chunked], `3;a\rb\r\n${bad}\r\n0\r\n\r\n`)),
    refused("chunk lines that end in LF", post([chunked], `3\n${bad}\n0\n\n`)),
    refused("chunk size with a sign", post([chunked], `+3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("chunk size with a prefix", post([chunked], `0x3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("space before the chunk size", post([chunked], ` 3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("space behind the chunk size", post([chunked], `3 \r\n${bad}\r\n0\r\n\r\n`)),
    refused("chunk shorter than its size", post([chunked], `5\r\n${bad}\r\n0\r\n\r\n`)),
    refused("endless trailers", post([chunked], `3\r\n${bad}\r\n0\r\n${"x-a: b\r\n".repeat(4_000)}\r\n`)),
    refused("trailer that is none", post([chunked], `3\r\n${bad}\r\n0\r\nx a: b\r\n\r\n`)),
    refused("coding in quotes", post(['transfer-encoding: "chunked"'], `3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("coding behind a vertical tab", post(["transfer-encoding: \x0bchunked"], `3\r\n${bad}\r\n0\r\n\r\n`)),
    refused("coding said twice", post([chunked, chunked], `3\r\n${bad}\r\n0\r\n\r\n`)),
  ];
}

/** Heads that are no heads. */
function headShapes(path: string): Shape[] {
  const post = (headers: readonly string[]) => request(`POST ${path} HTTP/1.1`, [...headers, "content-length: 3"], bad);
  return [
    refused("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n"),
    refused("words", "hello world\r\n\r\n"),
    refused("no version", "GET /\r\n\r\n"),
    refused("HTTP/0.9", "GET / HTTP/0.9\r\n\r\n"),
    refused("HTTP/1.2", request(`POST ${path} HTTP/1.2`, ["host: x"])),
    refused("bare CR", `POST ${path} HTTP/1.1\rhost: x\rcontent-length: 3\r\r${bad}\r\n\r\n`),
    refused("two hosts", post(["host: a", "host: b"])),
    refused("folded line", post(["host: x", "x-a: b", " c"])),
    refused("space before the first name", post([" host: x"])),
    refused("NUL in a value", post(["host: x", "x-a: a\0b"])),
    refused("CR in a value", post(["host: x", "x-a: a\rb: c"])),
    refused("space in a name", post(["host: x", "x a: b"])),
    refused("empty name", post(["host: x", ": b"])),
    refused("no colon", post(["host: x", "hello"])),
    refused("header of 1 MB", post(["host: x", `x-a: ${"a".repeat(1_000_000)}`]), 431),
    refused("1,001 headers", post(["host: x", ...Array.from({ length: 1_000 }, (_, i) => `x-${i}: 1`)]), 431),
    routed("300 headers", 400, post(["host: x", ...Array.from({ length: 300 }, (_, i) => `x-${i}: 1`)])),
    refused("path of 70 kB", request(`POST /${"a".repeat(70_000)} HTTP/1.1`, ["host: x"]), 414),
    refused("path without an end", `POST /${"a".repeat(40_000)}`, 414),
    refused("space in the path", request("POST /a b HTTP/1.1", ["host: x"])),
    refused("NUL in the path", request("POST /a\0b HTTP/1.1", ["host: x"])),
    refused("byte over 127 in the path", request(`POST ${path}/\xe9 HTTP/1.1`, ["host: x"])),
    routed("upgrade", 400, post(["host: x", "connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"])),
    routed("upgrade to h2c", 400, post(["host: x", "connection: upgrade", "upgrade: h2c"])),
  ];
}

/** Requests that are HTTP and still nothing to serve. */
function requestShapes(path: string): Shape[] {
  const post = (headers: readonly string[], target = path, version = "1.1") =>
    request(`POST ${target} HTTP/${version}`, [...headers, "content-length: 3"], bad);
  return [
    routed("HTTP/1.0", 400, post([], path, "1.0")),
    refused("no host", post([])),
    routed("empty host", 400, post(["host:"])),
    routed("host that is none", 400, post(["host: a b[%"])),
    refused("bare LF", `POST ${path} HTTP/1.1\nhost: x\ncontent-length: 3\n\n${bad}`),
    routed("absolute target", 400, post(["host: x"], `http://evil.example${path}`)),
    routed("query of 20 kB", 400, post(["host: x"], `${path}?${"a".repeat(20_000)}`)),
    routed("bytes over 127 in a value", 400, post(["host: x", "x-a: \xe9\xff"])),
    routed("100-continue", 400, post(["host: x", "expect: 100-continue"])),
    routed("other expectation", 400, post(["host: x", "expect: the unexpected"])),
    refused("unknown method", request(`FOO ${path} HTTP/1.1`, ["host: x", "content-length: 3"], bad)),
    refused("method in small letters", request(`post ${path} HTTP/1.1`, ["host: x", "content-length: 3"], bad)),
    refused("long method", request(`${"A".repeat(200)} ${path} HTTP/1.1`, ["host: x"])),
    routed("TRACE", 405, request(`TRACE ${path} HTTP/1.1`, ["host: x"])),
    routed("OPTIONS", 405, request(`OPTIONS ${path} HTTP/1.1`, ["host: x"])),
    routed("GET", 405, request(`GET ${path} HTTP/1.1`, ["host: x"])),
  ];
}

/** Requests for nothing that a body is posted to. */
const otherShapes: readonly Shape[] = [
  refused("HTTP/2 that is none", `PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n`),
  refused("authority as target", request("GET model:80 HTTP/1.1", ["host: x"])),
  refused("fragment in the target", request("GET /a#b HTTP/1.1", ["host: x"])),
  refused("CONNECT", request("CONNECT model:80 HTTP/1.1", ["host: x"]), 405),
  routed("TRACE of another path", 405, request("TRACE /other HTTP/1.1", ["host: x"])),
  routed("broken percent in a model's name", 404, request("GET /v1/models/%E0%A4%A HTTP/1.1", ["host: x"])),
  routed("model behind a host that is none", 404, request("GET /v1/models/x HTTP/1.1", ["host: ["])),
  routed("model behind an impossible port", 404, request("GET /v1/models/x HTTP/1.1", ["host: a:99999999"])),
];

/** Every shape, on every one of `paths` where it has one. */
export function hostileShapes(paths: readonly string[]): BytesCase[] {
  const cases = (path: string, shapes: readonly Shape[]): BytesCase[] =>
    shapes.map(([name, answerer, status, text]) => ({
      name: `${name} at ${path}`,
      bytes: latin1(text),
      errors: errorShape(path),
      answerer,
      status,
    }));
  return [
    ...paths.flatMap((path) => cases(path, [...framingShapes(path), ...headShapes(path), ...requestShapes(path)])),
    ...cases("/", otherShapes),
  ];
}

/** Random bytes that end as a head would. No HTTP begins with a control character. */
export function noise(count: number, seed: number): BytesCase[] {
  const prng = new Prng(seed);
  return Array.from({ length: count }, (_, i) => {
    const text = Array.from({ length: 1 + prng.below(200) }, () => String.fromCharCode(prng.below(256))).join("");
    return {
      name: `noise ${i}`,
      bytes: latin1(`\x01${text}\r\n\r\n`),
      answerer: "port",
      errors: "openai",
      status: 400,
    };
  });
}
