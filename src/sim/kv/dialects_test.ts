import { deepStrictEqual, equal, throws } from "node:assert/strict";
import { decode } from "@msgpack/msgpack";
import fc from "fast-check";
import { encodeBatch, type EncodeOptions, eventsTold, hashToInt, type KvDialect, kvDialects } from "./dialects.ts";
import type { SimKvEvent, SimStored } from "./events.ts";
import { MsgpackFloat, type MsgpackValue, MsgpackWriter } from "./msgpack.ts";

/** A digest of 32 bytes that begins with `first` and ends with `last`. */
function digest(first: number, last: number): Uint8Array {
  const bytes = new Uint8Array(32);
  bytes[0] = first;
  bytes[24] = 0x80;
  bytes[31] = last;
  return bytes;
}

const low = (last: number) => 0x8000_0000_0000_0000n + BigInt(last);

const stored: SimStored = {
  kind: "stored",
  tier: "gpu",
  hashes: [digest(0xff, 1), digest(0x7f, 2)],
  tokens: Uint32Array.of(5, 300, 70_000, 0xffff_ffff),
  blockSize: 2,
  extras: [{ adapter: "sql", media: [{ hash: "img", at: -1 }], salt: "s" }, { adapter: "sql" }],
  adapter: "sql",
  adapterId: 7,
};
const plain: SimStored = {
  kind: "stored",
  tier: "cpu",
  hashes: [digest(0, 3)],
  parent: digest(0x7f, 2),
  tokens: Uint32Array.of(1, 2),
  blockSize: 2,
  extras: [{}],
};
const removed: SimKvEvent = { kind: "removed", tier: "cpu", hashes: [digest(0, 3)] };
const cleared: SimKvEvent = { kind: "cleared" };

function read(dialect: KvDialect, events: readonly SimKvEvent[], more: Partial<EncodeOptions> = {}): unknown {
  const blockHash = dialect.startsWith("sglang") ? "sglang" : "sha256-cbor";
  const options = { dialect, blockHash, hashForm: "bytes", ...more } as const;
  return decode(encodeBatch({ timestampS: 1700, rank: 3, events }, options), { useBigInt64: true });
}

const events = (dialect: KvDialect, more?: Partial<EncodeOptions>) =>
  (read(dialect, [stored, plain, removed, cleared], more) as unknown[])[1];

const tokens = [5, 300, 70_000, 0xffff_ffff];

Deno.test("vLLM's array generations add a field each, and leave trailing defaults out", () => {
  const [first, second] = stored.hashes;
  const head = ["BlockStored", [first, second], null, tokens, 2, 7];
  const [next] = plain.hashes;
  const tail = ["BlockStored", [next], second, [1, 2], 2, null];
  const extras = [["sql", "img", "s"], ["sql"]];
  const offsets = [["sql", ["img", -1], "s"], ["sql"]];
  const clear = ["AllBlocksCleared"];
  deepStrictEqual(events("vllm-v1"), [head, tail, ["BlockRemoved", [next]], clear]);
  const gone = ["BlockRemoved", [next], "CPU"];
  deepStrictEqual(events("vllm-medium"), [[...head, "GPU"], [...tail, "CPU"], gone, clear]);
  deepStrictEqual(events("vllm-lora-name"), [[...head, "GPU", "sql"], [...tail, "CPU", null], gone, clear]);
  deepStrictEqual(events("vllm-extra-keys"), [[...head, "GPU", "sql", extras], [...tail, "CPU", null], gone, clear]);
  deepStrictEqual(events("vllm-group"), [
    [...head, "GPU", "sql", offsets, 0, "full_attention"],
    [...tail, "CPU", null, null, 0, "full_attention"],
    [...gone, 0],
    clear,
  ]);
});

