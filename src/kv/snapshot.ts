/**
 * What a router knows of its endpoints' caches, as a stream of messages: the snapshot file, and what a replica that starts
 * is given by one that runs. A reader takes it over and goes on from the feeds' positions.
 */
import { create } from "@bufbuild/protobuf";
import { warmpathSnapshot } from "../proto/mod.ts";
import { HeldBlocks, heldWords } from "../hotpath/mod.ts";
import type { FeedCheckpoint } from "./feed_types.ts";

export type SnapshotMessage = warmpathSnapshot.SnapshotMessage;

/** What is known of one endpoint, taken at one moment. */
export interface KnownEndpoint {
  readonly id: string;
  /** Kind of the feed. */
  readonly feed: string;
  readonly checkpoint: FeedCheckpoint;
  readonly blocks: HeldBlocks;
}

const version = 1;
/** Blocks a message: 20 bytes each, so that a message is about 160 kB. */
const blocksPerMessage = 8192;
/** More than an index of 3 GiB holds. */
const blocksMax = 1 << 28;

/** A snapshot that cannot be used: of other hash seeds, of another version, or cut off. */
export class SnapshotError extends Error {}

/** The blocks from `start` on, at most `blocksPerMessage`, as a message of columns. */
function blocksMessage(blocks: HeldBlocks, start: number): SnapshotMessage {
  const words = blocks.words(start, start + blocksPerMessage);
  const count = words.length / heldWords;
  const hashes = new Uint32Array(2 * count),
    engineHashes = new Uint32Array(2 * count),
    references = new Uint32Array(count);
  let told = 0;
  for (let i = 0, at = 0; i < count; i++, at += heldWords) {
    hashes[2 * i] = words[at];
    hashes[2 * i + 1] = words[at + 1];
    engineHashes[2 * i] = words[at + 2];
    engineHashes[2 * i + 1] = words[at + 3];
    references[i] = words[at + 4];
    told |= words[at + 5];
  }
  return message("blocks", {
    $typeName: "warmpath.snapshot.v1.Blocks",
    hashes: new Uint8Array(hashes.buffer),
    engineHashes: told === 0 ? new Uint8Array() : new Uint8Array(engineHashes.buffer),
    references: new Uint8Array(references.buffer),
  });
}

function message<C extends SnapshotMessage["message"]["case"] & string>(
  kind: C,
  value: Extract<SnapshotMessage["message"], { case: C }>["value"],
): SnapshotMessage {
  return create(warmpathSnapshot.SnapshotMessageSchema, {
    message: { case: kind, value } as SnapshotMessage["message"],
  });
}

/**
 * The messages of a snapshot. `endpoints` is asked for one endpoint at a time, each only when the one before has been
 * written: an endpoint's blocks and position belong together, those of two endpoints need not.
 */
export async function* snapshotMessages(
  seedCheck: bigint,
  writtenAtMs: number,
  endpoints: Iterable<KnownEndpoint> | AsyncIterable<KnownEndpoint>,
): AsyncGenerator<SnapshotMessage, void> {
  yield message("header", {
    $typeName: "warmpath.snapshot.v1.Header",
    version,
    seedCheck,
    writtenAtMs: BigInt(Math.round(writtenAtMs)),
  });
  let total = 0;
  for await (const { id, feed, checkpoint, blocks } of endpoints) {
    const { mirror: { blockTokens, groups }, seq, ...position } = checkpoint;
    yield message("endpoint", {
      $typeName: "warmpath.snapshot.v1.Endpoint",
      id,
      feed,
      ...position,
      seq: BigInt(seq),
      blockTokens,
      groupKinds: Object.fromEntries(groups.kinds),
      group: groups.chosen,
    });
    for (let at = 0; at < blocks.length; at += blocksPerMessage) yield blocksMessage(blocks, at);
    total += blocks.length;
  }
  yield message("end", { $typeName: "warmpath.snapshot.v1.End", blocks: BigInt(total) });
}

