/**
 * Recorded batches of KV-cache events, one a dialect, and what they mean.
 *
 * Run `deno run -A tests/golden/kv_events/generate.ts` after changing the table: it writes `batches.json`. The bytes are
 * those msgspec writes for the publishers' own structs: shortest integers, 64-bit floats, `bin` for bytes. A field that has
 * its default is nil at the end of an array or left out; a decoder meets both.
 */
import { encode } from "@msgpack/msgpack";

/** An expected event: tier by name, hashes in hexadecimal. */
type Expected = Record<string, unknown>;

/** A batch: what a publisher encodes, and what it means. */
interface Batch {
  readonly name: string;
  readonly value: unknown;
  readonly timestamp?: number;
  readonly rank?: number;
  readonly events: readonly Expected[];
  readonly skipped?: Record<string, number>;
}

const ts = 1756000000.25;

// Digests as vLLM sends them, and their low 64 bits.
const bytes = (hex: string) => Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const digest0 = bytes("202da172482d928bbc42ab25b0151e2b895f13f41002e27b2ceabcfae6d332ea");
const digest1 = bytes("4a0a393805c6d2f0ed831000d41bb65980336c4c04895d5e26470bbec927f5bf");
const low0 = "2ceabcfae6d332ea";
const low1 = "26470bbec927f5bf";
const xxh0 = bytes("a1b2c3d4e5f60718f9e8d7c6b5a49382");
const int0 = 0xf9e8d7c6b5a49382n;

// The same as SGLang sends them: signed.
const signed0 = -0x0123456789abcdefn;
const signed1 = 0x7123456789abcdefn;
const signedHex0 = "fedcba9876543211";
const signedHex1 = "7123456789abcdef";

const tokens = [1, 127, 128, 255, 256, 65535, 65536, 151643];
const stored = { kind: "stored", tier: "gpu" };
const pair = { ...stored, hashes: [low0, low1], tokens, blockTokens: 4 };

const vllmArrays: Batch[] = [
  {
    name: "vLLM v1: array of six, sha256, no rank",
    value: [ts, [["BlockStored", [digest0, digest1], null, tokens, 4, null]]],
    events: [pair],
  },
  {
    name: "vLLM v1: adapter by number, parent, nil rank",
    value: [ts, [["BlockStored", [digest1], digest0, tokens.slice(4), 4, 7], ["BlockRemoved", [digest1]]], null],
    events: [
      { ...stored, hashes: [low1], parent: low0, tokens: tokens.slice(4), blockTokens: 4, loraId: 7 },
      { kind: "removed", tier: "gpu", hashes: [low1] },
    ],
  },
  {
    name: "vLLM with medium, rank 3",
    value: [ts, [["BlockStored", [digest0, digest1], null, tokens, 4, null, "GPU"], ["AllBlocksCleared"]], 3],
    rank: 3,
    events: [pair, { kind: "cleared" }],
  },
  {
    name: "vLLM with medium: XXH3-128, integer hash above 2^63, hash shorter than 8 bytes",
    value: [ts, [
      ["BlockStored", [xxh0], null, tokens.slice(4), 4, null, "GPU"],
      ["BlockStored", [int0], 5, tokens.slice(4), 4, null, "GPU"],
      ["BlockRemoved", [bytes("0102ff"), 300, 70000, 5_000_000_000n], "GPU"],
    ], 0],
    rank: 0,
    events: [
      { ...stored, hashes: ["f9e8d7c6b5a49382"], tokens: tokens.slice(4), blockTokens: 4 },
      { ...stored, hashes: ["f9e8d7c6b5a49382"], parent: "5", tokens: tokens.slice(4), blockTokens: 4 },
      { kind: "removed", tier: "gpu", hashes: ["102ff", "12c", "11170", "12a05f200"] },
    ],
  },
  {
    name: "vLLM with adapter's name and extra keys: multimodal tuples and strings, salt, prompt embeddings",
    value: [ts, [[
      "BlockStored",
      [digest0, digest1],
      null,
      tokens,
      4,
      1,
      "GPU",
      "sql-lora",
      [["sql-lora", ["img-1", 2], "img-2", "salt", bytes("00ff")], ["sql-lora", ["img-2", -3]]],
      null,
      null,
      null,
    ]], 0],
    rank: 0,
    events: [{ ...pair, lora: "sql-lora", extras: [["img-1", "img-2", "salt"], ["img-2"]] }],
  },
  {
    name: "vLLM with extra keys that come to nothing",
    value: [ts, [["BlockStored", [digest0, digest1], null, tokens, 4, 1, "GPU", "l", [["l"], null]]], 0],
    rank: 0,
    events: [{ ...pair, lora: "l" }],
  },
  {
    name: "vLLM with groups, kinds and windows",
    value: [ts, [
      ["BlockStored", [digest0, digest1], null, tokens, 4, null, "GPU", null, null, 0, "full_attention", null],
      ["BlockStored", [digest0, digest1], null, tokens, 4, null, "GPU", null, null, 1, "sliding_window", 1024],
      ["BlockRemoved", [digest0], "GPU", 1],
    ], 0],
    rank: 0,
    events: [
      { ...pair, group: { index: 0, kind: "full_attention" } },
      { ...pair, group: { index: 1, kind: "sliding_window", slidingWindow: 1024 } },
      { kind: "removed", tier: "gpu", hashes: [low0], group: { index: 1 } },
    ],
  },
  {
    name: "vLLM offloading: location only",
    value: [ts, [["BlockStored", [digest0, digest1], null, [], 0, null, "CPU"], ["BlockRemoved", [digest0], "CPU"]], 0],
    rank: 0,
    events: [
      { kind: "stored", tier: "cpu", hashes: [low0, low1], tokens: [], blockTokens: 0 },
      { kind: "removed", tier: "cpu", hashes: [low0] },
    ],
  },
];

