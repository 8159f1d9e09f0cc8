import type { BlockHashName } from "./block_hash.ts";
import type { KvDialect } from "./dialects.ts";
import type { OffloadOptions, OffloadTier } from "./offload.ts";

/** What the cache is made of besides the accelerator's blocks, and how its blocks are named. */
export interface KvCacheOptions {
  readonly blockHash: BlockHashName;
  /** As `PYTHONHASHSEED`; "" starts vLLM's chains at random. */
  readonly hashSeed: string;
  /** Blocks of each slower tier; 0 leaves it out. */
  readonly cpuBlocks: number;
  readonly diskBlocks: number;
  readonly sharedBlocks: number;
  readonly cpuLoadNs: number;
  readonly diskLoadNs: number;
  readonly sharedLoadNs: number;
  readonly offloadPolicy: OffloadOptions["policy"];
  readonly offloadEvents: "self" | "location";
  readonly offloadChunkBlocks: number;
}

/**
 * vLLM's reproducible hash, no slower tier. Load times are those of an 8B model in 16 bit (128 KiB a token) at 25 GB/s
 * from CPU memory, 3 GB/s from disk and 2.5 GB/s from shared storage.
 */
export const defaultKvCache: KvCacheOptions = {
  blockHash: "sha256-cbor",
  hashSeed: "",
  cpuBlocks: 0,
  diskBlocks: 0,
  sharedBlocks: 0,
  cpuLoadNs: 5_200,
  diskLoadNs: 43_700,
  sharedLoadNs: 52_400,
  offloadPolicy: "store",
  offloadEvents: "self",
  offloadChunkBlocks: 1,
};

/** How an engine publishes what its cache does. */
export interface KvFeedOptions {
  /**
   * ZMQ endpoint, tcp or ipc, "" for none. Bound when it holds `*` or `::`, is `ipc://`, or has port 0; otherwise
   * connected to. Rank r takes the port r above.
   */
  readonly endpoint: string;
  /** ZMQ endpoint that resends batches, "" for none. Always bound. */
  readonly replayEndpoint: string;
  /** First frame of each message. */
  readonly topic: string;
  readonly dialect: KvDialect;
  readonly hashForm: "bytes" | "int";
  /** Sequence number of the first batch of a life: 0 at vLLM and SGLang, 1 at llm-d's programs. */
  readonly firstSeq: number;
  /** Whether replayed batches come with their topic. */
  readonly replayForm: "old" | "new";
  /** Batches that can be resent. */
  readonly bufferSteps: number;
  /** Events that make a batch; 0 makes a batch of each step. */
  readonly batchEvents: number;
  /** Real milliseconds after which a smaller batch leaves; only with `batchEvents`. */
  readonly flushMs: number;
}

/** vLLM's defaults, with events as its newest releases write them. llm-d's simulator has 16 events or a second. */
export const defaultKvFeed: KvFeedOptions = {
  endpoint: "",
  replayEndpoint: "",
  topic: "",
  dialect: "vllm-map",
  hashForm: "bytes",
  firstSeq: 0,
  replayForm: "new",
  bufferSteps: 10_000,
  batchEvents: 0,
  flushMs: 1000,
};

/** The slower tiers an engine is made with. */
export function offloadOf(options: KvCacheOptions): OffloadOptions {
  const all: OffloadTier[] = [
    { tier: "cpu", blocks: options.cpuBlocks, loadNs: options.cpuLoadNs },
    { tier: "disk", blocks: options.diskBlocks, loadNs: options.diskLoadNs },
    { tier: "shared", blocks: options.sharedBlocks, loadNs: options.sharedLoadNs },
  ];
  return { tiers: all.filter(({ blocks }) => blocks > 0), policy: options.offloadPolicy };
}

/** `endpoint` for data-parallel rank `rank`: the port that much higher; port 0 and paths stay. */
export function endpointOfRank(endpoint: string, rank: number): string {
  const port = endpoint.match(/^(tcp:\/\/.+:)(\d+)$/);
  if (port === null || port[2] === "0") return endpoint;
  return `${port[1]}${Number(port[2]) + rank}`;
}

/** Whether a publisher waits at `endpoint` for subscribers, as engines decide it. */
export function bindsTo(endpoint: string): boolean {
  return /\*|::|^ipc:\/\/|^tcp:.*:0$/.test(endpoint);
}
