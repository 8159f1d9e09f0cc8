import { type BlockHashName, vllmExtraKeys } from "./block_hash.ts";
import type { BlockExtras, SimKvEvent, SimStored, SimTier } from "./events.ts";
import { MsgpackFloat, type MsgpackValue, MsgpackWriter } from "./msgpack.ts";

/**
 * How batches are written. vLLM's generations by what they added: arrays up to `vllm-group`, then events as maps
 * (`vllm-map`), then the batch too (`vllm-map-batch`). SGLang's four. llm-d: its simulator's arrays and maps, and its
 * file-system backend, whose events are `bin`.
 */
export const kvDialects = [
  "vllm-v1",
  "vllm-medium",
  "vllm-lora-name",
  "vllm-extra-keys",
  "vllm-group",
  "vllm-map",
  "vllm-map-batch",
  "sglang-a",
  "sglang-b",
  "sglang-c",
  "sglang-d",
  "llm-d-array",
  "llm-d-map",
  "llm-d-fs",
] as const;
export type KvDialect = (typeof kvDialects)[number];

/** What decides the bytes of a batch. */
export interface EncodeOptions {
  readonly dialect: KvDialect;
  readonly blockHash: BlockHashName;
  /** Whether hashes are written whole or as 64-bit integers. SGLang's and llm-d's always are integers. */
  readonly hashForm: "bytes" | "int";
}

/** A batch that is ready to be written. */
export interface TimedBatch {
  /** Unix seconds. */
  readonly timestampS: number;
  readonly rank: number;
  readonly events: readonly SimKvEvent[];
}

/** The integer an engine writes for a digest: SGLang's are signed and from the front, all others the last 8 bytes. */
export function hashToInt(blockHash: BlockHashName, digest: Uint8Array): bigint {
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  return blockHash === "sglang" ? view.getBigInt64(0) : view.getBigUint64(digest.length - 8);
}

const vllmMedia: Record<SimTier, string> = { gpu: "GPU", cpu: "CPU", disk: "FS", shared: "STORAGE" };
const sglangMedia: Record<SimTier, string> = { gpu: "GPU", cpu: "CPU_PINNED", disk: "DISK", shared: "EXTERNAL" };
/** What a store's cache group is called where groups are told; the modelled engine has one. */
const groupKind = "full_attention";

const writer = new MsgpackWriter();

/** The events a dialect has words for: llm-d's simulator knows no tier but GPU, its file-system backend all others. */
export function eventsTold(dialect: KvDialect, events: readonly SimKvEvent[]): readonly SimKvEvent[] {
  if (!dialect.startsWith("llm-d")) return events;
  return events.filter((event) => event.kind === "cleared" || (event.tier === "gpu") === (dialect !== "llm-d-fs"));
}

/** The payload of one message. */
export function encodeBatch(batch: TimedBatch, options: EncodeOptions): Uint8Array {
  const { dialect } = options;
  const ts = new MsgpackFloat(batch.timestampS);
  const pages = dialect === "sglang-a" || dialect === "sglang-b" ? batch.events.flatMap(pagesOf) : batch.events;
  const events = pages.map((event) => eventValue(event, options));
  if (dialect === "llm-d-fs") {
    // Each event is a document of its own: encoded first, as the writer has one buffer.
    const inner = events.map((event) => writer.encode(event));
    return writer.encode([ts, inner]);
  }
  if (dialect === "sglang-a") return writer.encode([ts, events]);
  if (dialect === "vllm-map-batch") return writer.encode({ ts, events, data_parallel_rank: batch.rank });
  return writer.encode([ts, events, batch.rank]);
}

/** Early SGLang told each page on its own. */
function pagesOf(event: SimKvEvent): SimKvEvent[] {
  if (event.kind !== "stored" || event.hashes.length < 2) return [event];
  const { blockSize } = event;
  return event.hashes.map((hash, i) => ({
    ...event,
    hashes: [hash],
    parent: i === 0 || blockSize === 0 ? event.parent : event.hashes[i - 1],
    tokens: event.tokens.subarray(i * blockSize, (i + 1) * blockSize),
    extras: [event.extras[i]],
  }));
}

function eventValue(event: SimKvEvent, options: EncodeOptions): MsgpackValue {
  const { dialect } = options;
  if (event.kind === "cleared") {
    return isMap(dialect) ? { type: "AllBlocksCleared" } : ["AllBlocksCleared"];
  }
  if (dialect.startsWith("sglang")) return sglangEvent(event, options);
  return dialect.startsWith("llm-d") ? llmdEvent(event, options) : vllmEvent(event, options);
}

function isMap(dialect: KvDialect): boolean {
  return ["vllm-map", "vllm-map-batch", "sglang-d", "llm-d-map"].includes(dialect);
}

type Told = Exclude<SimKvEvent, { kind: "cleared" }>;

function hashesOf(event: Told, { blockHash, hashForm, dialect }: EncodeOptions): MsgpackValue[] {
  const whole = hashForm === "bytes" && dialect.startsWith("vllm");
  return event.hashes.map((hash) => whole ? hash : hashToInt(blockHash, hash));
}