const vllmStored = {
  type: "BlockStored",
  block_hashes: [digest0, digest1],
  parent_block_hash: null,
  token_ids: tokens,
  block_size: 4,
  lora_id: null,
  medium: "GPU",
  lora_name: null,
};

const vllmMaps: Batch[] = [
  {
    name: "vLLM 0.26: maps in an array envelope",
    value: [ts, [
      vllmStored,
      { type: "BlockRemoved", block_hashes: [digest0], medium: "GPU" },
      { type: "AllBlocksCleared" },
    ], 1],
    rank: 1,
    events: [pair, { kind: "removed", tier: "gpu", hashes: [low0] }, { kind: "cleared" }],
  },
  {
    name: "vLLM 0.26: every field, file system of the server and of others",
    value: [ts, [
      {
        ...vllmStored,
        parent_block_hash: digest0,
        lora_id: 2,
        medium: "FS",
        lora_name: "adapter",
        extra_keys: [["adapter", "img"], ["adapter"]],
        group_idx: 0,
        kv_cache_spec_kind: "mla_attention",
        kv_cache_spec_sliding_window: 4096,
        locality: "LOCAL",
      },
      { ...vllmStored, token_ids: [], block_size: 0, medium: "FS", locality: "REMOTE" },
      { type: "BlockRemoved", block_hashes: [digest0], medium: "OBJ", group_idx: 0, locality: "REMOTE" },
    ], 0],
    rank: 0,
    events: [
      {
        ...pair,
        tier: "disk",
        parent: low0,
        lora: "adapter",
        extras: [["img"], null],
        group: { index: 0, kind: "mla_attention", slidingWindow: 4096 },
      },
      { kind: "stored", tier: "shared", hashes: [low0, low1], tokens: [], blockTokens: 0 },
      { kind: "removed", tier: "shared", hashes: [low0], group: { index: 0 } },
    ],
  },
  {
    name: "vLLM 0.27: map envelope, STORAGE",
    value: { ts, events: [{ ...vllmStored, token_ids: [], block_size: 0, medium: "STORAGE" }], data_parallel_rank: 2 },
    rank: 2,
    events: [{ kind: "stored", tier: "shared", hashes: [low0, low1], tokens: [], blockTokens: 0 }],
  },
];

const page = { ...stored, hashes: [signedHex0], tokens: tokens.slice(0, 4), blockTokens: 4 };

const sglang: Batch[] = [
  {
    name: "SGLang a: array of six, signed hashes",
    value: [ts, [
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null],
      ["BlockStored", [signed1], signed0, tokens.slice(4), 4, null],
      ["BlockRemoved", [signed1, signed0]],
    ], null],
    events: [
      page,
      { ...stored, hashes: [signedHex1], parent: signedHex0, tokens: tokens.slice(4), blockTokens: 4 },
      { kind: "removed", tier: "gpu", hashes: [signedHex1, signedHex0] },
    ],
  },
  {
    name: "SGLang b: medium, attention rank",
    value: [ts, [
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "CPU_PINNED"],
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "DISK"],
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "EXTERNAL"],
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "CPU_TIER1"],
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "CPU_TIER2"],
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, null],
      ["BlockRemoved", [signed0], "CPU_PINNED"],
      ["BlockRemoved", [signed0], null],
    ], 1],
    rank: 1,
    events: [
      ...["cpu", "disk", "shared", "cpu", "disk", "gpu"].map((tier) => ({ ...page, tier })),
      { kind: "removed", tier: "cpu", hashes: [signedHex0] },
      { kind: "removed", tier: "gpu", hashes: [signedHex0] },
    ],
  },
  {
    name: "SGLang c: a map with the salt where vLLM has the adapter's name",
    value: [ts, [
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "GPU", { cache_salt: "tenant", session_id: "s" }],
      ["BlockStored", [signed1], signed0, tokens.slice(4), 4, null, "GPU", { cache_salt: "tenant" }],
    ], null],
    events: [
      { ...page, extras: [["tenant"]] },
      { ...stored, hashes: [signedHex1], parent: signedHex0, tokens: tokens.slice(4), blockTokens: 4 },
    ],
  },
  {
    name: "SGLang d: maps, defaults omitted, salt and adapter",
    value: [ts, [
      {
        type: "BlockStored",
        block_hashes: [signed0, signed1],
        parent_block_hash: null,
        token_ids: tokens,
        block_size: 4,
        lora_id: null,
        medium: "GPU",
        cache_salt: "tenant",
        session_id: "s",
        lora_name: "adapter",
      },
      { type: "BlockRemoved", block_hashes: [signed0] },
    ], 0],
    rank: 0,
    events: [
      { ...page, hashes: [signedHex0, signedHex1], tokens, lora: "adapter", extras: [["tenant"], null] },
      { kind: "removed", tier: "gpu", hashes: [signedHex0] },
    ],
  },
  {
    name: "SGLang: pages of 1 token, a short last page, a page shorter than the others",
    value: [ts, [
      ["BlockStored", [1, 2], null, [5, 6], 1, null, "GPU"],
      ["BlockStored", [3], null, [5, 6, 7], 3, null, "GPU"],
      ["BlockStored", [signed0, signed1], null, tokens.slice(0, 6), 4, null, "GPU"],
      ["BlockStored", [signed0], null, tokens.slice(0, 3), 4, null, "GPU"],
    ]],
    events: [
      { ...stored, hashes: ["1", "2"], tokens: [5, 6], blockTokens: 1 },
      { ...stored, hashes: ["3"], tokens: [5, 6, 7], blockTokens: 3 },
      page,
    ],
    skipped: { "partial-page": 2 },
  },
  {
    name: "SGLang with EAGLE: pairs of tokens",
    value: [ts, [["BlockStored", [signed0], null, [[1, 2], [2, 3], [3, 4], [4, 5]], 4, null, "GPU"]]],
    events: [],
    skipped: { "token-pairs": 1 },
  },
];

