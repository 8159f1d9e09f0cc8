import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { encode, ExtData } from "@msgpack/msgpack";
import fc from "fast-check";
import { MsgpackError, MsgpackReader, MsgpackType } from "./msgpack.ts";
import { WordSet } from "./word_set.ts";

const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const of = (value: unknown) => new MsgpackReader(encode(value, { useBigInt64: true }));
const raw = (hex: string) => new MsgpackReader(bytes(hex));

Deno.test("type tells every first byte's type, and None at the end", () => {
  const { Nil, Bool, Int, Float, Str, Bin, Array: List, Map: Dict, Ext, None } = MsgpackType;
  const ranges: [number, number, MsgpackType][] = [
    [0x00, 0x7f, Int],
    [0x80, 0x8f, Dict],
    [0x90, 0x9f, List],
    [0xa0, 0xbf, Str],
    [0xc0, 0xc0, Nil],
    [0xc1, 0xc1, None],
    [0xc2, 0xc3, Bool],
    [0xc4, 0xc6, Bin],
    [0xc7, 0xc9, Ext],
    [0xca, 0xcb, Float],
    [0xcc, 0xd3, Int],
    [0xd4, 0xd8, Ext],
    [0xd9, 0xdb, Str],
    [0xdc, 0xdd, List],
    [0xde, 0xdf, Dict],
    [0xe0, 0xff, Int],
  ];
  for (const [from, to, type] of ranges) {
    for (let byte = from; byte <= to; byte++) equal(new MsgpackReader(Uint8Array.of(byte)).type, type);
  }
  equal(raw("").type, None);
  ok(raw("").done);
});

Deno.test("int() reads every width and sign up to 2^53", () => {
  const edges = [0, 127, 128, 255, 256, 65535, 65536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1];
  for (const value of edges.flatMap((edge) => [edge, -edge])) {
    equal(of(BigInt(value)).int() + 0, value + 0);
    equal(new MsgpackReader(encode(value)).int() + 0, value + 0);
  }
  for (const value of [-1, -32, -33, -128, -129, -32768, -32769, -(2 ** 31)]) equal(of(value).int(), value);
  throws(() => of(2n ** 53n).int(), MsgpackError);
  throws(() => of(-(2n ** 63n)).int(), MsgpackError);
  throws(() => of(1.5).int(), /Cannot read int at byte 0 as there is float/);
  throws(() => raw("cd01").int(), MsgpackError);
});

Deno.test("number() reads integers and both floats", () => {
  equal(of(7).number(), 7);
  equal(of(1756000000.25).number(), 1756000000.25);
  equal(raw("ca3fc00000").number(), 1.5);
  throws(() => raw("cb3ff8").number(), MsgpackError);
  throws(() => of("7").number(), MsgpackError);
});

Deno.test("str() reads every length, and replaces what is not UTF-8", () => {
  for (const length of [0, 1, 31, 32, 33, 255, 256, 65535, 65536]) {
    equal(of("x".repeat(length)).str().length, length);
  }
  equal(of("naïve 猫").str(), "naïve 猫");
  equal(of("猫".repeat(40)).str(), "猫".repeat(40));
  equal(raw("a2ff41").str(), "\ufffdA");
  throws(() => raw("a541").str(), MsgpackError);
  throws(() => raw("dbffffffff41").str(), MsgpackError);
});

Deno.test("word() finds a word among others of its length, and passes one it does not know", () => {
  const words = new WordSet(["alpha", "gamma", "pi", ""]);
  const reader = of(["gamma", "alpha", "delta", "pi", "", "longer"]);
  equal(reader.arrayLength(), 6);
  deepStrictEqual(Array.from({ length: 6 }, () => reader.word(words)), [1, 0, -1, 2, 3, -1]);
  ok(reader.done);
});

Deno.test("bin() gives a reader of the inside that cannot leave it", () => {
  const reader = of([encode([1, 2]), 3]);
  reader.arrayLength();
  const inside = reader.bin();
  equal(inside.arrayLength(), 2);
  deepStrictEqual([inside.int(), inside.int(), inside.done], [1, 2, true]);
  throws(() => inside.int(), MsgpackError);
  equal(reader.int(), 3);
});

Deno.test("uint32s() reads every width and refuses what does not fit 32 unsigned bits", () => {
  const values = [0, 127, 128, 255, 256, 65535, 65536, 2 ** 32 - 1];
  deepStrictEqual(of(values).uint32s(), Uint32Array.from(values));
  deepStrictEqual(raw("94cf00000000000000ff00d005d1012c").uint32s(), Uint32Array.of(255, 0, 5, 300));
  for (const wrong of [-1, 2 ** 32, 1.5, "1", null, [1]]) throws(() => of([1, wrong]).uint32s(), MsgpackError);
  throws(() => raw("92cd00ffcd00").uint32s(), MsgpackError);
});

