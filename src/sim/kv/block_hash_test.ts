import { deepStrictEqual, equal, notDeepStrictEqual } from "node:assert/strict";
import { Prng } from "../../core/mod.ts";
import { type BlockHasher, blockHasher, type BlockHashName } from "./block_hash.ts";
import { CborWriter } from "./cbor.ts";
import type { BlockExtras } from "./events.ts";
import { fnv1a64, xxh64 } from "./xxh64.ts";

const hex = (bytes: Uint8Array) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
const tokens = (from: number) => Uint32Array.from({ length: 16 }, (_, i) => from + i);

function chain(hasher: BlockHasher, first: BlockExtras = {}): string[] {
  const root = hasher.root();
  const zero = hasher.next(root, tokens(1), first);
  return [root, zero, hasher.next(zero, tokens(17), {})].map(hex);
}

const make = (name: BlockHashName, seed?: string) => blockHasher({ name, seed, model: "m" }, new Prng(1));

Deno.test("CborWriter writes the documented bytes", () => {
  const cbor = new CborWriter();
  equal(hex(cbor.encode([0xcbf29ce484222325n, null, "m"])), "831bcbf29ce484222325f6616d");
  equal(
    hex(cbor.encode([0x9ddb2db69f3f452cn, tokens(1), null])),
    "831b9ddb2db69f3f452c900102030405060708090a0b0c0d0e0f10f6",
  );
  equal(hex(cbor.encode([-1, -500, 24, 70000, 2 ** 40])), "85203901f318181a000111701b0000010000000000");
  equal(hex(cbor.encode({ bb: 1, a: 2 })), "a261610262626201");
  equal(hex(cbor.encode("x".repeat(300))).slice(0, 6), "79012c");
});

Deno.test("fnv1a64() and xxh64() give the published values", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  equal(fnv1a64(bytes("")), 0xcbf29ce484222325n);
  equal(fnv1a64(bytes("foobar")), 0x85944171f73967e8n);
  equal(xxh64(bytes("")), 0xef46db3751d8e999n);
  equal(xxh64(bytes("abc")), 0x44bc2cf5ad770999n);
  equal(xxh64(bytes("Nobody inspects the spammish repetition")), 0xfbcea83c8a378bf1n);
});

Deno.test("llm-d-cbor-fnv gives llm-d's request keys", () => {
  deepStrictEqual(chain(make("llm-d-cbor-fnv")), ["9ddb2db69f3f452c", "fccf55888d5ee3d5", "1f279613e611c44a"]);
  deepStrictEqual(chain(make("llm-d-cbor-fnv", "42")), ["bdc1bd2ff312d827", "923b8e59683f3f17", "ac29e994cb8a329c"]);
  deepStrictEqual(
    chain(make("llm-d-cbor-fnv"), { media: [{ hash: "img-1", at: 0 }] }),
    ["9ddb2db69f3f452c", "e7adb376a7dd3b61", "0797805fb56a2ac4"],
  );
  const short = make("llm-d-cbor-fnv");
  equal(hex(short.next(short.root(), Uint32Array.of(0, 23, 24, 70000), {})), "8f6f40f6b23ffee2");
});

Deno.test("llm-d-xxh64 gives llm-d's request keys", () => {
  deepStrictEqual(chain(make("llm-d-xxh64")), ["c90cbf5421a4994b", "d51460f1ea958847", "ece47350a160b095"]);
  deepStrictEqual(chain(make("llm-d-xxh64", "42")), ["2c603108d209fa99", "ac9ffb1738d10a48", "61af3ec59df15c5e"]);
  deepStrictEqual(
    chain(make("llm-d-xxh64"), { media: [{ hash: "img-1", at: 3 }] }),
    ["c90cbf5421a4994b", "20fa29d10066931f", "2957fd32d49ca376"],
  );
});

Deno.test("sha256-cbor gives vLLM's digests for PYTHONHASHSEED 0", () => {
  const hasher = make("sha256-cbor", "0");
  deepStrictEqual(chain(hasher), [
    "4e1195df020de59e0d65a33a4279f1183e7ae4e5d980e309f8b55adff2e61c3e",
    "202da172482d928bbc42ab25b0151e2b895f13f41002e27b2ceabcfae6d332ea",
    "4a0a393805c6d2f0ed831000d41bb65980336c4c04895d5e26470bbec927f5bf",
  ]);
  equal(hasher.toInt(hasher.next(hasher.root(), tokens(1), {})), 0x2ceabcfae6d332ean);
});

Deno.test("sha256-cbor without a seed starts each engine's chain elsewhere", () => {
  const prng = new Prng(5);
  const options = { name: "sha256-cbor", model: "m" } as const;
  const [a, b] = [blockHasher(options, prng), blockHasher(options, prng)];
  notDeepStrictEqual(chain(a), chain(b));
  deepStrictEqual(chain(a), chain(blockHasher(options, new Prng(5))));
});

Deno.test("sglang hashes the page before and the tokens as 4 bytes, and reads 16 digits as a signed integer", async () => {
  const hasher = make("sglang");
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setUint32(0, 7, true);
  new DataView(bytes.buffer).setUint32(4, 0x01020304, true);
  const page = Uint32Array.of(7, 0x01020304);
  const first = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  deepStrictEqual(hasher.next(hasher.root(), page, {}), first);
  const second = new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array([...first, ...bytes])));
  deepStrictEqual(hasher.next(first, page, {}), second);
  equal(hasher.toInt(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 9)), -2n);
});

Deno.test("every hasher tells adapters, salts and media apart", () => {
  for (const name of ["sha256-cbor", "sglang", "llm-d-cbor-fnv", "llm-d-xxh64"] as const) {
    const hasher = make(name, "s");
    const digest = (extras: BlockExtras) => hex(hasher.next(hasher.root(extras.adapter), tokens(1), extras));
    const media = [{ hash: "i", at: 2 }];
    const all = [{}, { adapter: "a" }, { adapter: "b" }, { salt: "z" }, { media }, { adapter: "a", salt: "z" }];
    equal(new Set(all.map(digest)).size, all.length, name);
  }
});
