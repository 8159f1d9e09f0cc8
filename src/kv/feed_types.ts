import type { Clock, FeedState, Prng } from "../core/mod.ts";
import type { BackoffOptions } from "./feed_link.ts";
import type { FeedSource, LoadSample } from "./feeds/types.ts";
import type { EventSkip, MirrorState, MirrorTree } from "./mirror.ts";
import type { OrphanLimits } from "./orphans.ts";

export interface FeedOptions {
  /** How long batches wait for one before them. @default {50} */
  readonly reorderMs: number;
  /** Batches that wait, in number and in bytes. @default {512} */
  readonly heldBatchesMax: number;
  /** @default {8 MiB} */
  readonly heldBytesMax: number;
  /** How long a lost link does not change the state: no engine restarts faster. @default {2000} */
  readonly graceMs: number;
  /** Longest silence of a replay. @default {5000} */
  readonly replayIdleMs: number;
  /** Replays in a row that may fail or bring nothing. @default {3} */
  readonly replayAttemptsMax: number;
  /** Pause after the first failed replay; doubled after each further one. @default {200} */
  readonly replayRetryMs: number;
  /** How often a feed that missed something asks for the whole history. @default {30_000} */
  readonly healMs: number;
  /** Least time between two resyncs for distrust; doubled, up to 64 times this, while they do not help. @default {30_000} */
  readonly distrustMs: number;
  /** How long doubtful blocks are kept while nothing confirms them, at least. @default {600_000} */
  readonly doubtTtlMs: number;
  readonly backoff: Partial<BackoffOptions>;
  readonly orphans: Partial<OrphanLimits>;
}

export const feedDefaults: FeedOptions = {
  reorderMs: 50,
  heldBatchesMax: 512,
  heldBytesMax: 8 << 20,
  graceMs: 2000,
  replayIdleMs: 5000,
  replayAttemptsMax: 3,
  replayRetryMs: 200,
  healMs: 30_000,
  distrustMs: 30_000,
  doubtTtlMs: 600_000,
  backoff: {},
  orphans: {},
};

export interface FeedParts {
  readonly slot: number;
  readonly source: FeedSource;
  readonly tree: MirrorTree;
  readonly clock: Clock;
  readonly rng: Prng;
  /** Empties the slot: evidence of every kind, and what is built upon it. */
  readonly clear: () => void;
  readonly onState?: (state: FeedState, before: FeedState, reason: string) => void;
  /** The link was lost or not made; once a minute at most. */
  readonly onTrouble?: (reason: string) => void;
  readonly onLoad?: (sample: LoadSample) => void;
  /** The engine's block size became known or changed. */
  readonly onBlockTokens?: (tokens: number) => void;
  /** Where an earlier run of the router stood, when the tree has what it held then. */
  readonly resume?: FeedCheckpoint;
}

/** Where a feed stands, for a later run to go on from. Belongs to what the tree holds of the slot at that moment. */
export interface FeedCheckpoint {
  readonly epoch: string;
  readonly seq: number;
  /** Of the last batch applied, and of the first of the publisher's life; publisher's Unix seconds, 0 when not told. */
  readonly timestamp: number;
  readonly firstTimestamp: number;
  /** Everything since a fully known cache has been applied. */
  readonly whole: boolean;
  readonly mirror: MirrorState;
}

export interface FeedCounters {
  readonly batches: number;
  readonly events: number;
  /** Times that batches were found missing. */
  readonly gaps: number;
  /** Replays asked for. */
  readonly replays: number;
  /** Lives of the publisher that ended. */
  readonly restarts: number;
  /** Batches told twice, or too late. */
  readonly duplicates: number;
  /** Changes that waited for an unknown block, and those of them given up. */
  readonly orphans: number;
  readonly orphansLost: number;
  /** Removals of blocks that were not known. */
  readonly unknownRemovals: number;
  readonly reconnects: number;
  readonly snapshots: number;
  /** Times that the engine's figures said that the feed is wrong. */
  readonly distrusts: number;
  /** Messages that are no batch. */
  readonly strays: number;
  /** Events left out, by reason. */
  readonly skipped: ReadonlyMap<EventSkip, number>;
}

export interface FeedStatus {
  readonly kind: FeedSource["kind"];
  readonly address: string;
  readonly connected: boolean;
  readonly state: FeedState;
  /** Clock milliseconds. */
  readonly sinceMs: number;
  /** Why the state is not LIVE; "" when it is. */
  readonly reason: string;
  readonly epoch: string;
  /** Last batch applied; -1 for none. */
  readonly seq: number;
  /** Publisher's Unix seconds of that batch; 0 when not told. */
  readonly timestamp: number;
  /** How old the last live batch was when it came, by both clocks; NaN when none came. */
  readonly lagMs: number;
  /** Batches that wait for one before them. */
  readonly held: number;
  /** Changes that wait for an unknown block. */
  readonly waiting: number;
  /** Why the link was lost or not made the last time; "" when it never was. */
  readonly linkError: string;
  readonly counters: FeedCounters;
}
