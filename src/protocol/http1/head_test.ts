import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { Fields, lists, parseField } from "./fields.ts";
import { requestFraming } from "./framing.ts";
import { keepsAlive, originForm, parseRequestHead, parseResponseHead } from "./head.ts";
import { bytesOf, headEnd, Http1Error, textOf } from "./text.ts";

const head = (line: string, ...fields: string[]) => [line, "host: x", ...fields].join("\r\n");

function statusOf(read: () => unknown): number {
  try {
    read();
  } catch (error) {
    ok(error instanceof Http1Error, String(error));
    return error.status;
  }
  return 0;
}

Deno.test("parseRequestHead() reads method, path and fields", () => {
  const read = parseRequestHead(head("POST /v1/a?b=%20 HTTP/1.1", "X-A: \t a b \t", "x-a:c", "x-e:"));
  deepStrictEqual([read.method, read.path, read.minor], ["POST", "/v1/a?b=%20", 1]);
  deepStrictEqual([...read.headers], [["host", "x"], ["x-a", "a b"], ["x-a", "c"], ["x-e", ""]]);
  equal(read.headers.get("x-a"), "a b, c");
  equal(parseRequestHead("GET / HTTP/1.0").minor, 0);
});

const badHeads: readonly (readonly [name: string, text: string, status?: number])[] = [
  ["no target", head("GET HTTP/1.1")],
  ["two spaces", head("GET  / HTTP/1.1")],
  ["a tab", head("GET\t/ HTTP/1.1")],
  ["a space at the end", head("GET / HTTP/1.1 ")],
  ["small letters", head("get / HTTP/1.1")],
  ["an unknown method", head("FOO / HTTP/1.1")],
  ["another version", head("GET / HTTP/2.0")],
  ["no host", "GET / HTTP/1.1"],
  ["two hosts", head("GET / HTTP/1.1", "Host: y")],
  ["two hosts in HTTP/1.0", head("GET / HTTP/1.0", "Host: y")],
  ["a folded line", head("GET / HTTP/1.1", "a: b", " c: d")],
  ["space before a colon", head("GET / HTTP/1.1", "a : b")],
  ["no colon", head("GET / HTTP/1.1", "ab")],
  ["an empty name", head("GET / HTTP/1.1", ": b")],
  ["a name beyond ASCII", head("GET / HTTP/1.1", "\xe9: b")],
  ["NUL", head("GET / HTTP/1.1", "a: b\0c")],
  ["a bare CR", head("GET / HTTP/1.1", "a: b\rc: d")],
  ["DEL", head("GET / HTTP/1.1", "a: b\x7f")],
  ["a tunnel", head("CONNECT a:1 HTTP/1.1"), 405],
  ["1,001 fields", head("GET / HTTP/1.1", ...new Array(1_000).fill("a: b")), 431],
];
for (const [name, text, status = 400] of badHeads) {
  Deno.test(`parseRequestHead() refuses ${name}`, () => equal(statusOf(() => parseRequestHead(text)), status));
}

Deno.test("originForm() gives each path one spelling and refuses what is none", () => {
  const table: readonly (readonly [method: string, target: string, path: string | undefined])[] = [
    ["GET", "/a//b?c=d&e", "/a//b?c=d&e"],
    ["GET", "/a/../b/./c", "/b/c"],
    ["GET", "/a/%2e%2E/b", "/b"],
    ["GET", "/a\\..\\b", "/b"],
    ["GET", "http://other:1/a?b", "/a?b"],
    ["GET", "https://other", "/"],
    ["GET", "http://other?x", "/?x"],
    ["OPTIONS", "*", "/*"],
    ["GET", "*", undefined],
    ["GET", "a/b", undefined],
    ["GET", "other:80", undefined],
    ["GET", "ftp://other/a", undefined],
    ["GET", "/a#b", undefined],
  ];
  for (const [method, target, path] of table) {
    if (path === undefined) throws(() => originForm(method, target), Http1Error, target);
    else equal(originForm(method, target), path);
  }
});