/** Puts messages back together. */
export class SnapshotReader {
  readonly #seedCheck: bigint;
  readonly #take: (known: KnownEndpoint) => void;
  #started = false;
  #ended = false;
  #endpoint: KnownEndpoint | undefined;
  #blocks = 0;

  /** `take` is given each endpoint once all of its blocks are there. */
  constructor(seedCheck: bigint, take: (known: KnownEndpoint) => void) {
    this.#seedCheck = seedCheck;
    this.#take = take;
  }

  /** Throws SnapshotError for a message that cannot be used; what `take` was given before stays good. */
  read({ message }: SnapshotMessage): void {
    if (this.#ended) throw new SnapshotError("Cannot read the snapshot as something follows its end");
    if (!this.#started && message.case !== "header") throw new SnapshotError("Cannot read the snapshot: no header");
    switch (message.case) {
      case "header":
        return this.#header(message.value);
      case "endpoint":
        this.#finishEndpoint();
        this.#endpoint = knownEndpoint(message.value);
        return;
      case "blocks":
        return this.#addBlocks(message.value);
      case "end":
        if (Number(message.value.blocks) !== this.#blocks) {
          throw new SnapshotError(
            `Cannot read the snapshot: it names ${message.value.blocks} blocks and has ${this.#blocks}`,
          );
        }
        this.#finishEndpoint();
        this.#ended = true;
    }
  }

  /** Throws SnapshotError when the end was not among the messages; the endpoint that was cut off is left out. */
  end(): void {
    if (!this.#ended) throw new SnapshotError("Cannot read the snapshot to its end: it is cut off");
  }

  #header({ version: written, seedCheck }: warmpathSnapshot.Header): void {
    if (this.#started) throw new SnapshotError("Cannot read the snapshot: a second header");
    if (written !== version) {
      throw new SnapshotError(`Cannot read a snapshot of version ${written}: must be ${version}`);
    }
    if (seedCheck !== this.#seedCheck) {
      throw new SnapshotError("Cannot use the snapshot as prefix.hashSeed was another when it was written");
    }
    this.#started = true;
  }

  #addBlocks({ hashes, engineHashes, references }: warmpathSnapshot.Blocks): void {
    const count = references.length / 4;
    const complete = hashes.length === 8 * count && [0, 8 * count].includes(engineHashes.length);
    if (!this.#endpoint || !complete || this.#blocks + count > blocksMax) {
      throw new SnapshotError("Cannot read the snapshot: blocks of unequal columns, or of no endpoint");
    }
    const words = this.#endpoint.blocks.extend(count);
    const columns = [hashes, engineHashes, references].map(wordsOf);
    for (let i = 0, at = 0; i < count; i++, at += heldWords) {
      words[at] = columns[0][2 * i];
      words[at + 1] = columns[0][2 * i + 1];
      words[at + 4] = columns[2][i];
      if (columns[1].length === 0) continue;
      words[at + 2] = columns[1][2 * i];
      words[at + 3] = columns[1][2 * i + 1];
      words[at + 5] = words[at + 2] | words[at + 3] ? 1 : 0;
    }
    this.#blocks += count;
  }

  #finishEndpoint(): void {
    if (this.#endpoint) this.#take(this.#endpoint);
    this.#endpoint = undefined;
  }
}

/** The bytes of a column, which lie anywhere in a message: a copy aligns them. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.slice().buffer);
}

function knownEndpoint(told: warmpathSnapshot.Endpoint): KnownEndpoint {
  const { id, feed, epoch, seq, timestamp, firstTimestamp, whole, blockTokens, groupKinds, group } = told;
  const kinds = Object.entries(groupKinds).map(([index, kind]) => [Number(index), kind] as const);
  const mirror = { blockTokens, groups: { chosen: group, kinds } };
  const checkpoint = { epoch, seq: Number(seq), timestamp, firstTimestamp, whole, mirror };
  return { id, feed, checkpoint, blocks: new HeldBlocks() };
}
