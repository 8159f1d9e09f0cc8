/**
 * What a router knows of its endpoints' caches, as a stream of messages: the snapshot file, and what a replica that starts
 * is given by one that runs. A reader takes it over and goes on from the feeds' positions.
 */
import { create } from "@bufbuild/protobuf";
import { warmpathSnapshot } from "../proto/mod.ts";
import type { HeldBlock } from "../hotpath/mod.ts";
import type { FeedCheckpoint } from "./feed_types.ts";

export type SnapshotMessage = warmpathSnapshot.SnapshotMessage;

/** What is known of one endpoint, taken at one moment. */
export interface KnownEndpoint {
  readonly id: string;
  /** Kind of the feed. */
  readonly feed: string;
  readonly checkpoint: FeedCheckpoint;
  readonly blocks: KnownBlocks;
}

const version = 1;
/** Blocks a message: 20 bytes each, so that a message is about 160 kB. */
const blocksPerMessage = 8192;
/** More than an index of 3 GiB holds. */
const blocksMax = 1 << 28;

/** A snapshot that cannot be used: of other hash seeds, of another version, or cut off. */
export class SnapshotError extends Error {}

/** Blocks of one endpoint in three arrays. */
export class KnownBlocks implements Iterable<HeldBlock> {
  #hashes = new BigUint64Array(1024);
  /** 0: told by chained hash. */
  #engineHashes = new BigUint64Array(1024);
  #references = new Uint8Array(4096);
  #length = 0;

  static from(held: Iterable<HeldBlock>): KnownBlocks {
    const blocks = new KnownBlocks();
    for (const { hash, engineHash, tiers } of held) blocks.add(hash, engineHash ?? 0n, tiers);
    return blocks;
  }

  get length(): number {
    return this.#length;
  }

  add(hash: bigint, engineHash: bigint, references: ArrayLike<number>): void {
    if (this.#length === this.#hashes.length) this.#grow();
    this.#hashes[this.#length] = hash;
    this.#engineHashes[this.#length] = engineHash;
    this.#references.set(references, 4 * this.#length);
    this.#length++;
  }

  *[Symbol.iterator](): Generator<HeldBlock> {
    for (let i = 0; i < this.#length; i++) {
      const [gpu, cpu, disk, shared] = this.#references.subarray(4 * i, 4 * i + 4);
      const engineHash = this.#engineHashes[i] || undefined;
      yield { hash: this.#hashes[i], engineHash, tiers: [gpu, cpu, disk, shared] };
    }
  }

  /** The blocks from `start` on, at most `count`, as a message. */
  message(start: number, count: number): SnapshotMessage {
    const end = Math.min(start + count, this.#length);
    const bytes = (column: BigUint64Array) => new Uint8Array(column.slice(start, end).buffer);
    const engineHashes = this.#engineHashes.subarray(start, end);
    return message("blocks", {
      $typeName: "warmpath.snapshot.v1.Blocks",
      hashes: bytes(this.#hashes),
      engineHashes: engineHashes.some((hash) => hash !== 0n) ? bytes(this.#engineHashes) : new Uint8Array(),
      references: this.#references.slice(4 * start, 4 * end),
    });
  }

  #grow(): void {
    const larger = <T extends BigUint64Array | Uint8Array>(column: T): T => {
      const next = new (column.constructor as new (length: number) => T)(2 * column.length);
      (next as Uint8Array).set(column as Uint8Array);
      return next;
    };
    this.#hashes = larger(this.#hashes);
    this.#engineHashes = larger(this.#engineHashes);
    this.#references = larger(this.#references);
  }
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
export function* snapshotMessages(
  seedCheck: bigint,
  writtenAtMs: number,
  endpoints: Iterable<KnownEndpoint>,
): Generator<SnapshotMessage> {
  yield message("header", {
    $typeName: "warmpath.snapshot.v1.Header",
    version,
    seedCheck,
    writtenAtMs: BigInt(Math.round(writtenAtMs)),
  });
  let total = 0;
  for (const { id, feed, checkpoint, blocks } of endpoints) {
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
    for (let at = 0; at < blocks.length; at += blocksPerMessage) yield blocks.message(at, blocksPerMessage);
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
    const chained = new DataView(hashes.buffer, hashes.byteOffset, hashes.length);
    const own = new DataView(engineHashes.buffer, engineHashes.byteOffset, engineHashes.length);
    for (let i = 0; i < count; i++) {
      const engineHash = own.byteLength > 0 ? own.getBigUint64(8 * i, true) : 0n;
      this.#endpoint.blocks.add(
        chained.getBigUint64(8 * i, true),
        engineHash,
        references.subarray(4 * i, 4 * i + 4),
      );
    }
    this.#blocks += count;
  }

  #finishEndpoint(): void {
    if (this.#endpoint) this.#take(this.#endpoint);
    this.#endpoint = undefined;
  }
}

function knownEndpoint(told: warmpathSnapshot.Endpoint): KnownEndpoint {
  const { id, feed, epoch, seq, timestamp, firstTimestamp, whole, blockTokens, groupKinds, group } = told;
  const kinds = Object.entries(groupKinds).map(([index, kind]) => [Number(index), kind] as const);
  const mirror = { blockTokens, groups: { chosen: group, kinds } };
  const checkpoint = { epoch, seq: Number(seq), timestamp, firstTimestamp, whole, mirror };
  return { id, feed, checkpoint, blocks: new KnownBlocks() };
}
