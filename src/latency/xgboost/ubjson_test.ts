import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { type DocumentLimits, type Value } from "./document.ts";
import { ModelFileError } from "./model_file_error.ts";
import { parseUbjson } from "./ubjson.ts";

const limits: DocumentLimits = { nesting: 8, values: 1000, numbers: 1000 };

type Bytes = readonly (string | number | readonly number[])[];

/** Text as its characters, numbers as bytes. */
function bytesOf(...parts: Bytes): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) => typeof part === "string" ? [...new TextEncoder().encode(part)] : part),
  );
}

const int64 = (value: number) => [...new Uint8Array(new BigInt64Array([BigInt(value)]).buffer)].reverse();
const key = (name: string) => ["L", int64(name.length), name] as const;
const parse = (...parts: Bytes) => parseUbjson(bytesOf(...parts), limits);

function member(...parts: Bytes): Value {
  const value = parse("{", ...key("a"), ...parts, "}");
  ok(value instanceof Map);
  return value.get("a")!;
}

function refuses(kind: string, where: RegExp, ...parts: Bytes): void {
  throws(() => parse(...parts), (error) => {
    ok(error instanceof ModelFileError && where.test(error.message), `${error}`);
    equal(error.kind, kind);
    return true;
  });
}

Deno.test("parseUbjson() reads every kind of value, big-endian", () => {
  deepStrictEqual(member("S", "L", int64(3), "h\u00e9"), "hé");
  deepStrictEqual(member("C", "x"), "x");
  deepStrictEqual(member("Z"), null);
  deepStrictEqual(member("[$d#L", int64(2), [0x3f, 0, 0, 0, 0xff, 0x80, 0, 0]), Float32Array.of(0.5, -Infinity));
  deepStrictEqual(member("[$D#i", 1, [0x3f, 0xe0, 0, 0, 0, 0, 0, 0]), Float64Array.of(0.5));
  deepStrictEqual(member("[$l#U", 1, [0xff, 0xff, 0xff, 0xfe]), Int32Array.of(-2));
  deepStrictEqual(member("[$L#I", [0, 1], int64(-7)), Float64Array.of(-7));
  deepStrictEqual(member("[$U#l", [0, 0, 0, 2], [1, 255]), Uint8Array.of(1, 255));
  deepStrictEqual(member("[$i#i", 1, [0x80]), Int8Array.of(-128));
  deepStrictEqual(member("[$I#i", 1, [0x80, 0]), Int16Array.of(-32768));
  deepStrictEqual(member("[#L", int64(4), "i", 5, "TF", "d", [0x40, 0, 0, 0]), Float64Array.of(5, 1, 0, 2));
  deepStrictEqual(member("[i", 5, "U", 6, "]"), Float64Array.of(5, 6));
  deepStrictEqual(member("[S", "i", 1, "x", "Z", "{}", "[]", "]"), ["x", null, new Map(), new Float64Array(0)]);
  deepStrictEqual(member("[#L", int64(0)), new Float64Array(0));
});

Deno.test("parseUbjson() believes no length before the bytes are there", () => {
  refuses("truncated", /8000000000 more bytes/, "{", ...key("a"), "[$L#L", int64(1e9), int64(1));
  refuses("truncated", /1000000000 more bytes/, "{", ...key("a"), "[#L", int64(1e9), "T");
  refuses("truncated", /9007199254740992 more bytes/, "{", ...key("a"), "S", "L", int64(2 ** 53));
  refuses("truncated", /more bytes/, "{L", int64(2 ** 40), "a");
  refuses("syntax", /not below 0/, "{L", int64(-1), "a");
  for (const cut of ["", "{", "{L", "{Li"]) refuses("truncated", /more bytes/, cut);
});

Deno.test("parseUbjson() refuses forms that XGBoost does not write, and what follows the model", () => {
  refuses("syntax", /there is "H"/, "{", ...key("a"), "H", "i", 1, "1", "}");
  refuses("syntax", /length of a key/, "{$i#i", 0);
  refuses("syntax", /array of numbers/, "{", ...key("a"), "[$S#i", 0, "}");
  refuses("syntax", /'#' and a length/, "{", ...key("a"), "[$d", 0, "}");
  refuses("syntax", /a number: there is "S"/, "{", ...key("a"), "[i", 1, "S", "i", 1, "x", "]}");
  refuses("syntax", /twice/, "{", ...key("a"), "i", 1, ...key("a"), "i", 1, "}");
  refuses("syntax", /end of the file/, "{}x");
});

Deno.test("parseUbjson() bounds nesting, values and numbers", () => {
  refuses("too-deep", /deeper than 8/, "{", ...key("a"), "[".repeat(1_000_000));
  refuses("limit", /too many values/, "{", ...key("a"), "[", "Z".repeat(2000), "]}");
  refuses("limit", /too many numbers/, "{", ...key("a"), "[", "T".repeat(5000), "]}");
  refuses("limit", /too many numbers/, "{", ...key("a"), "[$U#I", [0x10, 0], "T".repeat(5000), "}");
});