const nested = (...values: unknown[]) => values.map((value) => encode(value, { useBigInt64: true }));

const others: Batch[] = [
  {
    name: "llm-d file-system backend: each event a document in a bin, parent 0",
    value: [
      ts,
      nested(
        ["BlockStored", [int0], 0, [], 0, null, "SHARED_STORAGE"],
        ["BlockStored", [int0], 0, [], 0, null, "OBJECT_STORE"],
        ["BlockRemoved", [int0], "SHARED_STORAGE"],
      ),
    ],
    events: [
      { kind: "stored", tier: "shared", hashes: ["f9e8d7c6b5a49382"], tokens: [], blockTokens: 0 },
      { kind: "stored", tier: "shared", hashes: ["f9e8d7c6b5a49382"], tokens: [], blockTokens: 0 },
      { kind: "removed", tier: "shared", hashes: ["f9e8d7c6b5a49382"] },
    ],
  },
  {
    name: "llm-d simulator: parent 0 at a chain's start, adapter by number and name",
    value: [ts, [["BlockStored", [int0], 0, tokens.slice(0, 4), 4, 1, "GPU", "adapter"]], 0],
    rank: 0,
    events: [{ ...page, hashes: ["f9e8d7c6b5a49382"], lora: "adapter" }],
  },
  {
    name: "Good events between bad ones",
    value: [ts, [
      null,
      ["BlockStored"],
      ["BlockPinned", [1]],
      { type: "BlockPinned", block_hashes: "x" },
      { block_hashes: [1] },
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "gpu"],
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "NVME"],
      ["BlockRemoved", [signed0], "NVME"],
      ["BlockRemoved", [signed0], "STORAGE", null, "RACK"],
      ["BlockStored", [signed0], null, tokens, 4, null, "GPU", null, null, 1, "sliding_window", 4],
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 0, null, "GPU"],
      ["BlockStored", [signed0], null, [-1, 2, 3, 4], 4, null, "GPU"],
      ["BlockStored", [new Uint8Array(0)], null, tokens.slice(0, 4), 4, null, "GPU"],
      ["BlockStored", [signed0], null, tokens.slice(0, 4), 4, null, "GPU", null, [["a"], ["b"]]],
      ["AllBlocksCleared", "GPU"],
    ], "rank"],
    events: [page, { kind: "cleared" }],
    skipped: { "malformed": 7, "unknown-event": 2, "unknown-medium": 3, "uneven-span": 1 },
  },
  { name: "No events", value: [ts, []], events: [] },
  { name: "Timestamp in whole seconds", value: [1756000000, [], 0], timestamp: 1756000000, rank: 0, events: [] },
];

/** The recorded form of every batch. */
export function recorded(): unknown[] {
  return [...vllmArrays, ...vllmMaps, ...sglang, ...others].map((batch) => ({
    name: batch.name,
    hex: Array.from(encode(batch.value, { useBigInt64: true }), (byte) => byte.toString(16).padStart(2, "0")).join(""),
    timestamp: batch.timestamp ?? ts,
    ...(batch.rank !== undefined && { rank: batch.rank }),
    events: batch.events,
    ...(batch.skipped && { skipped: batch.skipped }),
  }));
}

if (import.meta.main) {
  const path = new URL("batches.json", import.meta.url);
  await Deno.writeTextFile(path, JSON.stringify(recorded(), undefined, 1) + "\n");
}
