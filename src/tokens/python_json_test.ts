import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { floatText, parsePythonJson, PyNumber, type PyValue, toJsonText } from "./python_json.ts";

/** The value as JavaScript would have parsed it. */
function plainOf(value: PyValue): unknown {
  if (value instanceof PyNumber) return Number(value);
  if (Array.isArray(value)) return value.map(plainOf);
  return value instanceof Map ? Object.fromEntries([...value].map(([key, inner]) => [key, plainOf(inner)])) : value;
}

Deno.test("parsePythonJson() agrees with JSON.parse", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      deepStrictEqual(plainOf(parsePythonJson(text)), plainOf(JSON.parse(text)));
    }),
    { numRuns: 300, seed: 3 },
  );
});

Deno.test("parsePythonJson() reads escapes, also behind escaped quotes and backslashes", () => {
  for (
    const text of [
      '"a\\"b\\\\"',
      '["\\\\","\\"","x"]',
      '{"\\u00e9\\n":"\\ud83e\\udd8a"}',
      '["plain","\\\\\\"","plain"]',
    ]
  ) {
    deepStrictEqual(plainOf(parsePythonJson(text)), JSON.parse(text), text);
  }
});

Deno.test("parsePythonJson() keeps the order of keys, and of equal keys the first place and last value", () => {
  const value = parsePythonJson('{"b":1,"2":2,"a":3,"1":4,"b":5}') as Map<string, PyValue>;
  deepStrictEqual([...value], [["b", 5], ["2", 2], ["a", 3], ["1", 4]]);
});

Deno.test("parsePythonJson() refuses what is no JSON", () => {
  for (
    const text of [
      "",
      "{",
      "[1,]",
      '{"a"}',
      '{"a":1,}',
      "01",
      "+1",
      ".5",
      "tru",
      '"a',
      '"a\nb\\x"',
      "1 2",
      "NaN",
      "'a'",
      "[1",
    ]
  ) {
    throws(() => parsePythonJson(text), SyntaxError, text);
  }
  throws(() => parsePythonJson("[".repeat(300)), /nested deeper/);
});

Deno.test("numbers keep what Python's int and float keep", () => {
  const texts = [
    "1.0",
    "1e5",
    "-0.0",
    "0.1",
    "1e-7",
    "1E+16",
    "123456789012345678901234567890",
    "1.50",
    "5e-324",
    "1e400",
  ];
  deepStrictEqual(
    texts.map((text) => String(parsePythonJson(text))),
    ["1.0", "100000.0", "-0.0", "0.1", "1e-07", "1e+16", "123456789012345678901234567890", "1.5", "5e-324", "Infinity"],
  );
  equal(parsePythonJson("-0"), 0);
  ok(Object.is(parsePythonJson("-0"), 0));
  equal(parsePythonJson("9007199254740991"), 9007199254740991);
});

Deno.test("floatText() writes exponents where Python's repr does", () => {
  const cases: [number, string][] = [
    [1e15, "1000000000000000.0"],
    [1e16, "1e+16"],
    [0.0001, "0.0001"],
    [0.00001, "1e-05"],
    [
      1.5e300,
      "1.5e+300",
    ],
    [-2.5, "-2.5"],
    [123456.789, "123456.789"],
  ];
  for (const [value, text] of cases) equal(floatText(value), text);
});

Deno.test("toJsonText() writes a text that reads as the same value", () => {
  const text = '{"b":[1.0,123456789012345678901,null,true],"1":"\\"\\n","a":{}}';
  equal(toJsonText(parsePythonJson(text)), text);
});
