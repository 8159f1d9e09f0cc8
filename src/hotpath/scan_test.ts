import { Buffer } from "node:buffer";
import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import type { Api } from "../core/mod.ts";
import { instantiate } from "./load.ts";
import { Scanner } from "./scan.ts";
import type { RequestScan, ScanFailure } from "./scan_result.ts";

const sizes = { endpoints: 8, blockTreeBytes: 65_536, bodyBytesMax: 1 << 20, prefixTokensMax: 4096 };
const instance = await instantiate(sizes, 64);
const scanner = new Scanner(instance);
const utf8 = (text: string) => new TextEncoder().encode(text);

function scanned(text: string, api: Api = "chat"): RequestScan {
  const result = scanner.scan(utf8(text), api);
  if (!result.ok) throw new Error(result.message);
  return result;
}

function refused(text: string | Uint8Array, api: Api = "chat"): ScanFailure {
  const result = scanner.scan(typeof text === "string" ? utf8(text) : text, api);
  if (result.ok) throw new Error("accepted");
  return result;
}

function canonical(text: string, api: Api = "chat"): string {
  scanned(text, api);
  return Buffer.from(scanner.canonicalise()).toString("latin1");
}

Deno.test("scan() says where JSON is invalid and what was expected there", () => {
  const cases: [string, string, number][] = [
    ["", "expected a JSON object, which starts with '{', at byte 0, the end of the body", 0],
    ["[1]", "expected a JSON object, which starts with '{', at byte 0", 0],
    [' "x"', "expected a JSON object, which starts with '{', at byte 1", 1],
    ["\ufeff{}", "expected no byte order mark at byte 0", 0],
    ["{", "expected a key in double quotes or '}' at byte 1, the end of the body", 1],
    ["{a:1}", "expected a key in double quotes or '}' at byte 1", 1],
    ['{"a":1,}', "expected a key in double quotes at byte 7", 7],
    ['{"a" 1}', "expected ':' at byte 5", 5],
    ['{"a":}', "expected a value at byte 5", 5],
    ['{"a":1 "b"', "expected ',' or '}' at byte 7", 7],
    ['{"a":[1 2]}', "expected ',' or ']' at byte 8", 8],
    ['{"a":[1,]}', "expected a value at byte 8", 8],
    ['{"a":01}', "expected ',' or '}' at byte 6", 6],
    ['{"a":-}', "expected a digit at byte 6", 6],
    ['{"a":1.}', "expected a digit at byte 7", 7],
    ['{"a":1e+}', "expected a digit at byte 8", 8],
    ['{"a":+1}', "expected a value at byte 5", 5],
    ['{"a":nul}', "expected true, false or null at byte 5", 5],
    ['{"a":NaN}', "expected a value at byte 5", 5],
    ['{"a":"b', "expected '\"' to end a string at byte 7, the end of the body", 7],
    ['{"a":"\n"}', "expected control characters in strings to be escaped at byte 6", 6],
    ['{"a":"\\x"}', "expected one of \" \\ / b f n r t u after '\\' at byte 7", 7],
    ['{"a":"\\u12g4"}', "expected four hexadecimal digits after '\\u' at byte 8", 8],
    ["{} {}", "expected the end of the body at byte 3", 3],
    ["{}\0", "expected the end of the body at byte 2", 2],
  ];
  for (const [text, message, offset] of cases) {
    const expected = { ok: false, message: `Cannot parse the request body as JSON: ${message}`, offset };
    deepStrictEqual(refused(text, "passthrough"), expected, text);
  }
  const overlong = Uint8Array.from([...utf8('{"a":"'), 0xc0, 0xaf, ...utf8('"}')]);
  equal(refused(overlong).message, "Cannot parse the request body as JSON: expected UTF-8 at byte 6");
});

Deno.test("scan() accepts the corners of JSON", () => {
  const cases = [
    "{}",
    " \t\r\n{ } \n",
    '{"a":0,"b":-0,"c":-1.5E+10,"d":0e0,"":[[],{}]}',
    '{"\\ud800":"\\udfff\\uD83D\\uDE00\\/\\b\\f","\u007f\u2028":"\u{10ffff}"}',
    `{"a":"${"x".repeat(1000)}\\""}`,
    `{"a":${"9".repeat(500)}}`,
  ];
  for (const text of cases) ok(scanned(text, "passthrough").ok, text);
});