Deno.test("uint32s() and low64s() keep what they gave out before", () => {
  const reader = of([[1, 2], [3], [4n, 5n], [6n], new Array(5000).fill(7), new Array(700).fill(8n)]);
  reader.arrayLength();
  const [a, b, c, d] = [reader.uint32s(), reader.uint32s(), reader.low64s(), reader.low64s()];
  equal(reader.uint32s().length, 5000);
  deepStrictEqual(reader.low64s(), new BigUint64Array(700).fill(8n));
  deepStrictEqual([[...a], [...b], [...c], [...d]], [[1, 2], [3], [4n, 5n], [6n]]);
});

Deno.test("low64() takes integers as two's complement and the last 8 bytes of a bin", () => {
  const cases: [unknown, bigint][] = [
    [5, 5n],
    [-1, 2n ** 64n - 1n],
    [-(2n ** 63n), 2n ** 63n],
    [2n ** 64n - 1n, 2n ** 64n - 1n],
    [Uint8Array.of(1), 1n],
    [bytes("ff00000000"), 0xff00000000n],
    [bytes("0102030405060708"), 0x0102030405060708n],
    [bytes("ffff0102030405060708"), 0x0102030405060708n],
    [new Uint8Array(300).fill(255), 2n ** 64n - 1n],
  ];
  for (const [value, expected] of cases) equal(of(value).low64(), expected);
  for (const wrong of [new Uint8Array(0), "abcdefgh", 1.5, null]) throws(() => of(wrong).low64(), MsgpackError);
  for (const cut of ["cf00000000", "c408ffff", "d3"]) throws(() => raw(cut).low64(), MsgpackError);
});

Deno.test("lengths that lie are refused before anything is allocated for them", () => {
  for (const head of ["ddffffffff", "dc7fff", "9f"]) {
    throws(() => raw(`${head}0102`).uint32s(), /fewer bytes are left/);
    throws(() => raw(`${head}0102`).low64s(), /fewer bytes are left/);
    throws(() => raw(`${head}0102`).arrayLength(), /fewer bytes are left/);
    throws(() => raw(`${head}0102`).skip(), MsgpackError);
  }
  for (const head of ["dfffffffff", "de7fff", "82"]) {
    throws(() => raw(`${head}0102`).mapLength(), /fewer bytes are left/);
  }
  equal(raw("ddffffffff01").arrayLengthClaimed(), 2 ** 32 - 1);
});

Deno.test("elementType looks into an array and stays where it is", () => {
  const reader = of([[1, 2]]);
  equal(reader.elementType, MsgpackType.Array);
  equal(reader.at, 0);
  equal(of([]).elementType, MsgpackType.None);
  equal(of("x").elementType, MsgpackType.None);
});

Deno.test("skip() passes over any value and nothing behind it", () => {
  const value = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false, 1.5, new ExtData(5, new Uint8Array(3)), new ExtData(-1, new Uint8Array(16))),
      fc.integer(),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
      fc.string({ maxLength: 300 }),
      fc.uint8Array({ maxLength: 300 }),
      fc.array(tie("value"), { maxLength: 20 }),
      fc.dictionary(fc.string(), tie("value"), { maxKeys: 20 }),
    ),
  })).value;
  fc.assert(
    fc.property(value, (value) => {
      const encoded = encode([value, 77], { useBigInt64: true });
      const reader = new MsgpackReader(encoded);
      reader.arrayLength();
      reader.skip();
      equal(reader.int(), 77);
      ok(reader.done);
      const cut = new MsgpackReader(encoded, 1, encoded.length - 2);
      throws(() => cut.skip(), MsgpackError);
    }),
    { seed: 3, numRuns: 300 },
  );
});

Deno.test("skip() passes over the long forms of ext, bin, str, array and map", () => {
  for (const hex of ["c9000000020aaaaa", "c800020aaaaa", "c7020aaaaa", "d40aaa", "d80a" + "aa".repeat(16)]) {
    const reader = raw(hex + "4d");
    reader.skip();
    equal(reader.int(), 77);
  }
  const big = ["x".repeat(70_000), new Uint8Array(70_000), new Array(70_000).fill(1)];
  const reader = of([...big, 77]);
  reader.arrayLength();
  for (const _ of big) reader.skip();
  equal(reader.int(), 77);
});

Deno.test("skip() takes nesting of any depth", () => {
  const reader = new MsgpackReader(new Uint8Array(100_001).fill(0x91, 0, 100_000));
  reader.skip();
  ok(reader.done);
});

Deno.test("a reader keeps to its part of a larger buffer", () => {
  const whole = encode([9, [1, 300, 70000], 1.5, -5_000_000_000n], { useBigInt64: true });
  const padded = new Uint8Array(whole.length + 20).fill(0xff);
  padded.set(whole, 10);
  const reader = new MsgpackReader(padded.subarray(10, 10 + whole.length));
  equal(reader.arrayLength(), 4);
  equal(reader.int(), 9);
  deepStrictEqual(reader.uint32s(), Uint32Array.of(1, 300, 70000));
  deepStrictEqual([reader.number(), reader.int(), reader.done], [1.5, -5_000_000_000, true]);
});