Deno.test("vLLM's map dialect has every field without a default and leaves the others out", () => {
  const [first, second] = stored.hashes;
  const group = { group_idx: 0, kv_cache_spec_kind: "full_attention" };
  deepStrictEqual(events("vllm-map"), [
    {
      type: "BlockStored",
      block_hashes: [first, second],
      parent_block_hash: null,
      token_ids: tokens,
      block_size: 2,
      lora_id: 7,
      medium: "GPU",
      lora_name: "sql",
      extra_keys: [["sql", ["img", -1], "s"], ["sql"]],
      ...group,
    },
    {
      type: "BlockStored",
      block_hashes: plain.hashes,
      parent_block_hash: second,
      token_ids: [1, 2],
      block_size: 2,
      lora_id: null,
      medium: "CPU",
      lora_name: null,
      ...group,
    },
    { type: "BlockRemoved", block_hashes: plain.hashes, medium: "CPU", group_idx: 0 },
    { type: "AllBlocksCleared" },
  ]);
  deepStrictEqual(read("vllm-map-batch", [cleared]), {
    ts: 1700,
    events: [{ type: "AllBlocksCleared" }],
    data_parallel_rank: 3,
  });
  const [shared] = (read("vllm-map", [{ ...plain, tier: "shared" }]) as [number, Record<string, unknown>[]])[1];
  deepStrictEqual([shared.medium, shared.locality], ["STORAGE", "REMOTE"]);
});

Deno.test("vLLM's integer hashes are the low 64 bits, unsigned", () => {
  const [head] = events("vllm-v1", { hashForm: "int" }) as unknown[][];
  deepStrictEqual(head[1], [low(1), low(2)]);
  const [, tail] = events("vllm-map", { hashForm: "int" }) as Record<string, unknown>[];
  equal(tail.parent_block_hash, low(2));
});

Deno.test("SGLang's generations have signed hashes, a page an event at first, and the salt in a map", () => {
  const minus = -0x0100_0000_0000_0000n, plus = 0x7f00_0000_0000_0000n;
  const page = ["BlockStored", [minus], null, [5, 300], 2, 7];
  const next = ["BlockStored", [plus], minus, [70_000, 0xffff_ffff], 2, 7];
  const last = ["BlockStored", [0], plus, [1, 2], 2, null];
  const clear = ["AllBlocksCleared"];
  deepStrictEqual(read("sglang-a", [stored, plain, removed, cleared]), [1700, [
    page,
    next,
    last,
    ["BlockRemoved", [0]],
    clear,
  ]]);
  const gone = ["BlockRemoved", [0], "CPU_PINNED"];
  deepStrictEqual(events("sglang-b"), [[...page, "GPU"], [...next, "GPU"], [...last, "CPU_PINNED"], gone, clear]);
  deepStrictEqual(events("sglang-c"), [
    ["BlockStored", [minus, plus], null, tokens, 2, 7, "GPU", { cache_salt: "s" }],
    [...last, "CPU_PINNED", { cache_salt: null }],
    gone,
    clear,
  ]);
  deepStrictEqual(events("sglang-d"), [
    {
      type: "BlockStored",
      block_hashes: [minus, plus],
      parent_block_hash: null,
      token_ids: tokens,
      block_size: 2,
      lora_id: 7,
      medium: "GPU",
      cache_salt: "s",
      lora_name: "sql",
    },
    {
      type: "BlockStored",
      block_hashes: [0],
      parent_block_hash: plus,
      token_ids: [1, 2],
      block_size: 2,
      lora_id: null,
      medium: "CPU_PINNED",
    },
    { type: "BlockRemoved", block_hashes: [0], medium: "CPU_PINNED" },
    { type: "AllBlocksCleared" },
  ]);
});

