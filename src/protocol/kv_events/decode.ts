import { type EventFields, readEvent } from "./fields.ts";
import { tierOf } from "./media.ts";
import { MsgpackError, MsgpackReader, MsgpackType } from "./msgpack.ts";
import type { KvBatch, KvEvent, KvGroup, KvRemoved, KvStored, SkipReason } from "./types.ts";
import { WordSet } from "./word_set.ts";

/** A payload that is no batch of events: not MessagePack, or without a list of events. */
export class KvBatchError extends Error {
  override readonly name = "KvBatchError";
}

/**
 * Malformed events after which a batch is given up. Refusing one takes about 4 µs, so that a message of nothing else costs
 * 16 ms whatever its size.
 */
const malformedMax = 4096;

/** What has been read of a batch. */
class BatchDraft {
  timestamp = 0;
  rank: number | undefined;
  readonly events: KvEvent[] = [];
  /** Whether the list of events was found. */
  found = false;
  skipped: Partial<Record<SkipReason, number>> | undefined;

  skip(reason: SkipReason): undefined {
    this.skipped ??= {};
    this.skipped[reason] = (this.skipped[reason] ?? 0) + 1;
  }
}

const part = { Timestamp: 0, Events: 1, Rank: 2 } as const;

/** Parts of the envelope in the map dialect, at their position in the array dialect. */
const parts = new WordSet(["ts", "events", "data_parallel_rank"]);

/**
 * Decodes the payload of one message in any dialect of vLLM, SGLang and llm-d's file-system backend; a dialect is recognised
 * event by event. What cannot be used is left out and counted: one bad event costs no other. `seq` is the message's number.
 * Throws `KvBatchError` when the envelope itself is unreadable.
 */
export function decodeKvBatch(payload: Uint8Array, seq: number): KvBatch {
  const draft = new BatchDraft();
  const reader = new MsgpackReader(payload);
  try {
    readEnvelope(reader, draft);
    if (!reader.done) draft.skip("malformed");
  } catch (cause) {
    if (!(cause instanceof MsgpackError)) throw cause;
    if (!draft.found) throw new KvBatchError("Cannot read a batch of KV-cache events", { cause });
    draft.skip("malformed");
  }
  if (!draft.found) throw new KvBatchError("Cannot read a batch of KV-cache events as it has no list of events");
  const { timestamp, events, rank, skipped } = draft;
  return { seq, timestamp, events, ...(rank !== undefined && { rank }), ...(skipped && { skipped }) };
}

function readEnvelope(reader: MsgpackReader, draft: BatchDraft): void {
  if (reader.type === MsgpackType.Map) {
    for (let left = reader.mapLength(); left > 0; left--) readPart(reader, reader.word(parts), draft);
  } else {
    const length = reader.arrayLength();
    for (let index = 0; index < length; index++) readPart(reader, index, draft);
  }
}

function readPart(reader: MsgpackReader, index: number, draft: BatchDraft): void {
  const type = reader.type;
  if (index === part.Events) readEvents(reader, draft);
  else if (index === part.Timestamp && (type === MsgpackType.Float || type === MsgpackType.Int)) {
    const timestamp = reader.number();
    if (Number.isFinite(timestamp)) draft.timestamp = timestamp;
  } else if (index === part.Rank && type === MsgpackType.Int) {
    const rank = reader.int();
    if (rank >= 0) draft.rank = rank;
  } else reader.skip();
}

/** Throws `MsgpackError` when the list is cut off, or too much of it malformed; what was read before stays. */
function readEvents(reader: MsgpackReader, draft: BatchDraft): void {
  const count = reader.arrayLengthClaimed();
  draft.found = true;
  let malformed = 0;
  for (let i = 0; i < count; i++) {
    const start = reader.at;
    try {
      const event = readAnyEvent(reader, draft);
      if (event) draft.events.push(event);
    } catch (error) {
      if (!(error instanceof MsgpackError)) throw error;
      reader.seek(start);
      // Throws when the event is cut off; it is then counted where that is caught.
      reader.skip();
      draft.skip("malformed");
      if (++malformed >= malformedMax) {
        throw new MsgpackError(`Cannot read a batch of ${malformedMax} malformed events`);
      }
    }
  }
}