Deno.test("scan() accepts 512 levels of nesting and no more", () => {
  const nested = (levels: number) => `{"a":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`;
  ok(scanned(nested(512), "passthrough").ok);
  equal(
    refused(nested(513), "passthrough").message,
    "Cannot parse the request body as JSON: nested deeper than 512 levels at byte 516",
  );
  // Fields that matter may nest in themselves for as long as a client likes.
  const inner = '{"data":'.repeat(500) + '"x"' + "}".repeat(500);
  equal(scanned(`{"messages":[{"content":[{"source":${inner}}]}]}`, "messages").mediaParts, 0);
  const systems = '[{"text":'.repeat(250) + '"x"' + "}]".repeat(250);
  equal(scanned(`{"messages":[{}],"system":${systems}}`, "messages").promptBytes, 0);
});

Deno.test("scan() lets the last of equal keys win, with all the first one held", () => {
  equal(scanned('{"model":5,"messages":[{}],"model":"b"}').model, "b");
  equal(scanned('{"model":"a","messages":[{}],"model":null}').model, undefined);
  const options = scanned('{"stream_options":{"include_usage":true},"messages":[{}],"stream_options":{}}');
  deepStrictEqual([options.includeUsage, options.includeUsageSpan], [undefined, undefined]);
  equal(
    canonical('{"messages":[{"content":"gone"}],"messages":[{"content":"a","content":"bc","role":"user"}]}'),
    "\xf7\xf8user\xf9bc",
  );
  equal(scanned('{"messages":[1],"messages":[{"content":"four","content":null}]}').promptBytes, 0);
  equal(scanned('{"prompt":[1,2,3],"prompt":"text"}', "completions").tokenIds, false);
});

Deno.test("canonicalise() puts tools, system and messages in that order whatever the order of keys", () => {
  const expected = "\xf5[ 1 ]\xf6be\nkind\xf7\xf8user\xf9hi";
  equal(
    canonical('{"tools":[ 1 ],"system":"be\\nkind","messages":[{"role":"user","content":"hi"}]}', "messages"),
    expected,
  );
  equal(
    canonical(
      '{"messages":[{"content":[{"text":"hi"}],"role":"user"}],"system":[{"text":"be\\nkind"}],"tools":[ 1 ]}',
      "messages",
    ),
    expected,
  );
});

Deno.test("canonicalise() writes calls and results of tools", () => {
  equal(
    canonical('{"messages":[{"role":"a","tool_calls":[{"function":{"arguments":"{}","name":"f"}}],"content":null}]}'),
    "\xf7\xf8a\xfaf\xfb{}",
  );
  const blocks = '[{"name":"f","input":{"x": "\\u0041"}},{"content":[{"text":"r"}]},{"content":"s"},{"thinking":"t"}]';
  equal(
    canonical(`{"messages":[{"content":${blocks}}]}`, "messages"),
    '\xf7\xfaf\xfb{"x": "\\u0041"}\xfd\xf9r\xfe\xfcs\xfft',
  );
  equal(
    canonical('{"input":[{"arguments":"1","name":"f"},{"output":"o"}],"instructions":"i"}', "responses"),
    "\xf6i\xf7\xfaf\xfb1\xf7\xfco",
  );
});

Deno.test("canonicalise() unescapes text to UTF-8, lone surrogates to U+FFFD", () => {
  const text = '{"prompt":"\\ud83d\\ude00\\ud83d\\u0041\\udc00é\\u00e9\\b\\f\\r\\t\\/\\\\\\""}';
  scanned(text, "completions");
  equal(Buffer.from(scanner.canonicalise().slice(1)).toString(), '😀\ufffdA\ufffdéé\b\f\r\t/\\"');
});

