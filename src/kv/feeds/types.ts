import type { FeedState } from "../../core/mod.ts";
import type { KvBatch } from "../../protocol/mod.ts";

/** Load as a feed tells it, the moment it changes. Absent: not told. */
export interface LoadSample {
  readonly running?: number;
  readonly waiting?: number;
  /** Share of KV cache in use, 0 to 1. */
  readonly kvUsage?: number;
  /** Prompt tokens queued and not in cache. */
  readonly waitingUncachedTokens?: number;
  /** Geometry of the engine's cache. */
  readonly cacheBlocks?: number;
  readonly cacheBlockTokens?: number;
}

/** Where a source resumes: what was applied last. */
export interface FeedPosition {
  /** Identity of the publisher's life, from sources that have one (agents); "" otherwise. */
  readonly epoch: string;
  /** Last batch applied; -1 for none. */
  readonly seq: number;
}

/** What a source tells. All calls are synchronous and in order. */
export interface FeedSink {
  /** The link is up and live batches will follow. `epoch` from sources that have one. */
  connected(epoch?: string): void;
  /** A live batch. */
  batch(batch: KvBatch): void;
  /**
   * From here to `snapshotEnd` the batches given by `snapshotPart` describe the whole cache, replacing what was known;
   * live batches continue after `position.seq`.
   */
  snapshotBegin(position: FeedPosition): void;
  snapshotPart(batch: KvBatch): void;
  snapshotEnd(): void;
  /** Without any value: the load told last still holds. */
  load(sample: LoadSample): void;
  /** Nothing to tell, the link works. */
  heartbeat(): void;
  /** A message that has not even a sequence number: not of an engine's event publisher. */
  stray?(): void;
  /**
   * From a publisher that stands between the engine and this reader (an agent): how far its own feed from the engine can
   * be relied on. The reader is never in a better state than that. Told after each `connected` and on each change; the
   * publisher's own LIVE is told only once every batch or snapshot part that belongs to it was. A source that never
   * calls it talks to the engine itself.
   */
  upstreamState?(state: FeedState, reason: string): void;
}

/** One way to learn what a model server caches: ZMQ, the engine's gRPC service, or a Warmpath agent. */
export interface FeedSource {
  readonly kind: "zmq" | "vllm-grpc" | "sglang-grpc" | "agent";
  /** Where it connects to, for logs. */
  readonly address: string;
  /** Number of a publisher's first batch: 0 for vLLM and SGLang; llm-d's simulator and file-system backend count from 1. @default {0} */
  readonly firstSeq?: number;
  /**
   * Connects and tells `sink` until `signal` aborts (resolves) or the link is lost (rejects with the reason). The caller
   * dials again with backoff. `from` is where the reader stands; a source that can resume (agent) does so from there.
   */
  run(sink: FeedSink, from: FeedPosition, signal: AbortSignal): Promise<void>;
  /**
   * Batches with `seq >= from`, oldest first, as far as the publisher still has them; the first may be later than asked.
   * Absent: the source cannot replay.
   */
  replay?(from: number, signal: AbortSignal): AsyncIterable<KvBatch>;
}
