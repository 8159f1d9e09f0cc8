import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { type DocumentLimits, type Value } from "./document.ts";
import { parseJson } from "./json.ts";
import { ModelFileError } from "./model_file_error.ts";

const limits: DocumentLimits = { nesting: 8, values: 1000, numbers: 1000 };
const parse = (text: string, some: Partial<DocumentLimits> = {}) =>
  parseJson(new TextEncoder().encode(text), { ...limits, ...some });
const refuses = (text: string, kind: string, where?: RegExp, some?: Partial<DocumentLimits>) =>
  throws(() => parse(text, some), (error) => {
    ok(error instanceof ModelFileError && (where ?? /^byte \d+: /).test(error.message), `${error}`);
    equal(error.kind, kind, `${text}: ${error.message}`);
    return true;
  });

/** As `JSON.parse` would give it. */
function plain(value: Value): unknown {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plain(item)]));
  if (ArrayBuffer.isView(value)) return Array.from(value);
  return Array.isArray(value) ? value.map(plain) : value;
}

Deno.test("parseJson() reads what JSON.parse() reads", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 8 });
  const number = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }).map((x) => x + 0));
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, text, number, fc.constant(null), tie("numbers"), tie("object"), tie("list")),
    numbers: fc.array(number, { maxLength: 12 }),
    object: fc.dictionary(text.filter((key) => key !== "__proto__"), tie("value"), {
      maxKeys: 4,
      noNullPrototype: true,
    }),
    list: fc.array(fc.oneof(text, tie("object"), tie("numbers")), { maxLength: 4 }),
  }));
  fc.assert(
    fc.property(value, fc.constantFrom(0, 2), (value, indent) => {
      deepStrictEqual(plain(parse(JSON.stringify(value, null, indent), { numbers: 1e6 })), value);
    }),
    { seed: 1, numRuns: 300 },
  );
});

Deno.test("parseJson() reads numbers as XGBoost writes them, and its words for what JSON has no number for", () => {
  const text =
    "[5E-1,1.25E1,0E0,-1,9007199254740993,7.62939453125000000e-06,NaN,-Infinity,Infinity,inf,-inf,nan,true,false]";
  deepStrictEqual(plain(parse(text)), [
    0.5,
    12.5,
    0,
    -1,
    9007199254740993,
    7.62939453125e-6,
    NaN,
    -Infinity,
    Infinity,
    Infinity,
    -Infinity,
    NaN,
    1,
    0,
  ]);
  ok(Object.is((plain(parse("[-0]")) as number[])[0], -0));
});

Deno.test("parseJson() says where a file is no JSON", () => {
  refuses('{"a" 1}', "syntax", /^byte 5: expected ':'/);
  refuses('{"a":1,"a":2}', "syntax", /"a" is there twice/);
  for (
    const text of ["[1,]", "[1 2]", "{a:1}", '{"a":1}x', "[1,null]", "[0.]", "[1e]", "[-]", "[+1]", '["\\q"]', "x"]
  ) {
    refuses(text, "syntax");
  }
  for (const text of ["", "{", '{"a', '{"a":', "[1", "[1,", '["a\\']) refuses(text, "truncated");
});

Deno.test("parseJson() bounds nesting, values and numbers, however they are written", () => {
  refuses("[".repeat(1_000_000), "too-deep", /^byte 8: nested deeper than 8 levels/);
  refuses('{"a":'.repeat(1_000_000), "too-deep");
  refuses(`[${"{},".repeat(2000)}{}]`, "limit", /too many values/);
  refuses(`["${Array(2000).fill("a").join('","')}"]`, "limit", /too many values/);
  refuses(`[${"0,".repeat(5000)}0]`, "limit", /too many numbers/);
  const many = `{"a":[${Array(500).fill("[1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7]")}]}`;
  refuses(many, "limit", /too many numbers/);
});