Deno.test("requestFraming() knows one length or chunks, and refuses what can be read in two ways", () => {
  const framing = (version: string, ...fields: string[]) =>
    requestFraming(parseRequestHead(head(`POST / HTTP/${version}`, ...fields)));
  deepStrictEqual(framing("1.1"), { kind: "none" });
  deepStrictEqual(framing("1.1", "content-length: 0"), { kind: "none" });
  deepStrictEqual(framing("1.0", "content-length: 007"), { kind: "length", left: 7 });
  equal(framing("1.1", "Transfer-Encoding: CHUNKED").kind, "chunked");
  const refused = [
    ["content-length: 1", "transfer-encoding: chunked"],
    ["content-length: 1", "content-length: 1"],
    ["content-length: 1, 1"],
    ["content-length: +1"],
    ["content-length: 1a"],
    ["content-length:"],
    ["content-length: 1234567890123456789"],
    ["transfer-encoding: gzip, chunked"],
    ["transfer-encoding: chunked, chunked"],
    ["transfer-encoding: chunked", "transfer-encoding: identity"],
    ["transfer-encoding: identity"],
    ["transfer-encoding:"],
  ];
  for (const fields of refused) equal(statusOf(() => framing("1.1", ...fields)), 400, fields.join());
  equal(statusOf(() => framing("1.0", "transfer-encoding: chunked")), 400);
});

Deno.test("keepsAlive() follows version and connection header", () => {
  const keeps = (version: string, value: string) =>
    keepsAlive(parseRequestHead(head(`GET / HTTP/${version}`, ...(value ? [`connection: ${value}`] : []))));
  deepStrictEqual([keeps("1.1", ""), keeps("1.1", "te, Close"), keeps("1.1", "closed")], [true, false, true]);
  deepStrictEqual([keeps("1.0", ""), keeps("1.0", "Keep-Alive"), keeps("1.0", "keep-alive, close")], [
    false,
    true,
    false,
  ]);
  ok(lists("a, B ,c", "b"));
});

Deno.test("Fields refuses values that would end their line, and puts one value in place of another", () => {
  const fields = new Fields();
  for (const value of ["a\r\nb: c", "a\nb", "a\0", "\u010a", "😀"]) throws(() => fields.append("x", value), TypeError);
  fields.append("x", "1");
  fields.append("y", "2");
  fields.append("x", "3");
  fields.set("x", "4");
  deepStrictEqual([...fields], [["y", "2"], ["x", "4"]]);
  deepStrictEqual([fields.has("x"), fields.has("z"), fields.get("z")], [true, false, null]);
});

Deno.test("a parsed field is written back as it came, blanks apart", () => {
  const name = fc.stringMatching(/^[a-z0-9!#$%&'*+.^_`|~-]{1,20}$/);
  const value = fc.stringMatching(/^([\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?)?$/);
  fc.assert(fc.property(name, value, (name, value) => {
    const fields = new Fields();
    ok(parseField(`${name}: ${value} \t`, fields));
    deepStrictEqual([...fields], [[name, value]]);
  }));
});

Deno.test("headEnd() finds the empty line wherever the search is taken up, and refuses a bare LF", () => {
  const text = "GET / HTTP/1.1\r\na: b\r\n\r\nbody\n\n";
  const bytes = bytesOf(`xx${text}`);
  const end = 2 + text.indexOf("body");
  for (let cut = 2; cut <= end; cut++) {
    equal(headEnd(bytes, 2, cut, 2), cut < end ? -1 : end);
    equal(headEnd(bytes, 2, end, cut - 1), end);
  }
  throws(() => headEnd(bytesOf("a\n"), 0, 2, 0), Http1Error);
  throws(() => headEnd(bytesOf("\n"), 0, 1, 0), Http1Error);
});

Deno.test("text and bytes are one character a byte, all 256 of them", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  deepStrictEqual(bytesOf(textOf(bytes)), bytes);
  deepStrictEqual([...textOf(bytes)].map((character) => character.charCodeAt(0)), [...bytes]);
});

Deno.test("parseResponseHead() refuses statuses and lines that are none", () => {
  equal(parseResponseHead("HTTP/1.1 200\r\na: b").headers.get("a"), "b");
  for (
    const text of ["HTTP/1.1 99 Low", "HTTP/1.1 600 High", "HTTP/1.1 2000", "HTTP/2 200 OK", "HTTP/1.1 200 OK\r\na b"]
  ) {
    throws(() => parseResponseHead(text), Http1Error, text);
  }
});