Deno.test("llm-d's simulator writes parent 0 in arrays and nil in maps; its file-system backend writes bin events", () => {
  const [array] = events("llm-d-array") as unknown[][];
  deepStrictEqual(array, ["BlockStored", [low(1), low(2)], 0, tokens, 2, 7, "GPU", "sql"]);
  const [map] = events("llm-d-map") as Record<string, unknown>[];
  deepStrictEqual([map.parent_block_hash, map.medium], [null, "GPU"]);
  const [store, , gone] = events("llm-d-fs") as Uint8Array[];
  deepStrictEqual(decode(store, { useBigInt64: true }), ["BlockStored", [low(1), low(2)], 0, [], 0, null, "GPU"]);
  deepStrictEqual(decode(gone, { useBigInt64: true }), ["BlockRemoved", [low(3)], "CPU"]);
});

Deno.test("eventsTold() keeps the events a dialect has words for", () => {
  const all = [stored, plain, cleared];
  deepStrictEqual(eventsTold("vllm-map", all), all);
  deepStrictEqual(eventsTold("llm-d-map", all), [stored, cleared]);
  deepStrictEqual(eventsTold("llm-d-fs", all), [plain, cleared]);
});

Deno.test("every dialect tells the location alone where the event does, and the time as a float", () => {
  const bare: SimKvEvent = { ...plain, parent: undefined, tokens: new Uint32Array(0), blockSize: 0 };
  for (const dialect of kvDialects) {
    const options = { dialect, blockHash: "sha256-cbor", hashForm: "int" } as const;
    const bytes = encodeBatch({ timestampS: 1700, rank: 0, events: [bare] }, options);
    equal(bytes.includes(0xcb), true, dialect);
    const batch = decode(bytes, { useBigInt64: true }) as unknown;
    const list = Array.isArray(batch) ? batch[1] : (batch as { events: unknown[] }).events;
    const event = dialect === "llm-d-fs" ? decode(list[0], { useBigInt64: true }) : list[0];
    const [told, size] = Array.isArray(event) ? [event[3], event[4]] : [event.token_ids, event.block_size];
    deepStrictEqual([told, size], [[], 0], dialect);
  }
});

Deno.test("hashToInt() reads each digest as its engine does", () => {
  equal(hashToInt("sha256-cbor", digest(0xff, 9)), low(9));
  equal(hashToInt("sglang", digest(0xff, 9)), -0x0100_0000_0000_0000n);
  equal(hashToInt("llm-d-xxh64", Uint8Array.of(0, 0, 0, 0, 0, 0, 1, 2)), 258n);
});

Deno.test("MsgpackWriter writes what another reader reads", () => {
  const scalar = fc.oneof(
    fc.constant(null),
    fc.boolean(),
    fc.integer({ min: -(2 ** 31), max: 2 ** 32 - 1 }),
    fc.string({ maxLength: 300 }),
    fc.uint8Array({ maxLength: 300 }),
  );
  const writer = new MsgpackWriter();
  const value = fc.letrec<{ value: MsgpackValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      scalar,
      fc.array(tie("value"), { maxLength: 40 }),
      fc.dictionary(fc.string(), tie("value"), { noNullPrototype: true, maxKeys: 20 })
        .filter((map) => !Object.hasOwn(map, "__proto__")),
    ),
  })).value;
  fc.assert(fc.property(value, (each) => deepStrictEqual(decode(writer.encode(each)), each)), { seed: 3 });
  for (const wide of [2n ** 63n, -(2n ** 63n), 2n ** 64n - 1n, -(2n ** 31n) - 1n]) {
    equal(decode(writer.encode(wide), { useBigInt64: true }), wide);
  }
  for (const edge of [0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 2 ** 32, -32, -33, -128, -129, -32769, -(2 ** 40)]) {
    equal(decode(writer.encode(edge)), edge);
  }
  const long = Uint32Array.from({ length: 70_000 }, (_, i) => i * 61_356);
  deepStrictEqual(decode(writer.encode(long)), [...long]);
  deepStrictEqual(writer.encode(new MsgpackFloat(1)), Uint8Array.of(0xcb, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0));
  throws(() => writer.encode(0.5), /must be an integer/);
});