function readAnyEvent(reader: MsgpackReader, draft: BatchDraft): KvEvent | undefined {
  switch (reader.type) {
    case MsgpackType.Array:
    case MsgpackType.Map:
      return readTagged(reader, draft);
    case MsgpackType.Bin: {
      // A MessagePack document of its own.
      const inner = reader.bin();
      const event = readTagged(inner, draft);
      if (!inner.done) draft.skip("malformed");
      return event;
    }
    default:
      reader.skip();
      return draft.skip("malformed");
  }
}

function readTagged(reader: MsgpackReader, draft: BatchDraft): KvEvent | undefined {
  const { tag, fields } = readEvent(reader);
  switch (tag) {
    case "BlockStored":
      return storedOf(fields, draft);
    case "BlockRemoved":
      return removedOf(fields, draft);
    case "AllBlocksCleared":
      return { kind: "cleared" };
    case undefined:
      return draft.skip("unknown-event");
  }
}

function storedOf(fields: EventFields, draft: BatchDraft): KvStored | undefined {
  const { hashes, tokens = new Uint32Array(0), blockTokens = 0, parent } = fields;
  if (!hashes || fields.extras && fields.extras.length !== hashes.length) return draft.skip("malformed");
  const tier = tierOf(fields.medium, fields.locality);
  if (tier === undefined) return draft.skip("unknown-medium");
  if (fields.tokenPairs) return draft.skip("token-pairs");
  const common = { kind: "stored", tier, ...adapterOf(fields), ...groupOf(fields) } as const;
  if (tokens.length === 0) return { ...common, hashes, tokens, blockTokens: 0 };

  if (blockTokens < 1) return draft.skip("malformed");
  if (Math.ceil(tokens.length / blockTokens) !== hashes.length) return draft.skip("uneven-span");
  const pages = Math.floor(tokens.length / blockTokens);
  if (pages < hashes.length) draft.skip("partial-page");
  if (pages === 0) return undefined;
  const extras = extrasOf(fields, pages);
  return {
    ...common,
    hashes: pages < hashes.length ? hashes.slice(0, pages) : hashes,
    tokens: pages < hashes.length ? tokens.slice(0, pages * blockTokens) : tokens,
    blockTokens,
    // Some publishers write 0 for none.
    ...(parent && { parent }),
    ...(extras && { extras }),
  };
}

function removedOf(fields: EventFields, draft: BatchDraft): KvRemoved | undefined {
  if (!fields.hashes) return draft.skip("malformed");
  const tier = tierOf(fields.medium, fields.locality);
  if (tier === undefined) return draft.skip("unknown-medium");
  return { kind: "removed", tier, hashes: fields.hashes, ...groupOf(fields) };
}

/** An adapter's numbers begin at 1. */
function adapterOf({ lora, loraId }: EventFields): Pick<KvStored, "lora" | "loraId"> | undefined {
  if (lora) return { lora };
  return loraId ? { loraId } : undefined;
}

function groupOf({ groupIndex, groupKind, slidingWindow }: EventFields): { group: KvGroup } | undefined {
  if (groupIndex === undefined && groupKind === undefined) return undefined;
  return {
    group: {
      index: groupIndex ?? 0,
      ...(groupKind !== undefined && { kind: groupKind }),
      ...(slidingWindow !== undefined && { slidingWindow }),
    },
  };
}

/**
 * The first `blocks` entries without the adapter's name, which vLLM puts first in each: the adapter is part of the chain's
 * root. SGLang tells the salt with every event of a chain; it belongs to the chain's first block.
 */
function extrasOf(fields: EventFields, blocks: number): (string[] | undefined)[] | undefined {
  const salt = fields.parent ? undefined : fields.cacheSalt;
  if (!fields.extras && !salt) return undefined;
  const extras = new Array<string[] | undefined>(blocks);
  let any = false;
  for (let i = 0; i < blocks; i++) {
    const strings = fields.extras?.[i] ?? [];
    const name = fields.lora ? strings.indexOf(fields.lora) : -1;
    if (name >= 0) strings.splice(name, 1);
    if (i === 0 && salt) strings.push(salt);
    any ||= strings.length > 0;
    extras[i] = strings.length > 0 ? strings : undefined;
  }
  return any ? extras : undefined;
}
