import { MsgpackError, type MsgpackReader, MsgpackType } from "./msgpack.ts";
import { WordSet } from "./word_set.ts";

/** What an event of any dialect may say; nil and absent are the same. */
export interface EventFields {
  hashes?: BigUint64Array;
  parent?: bigint;
  tokens?: Uint32Array;
  /** `token_ids` holds pairs; `tokens` is absent. */
  tokenPairs?: boolean;
  blockTokens?: number;
  loraId?: number;
  medium?: string;
  lora?: string;
  /** The strings of each block's entry, the adapter's name among them. */
  extras?: (string[] | undefined)[];
  groupIndex?: number;
  groupKind?: string;
  slidingWindow?: number;
  locality?: string;
  cacheSalt?: string;
}

const field = {
  Hashes: 0,
  Parent: 1,
  Tokens: 2,
  BlockSize: 3,
  LoraId: 4,
  Medium: 5,
  /** A string. In arrays of SGLang a map with the cache salt stands in its place. */
  LoraName: 6,
  ExtraKeys: 7,
  GroupIndex: 8,
  GroupKind: 9,
  SlidingWindow: 10,
  Locality: 11,
  CacheSalt: 12,
} as const;

/** Keys of the map dialects, at their field's number. */
const fieldNames = [
  "block_hashes",
  "parent_block_hash",
  "token_ids",
  "block_size",
  "lora_id",
  "medium",
  "lora_name",
  "extra_keys",
  "group_idx",
  "kv_cache_spec_kind",
  "kv_cache_spec_sliding_window",
  "locality",
  "cache_salt",
];
const keys = new WordSet(fieldNames);

/** Fields by position behind the tag, in the array dialects. */
const storedFields = fieldNames.map((_, index) => index).slice(0, field.Locality + 1);
const removedFields: readonly number[] = [field.Hashes, field.Medium, field.GroupIndex, field.Locality];

const tags = ["BlockStored", "BlockRemoved", "AllBlocksCleared"] as const;
export type EventTag = (typeof tags)[number];
const tagWords = new WordSet(tags);
const typeKey = new WordSet(["type"]);

/** An event's tag, and its fields unless it has none; the tag is undefined when it is an unknown one. */
export interface TaggedFields {
  readonly tag: EventTag | undefined;
  readonly fields: EventFields;
}

/** Reads one event in an array or map dialect; throws `MsgpackError` when it is of another shape. */
export function readEvent(reader: MsgpackReader): TaggedFields {
  return reader.type === MsgpackType.Map ? readMapEvent(reader) : readArrayEvent(reader);
}

function readArrayEvent(reader: MsgpackReader): TaggedFields {
  let left = reader.arrayLength() - 1;
  const fields: EventFields = {};
  const tag: EventTag | undefined = tags[reader.word(tagWords)];
  if (tag === "BlockStored" || tag === "BlockRemoved") {
    for (const name of tag === "BlockStored" ? storedFields : removedFields) {
      if (left === 0) break;
      left--;
      readField(reader, name, fields);
    }
  }
  for (; left > 0; left--) reader.skip();
  return { tag, fields };
}

function readMapEvent(reader: MsgpackReader): TaggedFields {
  const start = reader.at;
  const tag = tagOfMap(reader);
  const fields: EventFields = {};
  reader.seek(start);
  if (tag === undefined || tag === "AllBlocksCleared") {
    reader.skip();
    return { tag, fields };
  }
  for (let left = reader.mapLength(); left > 0; left--) {
    const name = reader.word(keys);
    if (name < 0) reader.skip();
    else readField(reader, name, fields);
  }
  return { tag, fields };
}

/** The tag of a map, which need not stand first. Throws when there is none. */
function tagOfMap(reader: MsgpackReader): EventTag | undefined {
  for (let left = reader.mapLength(); left > 0; left--) {
    if (reader.word(typeKey) === 0) return tags[reader.word(tagWords)];
    reader.skip();
  }
  throw new MsgpackError("Cannot read an event as its type is missing");
}

function readField(reader: MsgpackReader, name: number, into: EventFields): void {
  if (reader.nil()) return;
  switch (name) {
    case field.Hashes:
      into.hashes = reader.low64s();
      break;
    case field.Parent:
      into.parent = reader.low64();
      break;
    case field.Tokens:
      into.tokenPairs = reader.elementType === MsgpackType.Array;
      if (into.tokenPairs) reader.skip();
      else into.tokens = reader.uint32s();
      break;
    case field.BlockSize:
      into.blockTokens = reader.int();
      break;
    case field.LoraId:
      into.loraId = reader.int();
      break;
    case field.Medium:
      into.medium = reader.str();
      break;
    case field.LoraName:
      if (reader.type === MsgpackType.Map) readSaltMap(reader, into);
      else into.lora = reader.str();
      break;
    case field.ExtraKeys:
      into.extras = readExtras(reader);
      break;
    case field.GroupIndex:
      into.groupIndex = reader.int();
      break;
    case field.GroupKind:
      into.groupKind = reader.str();
      break;
    case field.SlidingWindow:
      into.slidingWindow = reader.int();
      break;
    case field.Locality:
      into.locality = reader.str();
      break;
    case field.CacheSalt:
      into.cacheSalt = reader.str();
      break;
  }
}

const saltKey = new WordSet(["cache_salt"]);

/** SGLang's `{cache_salt, session_id?}`; a session does not change what a block holds. */
function readSaltMap(reader: MsgpackReader, into: EventFields): void {
  for (let left = reader.mapLength(); left > 0; left--) {
    if (reader.word(saltKey) === 0) readField(reader, field.CacheSalt, into);
    else reader.skip();
  }
}

/** One entry a block: nil, or an array of strings, tuples and others. */
function readExtras(reader: MsgpackReader): (string[] | undefined)[] {
  const blocks: (string[] | undefined)[] = [];
  for (let left = reader.arrayLength(); left > 0; left--) {
    blocks.push(reader.nil() ? undefined : readExtraStrings(reader));
  }
  return blocks;
}

/**
 * The strings of one block's entry: those that stand free, and of a tuple (identifier, offset) the first. Others, such as the
 * digests of prompt embeddings, say nothing the router could compare with a request.
 */
function readExtraStrings(reader: MsgpackReader): string[] {
  const strings: string[] = [];
  for (let left = reader.arrayLength(); left > 0; left--) {
    if (reader.type === MsgpackType.Str) strings.push(reader.str());
    else if (reader.type === MsgpackType.Array) {
      const identifier = readFirstString(reader);
      if (identifier !== undefined) strings.push(identifier);
    } else reader.skip();
  }
  return strings;
}

function readFirstString(reader: MsgpackReader): string | undefined {
  let found: string | undefined;
  for (let left = reader.arrayLength(); left > 0; left--) {
    if (found === undefined && reader.type === MsgpackType.Str) found = reader.str();
    else reader.skip();
  }
  return found;
}
