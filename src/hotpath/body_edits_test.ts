import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { includeUsageEdit, modelEdit, spliceBody } from "./body_edits.ts";
import { instantiate } from "./load.ts";
import { Scanner } from "./scan.ts";
import type { RequestScan } from "./scan_result.ts";

const scanner = new Scanner(
  await instantiate({ endpoints: 8, blockTreeBytes: 65_536, bodyBytesMax: 4096, prefixTokensMax: 1024 }, 64),
);
const utf8 = (text: string) => new TextEncoder().encode(text);

function edited(text: string, ...edits: ((scan: RequestScan) => ReturnType<typeof modelEdit>)[]): string {
  const body = utf8(text);
  const scan = scanner.scan(body, "completions");
  if (!scan.ok) throw new Error(scan.message);
  return new TextDecoder().decode(spliceBody(body, edits.map((edit) => edit(scan))));
}

Deno.test("modelEdit() replaces the value that counts and nothing else", () => {
  const rename = (scan: RequestScan) => modelEdit(scan, 'new "é"');
  equal(edited('{"prompt":"é", "model" : "old" }', rename), '{"prompt":"é", "model" : "new \\"é\\"" }');
  equal(
    edited('{"model":"a","prompt":"p","m\\u006fdel":"b"}', rename),
    '{"model":"a","prompt":"p","m\\u006fdel":"new \\"é\\""}',
  );
  equal(edited('{"model":null,"prompt":"p"}', rename), '{"model":"new \\"é\\"","prompt":"p"}');
});

Deno.test("modelEdit() adds a model where none is named", () => {
  equal(edited(' { "prompt":"p"}', (scan) => modelEdit(scan, "m")), ' {"model":"m", "prompt":"p"}');
  const scan = scanner.scan(utf8("{ }"), "passthrough");
  equal(scan.ok && new TextDecoder().decode(spliceBody(utf8("{ }"), [modelEdit(scan, "m")])), '{"model":"m" }');
});

Deno.test("includeUsageEdit() asks for usage and keeps the other options", () => {
  const cases: [string, string][] = [
    ['{"prompt":"p"}', '{"stream_options":{"include_usage":true},"prompt":"p"}'],
    ['{"stream_options":null,"prompt":"p"}', '{"stream_options":{"include_usage":true},"prompt":"p"}'],
    ['{"stream_options":{ },"prompt":"p"}', '{"stream_options":{"include_usage":true},"prompt":"p"}'],
    [
      '{"stream_options":{"x":[1]},"prompt":"p"}',
      '{"stream_options":{"include_usage":true,"x":[1]},"prompt":"p"}',
    ],
    [
      '{"stream_options":{"x":1,"include_usage":false},"prompt":"p"}',
      '{"stream_options":{"x":1,"include_usage":true},"prompt":"p"}',
    ],
    [
      '{"stream_options":{"include_usage":null},"prompt":"p"}',
      '{"stream_options":{"include_usage":true},"prompt":"p"}',
    ],
  ];
  for (const [before, after] of cases) {
    equal(edited(before, includeUsageEdit), after);
    const scan = scanner.scan(utf8(after), "completions");
    equal(scan.ok && scan.includeUsage, true);
  }
  equal(
    edited('{"prompt":"p"}', (scan) => modelEdit(scan, "m"), includeUsageEdit),
    '{"model":"m","stream_options":{"include_usage":true},"prompt":"p"}',
  );
});

Deno.test("spliceBody() replaces, inserts and removes, in any order of edits", () => {
  const splice = (...edits: [number, number, string | Uint8Array][]) =>
    new TextDecoder().decode(spliceBody(utf8("0123456789"), edits.map(([start, end, text]) => ({ start, end, text }))));
  equal(splice(), "0123456789");
  equal(splice([8, 10, "é"], [0, 2, ""], [5, 5, utf8("abc")]), "234abc567é");
  equal(splice([10, 10, "end"], [0, 0, "start"]), "start0123456789end");
  equal(splice([3, 3, "a"], [3, 3, "b"]), "012ab3456789");
});

Deno.test("spliceBody() refuses edits that overlap or lie outside", () => {
  const body = utf8("0123");
  const edit = (start: number, end: number) => ({ start, end, text: "" });
  throws(() => spliceBody(body, [edit(0, 2), edit(1, 3)]), RangeError);
  throws(() => spliceBody(body, [edit(3, 5)]), RangeError);
  throws(() => spliceBody(body, [edit(2, 1)]), RangeError);
  deepStrictEqual(spliceBody(body, []), body);
});
