/** Batches as the bytes of an engine's dialect, and back. */
import { encode } from "@msgpack/msgpack";
import { KvTier } from "../../src/core/mod.ts";
import { decodeKvBatch, type KvBatch, type KvEvent } from "../../src/protocol/mod.ts";

export const dialects = ["vllm-array", "vllm-map", "sglang-map"] as const;
export type Dialect = (typeof dialects)[number];

/** A batch as its reader decodes it. */
export function overTheWire(batch: KvBatch, dialect: Dialect): KvBatch {
  const events = batch.events.map((event) => eventOf(event, dialect));
  const payload = dialect === "vllm-map"
    ? { ts: batch.timestamp, events, data_parallel_rank: 0 }
    : [batch.timestamp, events, 0];
  return decodeKvBatch(encode(payload, { useBigInt64: true }), batch.seq);
}

function eventOf(event: KvEvent, dialect: Dialect): unknown {
  if (event.kind === "cleared") return tagged("AllBlocksCleared", [], dialect);
  const hashes = Array.from(event.hashes, (hash) => hashOf(hash, dialect));
  const medium = event.tier === KvTier.Gpu ? "GPU" : dialect === "sglang-map" ? "CPU_PINNED" : "CPU";
  if (event.kind === "removed") return tagged("BlockRemoved", [["block_hashes", hashes], ["medium", medium]], dialect);
  if (event.kind !== "stored") throw new Error(`Cannot encode an event as engines do not tell it: ${event.kind}`);
  const parent = event.parent === undefined ? null : hashOf(event.parent, dialect);
  const fields: [string, unknown][] = [
    ["block_hashes", hashes],
    ["parent_block_hash", parent],
    ["token_ids", [...event.tokens]],
    ["block_size", event.blockTokens],
    ["lora_id", event.lora === undefined ? null : 1],
    ["medium", medium],
  ];
  const salt = event.extras?.[0]?.[0];
  if (dialect === "sglang-map") {
    if (salt !== undefined) fields.push(["cache_salt", salt]);
    if (event.lora !== undefined) fields.push(["lora_name", event.lora]);
  } else {
    // The adapter's name comes before the salt, on every block.
    const extras = Array.from(event.hashes, (_, i) => [event.lora, i === 0 ? salt : undefined].filter((x) => x));
    fields.push(["lora_name", event.lora ?? null], ["extra_keys", extras.map((keys) => keys.length > 0 ? keys : null)]);
  }
  return tagged("BlockStored", fields, dialect);
}

function tagged(tag: string, fields: [string, unknown][], dialect: Dialect): unknown {
  if (dialect === "vllm-array") return [tag, ...fields.map(([, value]) => value)];
  return { type: tag, ...Object.fromEntries(fields) };
}

/** vLLM: a digest of 32 bytes whose last 8 count; SGLang: a signed integer. */
function hashOf(hash: bigint, dialect: Dialect): unknown {
  if (dialect === "sglang-map") return BigInt.asIntN(64, hash);
  const digest = new Uint8Array(32).fill(7);
  new DataView(digest.buffer).setBigUint64(24, hash);
  return digest;
}