Deno.test("canonicalise() writes token ids as words, a separator between lists", () => {
  equal(canonical('{"prompt":[1, 258 ,3.0]}', "completions"), "\x01\0\0\0\x02\x01\0\0\x03\0\0\0");
  equal(canonical('{"prompt":[[1],[],[2]]}', "completions"), "\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x02\0\0\0");
  const scan = scanned('{"input_ids":[[1,2],[3]],"text":"ignored"}', "sglang-generate");
  deepStrictEqual([scan.promptTokens, scan.promptBytes, scan.tokenIds], [3, 0, true]);
});

Deno.test("scan() counts media by type and keeps their content out of the text", () => {
  const part = (field: string, value: string) =>
    scanned(`{"messages":[{"content":[{"${field}":${value}},{"text":"four"}]}]}`);
  for (
    const [field, value, tokens] of [
      ["image_url", '{"url":"data:image/png;base64,AAAA"}', 225],
      ["image_url", '"https://host/i.png"', 225],
      ["input_audio", '{"data":"AAAAAAAAA","format":"wav"}', 3],
      ["input_audio", '{"data":""}', 1],
      ["video_url", '{"url":"https://host/v.mp4"}', 4500],
    ] as const
  ) {
    const { promptBytes, promptTokens, mediaParts } = part(field, value);
    deepStrictEqual([promptBytes, promptTokens, mediaParts], [4, 1 + tokens, 1], value);
  }
  const words = (url: string) => {
    part("image_url", `{"url":"${url}"}`);
    return scanner.canonicalise().slice();
  };
  equal(words("a").length, 4 + 226 * 4 + 5, "message, media, zeros; count and hashes; text");
  deepStrictEqual([...words("a").subarray(0, 8)], [0xf7, 0xc0, 0, 0, 225, 0, 0, 0]);
  ok(Buffer.compare(words("a"), words("b")) !== 0);
  ok(Buffer.compare(words("a"), words("a")) === 0);
});

Deno.test("canonicalise() ends at the longest matched prefix and zeros follow up to a multiple of four", () => {
  const long = scanned(`{"prompt":"${"\\n".repeat(100_000)}"}`, "completions");
  equal(long.promptBytes, 100_000);
  equal(scanner.canonicalise().length, 4096 * 4);
  scanned('{"prompt":"abcd"}', "completions");
  const bytes = scanner.canonicalise();
  equal(bytes.length, 5);
  deepStrictEqual([...new Uint8Array(bytes.buffer, bytes.byteOffset, 9)], [0xf9, 97, 98, 99, 100, 0, 0, 0, 10]);
});

Deno.test("canonicalise() gives nothing after a scan that failed", () => {
  scanned('{"prompt":"abcd"}', "completions");
  refused('{"prompt":5}', "completions");
  equal(scanner.canonicalise().length, 0);
});

Deno.test("scan() counts the text of spans it has no room for and keeps whole messages only", () => {
  const small = new Scanner(instance, { spansMax: 7 });
  const message = '{"content":"abcd","role":"user"}';
  const read = (count: number, rest = "") => {
    const result = small.scan(utf8(`{"messages":[${new Array(count).fill(message).join()}]${rest}}`), "chat");
    ok(result.ok);
    return [result.promptBytes, Buffer.from(small.canonicalise()).toString("latin1")];
  };
  const one = "\xf7\xf8user\xf9abcd";
  deepStrictEqual(read(2), [16, one.repeat(2)]);
  deepStrictEqual(read(9), [72, one.repeat(2)]);
  deepStrictEqual(read(2, ',"tools":[]'), [18, `\xf5[]${one.repeat(2)}`]);
  deepStrictEqual(read(3, ',"tools":[]'), [26, ""], "tools come first and found no room");
});

Deno.test("scan() throws on a body longer than its memory", () => {
  throws(() => scanner.scan(new Uint8Array(sizes.bodyBytesMax + 1), "chat"), RangeError);
  const body = utf8(`{"a":"${"x".repeat(sizes.bodyBytesMax - 8)}"}`);
  equal(body.length, sizes.bodyBytesMax);
  ok(scanner.scan(body, "passthrough").ok);
});