function parentOf(event: SimStored, { blockHash, hashForm, dialect }: EncodeOptions): MsgpackValue {
  if (event.parent === undefined) return null;
  return hashForm === "bytes" && dialect.startsWith("vllm") ? event.parent : hashToInt(blockHash, event.parent);
}

/** Trailing fields at their default are left out, as msgspec does. */
function withoutTail(fields: MsgpackValue[], least: number): MsgpackValue[] {
  let length = fields.length;
  while (length > least && fields[length - 1] === null) length--;
  return fields.slice(0, length);
}

/** Media were strings without their offset before groups came. */
function extraKeys(extras: readonly BlockExtras[], withOffsets: boolean): MsgpackValue {
  const keys = extras.map(vllmExtraKeys);
  if (keys.every((each) => each === null)) return null;
  return withOffsets ? keys : keys.map((each) => each && each.map((key) => typeof key === "string" ? key : key[0]));
}

const vllmGenerations: readonly KvDialect[] = [
  "vllm-v1",
  "vllm-medium",
  "vllm-lora-name",
  "vllm-extra-keys",
  "vllm-group",
  "vllm-map",
  "vllm-map-batch",
];

function vllmEvent(event: Told, options: EncodeOptions): MsgpackValue {
  const generation = vllmGenerations.indexOf(options.dialect);
  const hashes = hashesOf(event, options);
  const medium = vllmMedia[event.tier];
  if (event.kind === "removed") {
    if (generation >= 5) return { type: "BlockRemoved", block_hashes: hashes, medium, group_idx: 0 };
    const group = generation >= 4 ? [0] : [];
    return ["BlockRemoved", hashes, ...(generation >= 1 ? [medium] : []), ...group];
  }
  const parent = parentOf(event, options);
  const { tokens, blockSize, adapter = null, adapterId = null } = event;
  const extras = extraKeys(event.extras, generation >= 4);
  if (generation >= 5) {
    return {
      type: "BlockStored",
      block_hashes: hashes,
      parent_block_hash: parent,
      token_ids: tokens,
      block_size: blockSize,
      lora_id: adapterId,
      medium,
      lora_name: adapter,
      extra_keys: extras ?? undefined,
      group_idx: 0,
      kv_cache_spec_kind: groupKind,
      locality: event.tier === "shared" ? "REMOTE" : undefined,
    };
  }
  const fields: MsgpackValue[] = ["BlockStored", hashes, parent, tokens, blockSize, adapterId];
  if (generation >= 1) fields.push(medium);
  if (generation >= 2) fields.push(adapter);
  // Only what came with a default is left out at its end.
  const least = fields.length;
  if (generation >= 3) fields.push(extras);
  if (generation >= 4) fields.push(0, groupKind, null);
  return withoutTail(fields, least);
}

function sglangEvent(event: Told, options: EncodeOptions): MsgpackValue {
  const { dialect } = options;
  const hashes = hashesOf(event, options);
  const medium = sglangMedia[event.tier];
  if (event.kind === "removed") {
    if (dialect === "sglang-d") return { type: "BlockRemoved", block_hashes: hashes, medium };
    return ["BlockRemoved", hashes, ...(dialect === "sglang-a" ? [] : [medium])];
  }
  const parent = parentOf(event, options);
  const { tokens, blockSize, adapter, adapterId = null } = event;
  const salt = event.extras[0]?.salt;
  if (dialect === "sglang-d") {
    return {
      type: "BlockStored",
      block_hashes: hashes,
      parent_block_hash: parent,
      token_ids: tokens,
      block_size: blockSize,
      lora_id: adapterId,
      medium,
      cache_salt: salt,
      lora_name: adapter,
    };
  }
  const fields: MsgpackValue[] = ["BlockStored", hashes, parent, tokens, blockSize, adapterId];
  if (dialect !== "sglang-a") fields.push(medium);
  if (dialect === "sglang-c") fields.push({ cache_salt: salt ?? null });
  return fields;
}

function llmdEvent(event: Told, options: EncodeOptions): MsgpackValue {
  const { dialect } = options;
  const hashes = hashesOf(event, options);
  if (dialect === "llm-d-fs") {
    const medium = event.tier === "shared" ? "SHARED_STORAGE" : vllmMedia[event.tier];
    if (event.kind === "removed") return ["BlockRemoved", hashes, medium];
    return ["BlockStored", hashes, 0, [], 0, null, medium];
  }
  const medium = "GPU";
  const map = dialect === "llm-d-map";
  if (event.kind === "removed") {
    return map ? { type: "BlockRemoved", block_hashes: hashes, medium } : ["BlockRemoved", hashes, medium];
  }
  const { tokens, blockSize, adapter = null, adapterId = null } = event;
  const parent = parentOf(event, options);
  if (!map) return ["BlockStored", hashes, parent ?? 0, tokens, blockSize, adapterId, medium, adapter];
  return {
    type: "BlockStored",
    block_hashes: hashes,
    parent_block_hash: parent,
    token_ids: tokens,
    block_size: blockSize,
    lora_id: adapterId,
    medium,
    lora_name: adapter,
  };
}
