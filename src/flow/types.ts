import type { Outcome } from "../core/mod.ts";
import type { Held } from "./band.ts";
import type { Lane, TenantQueue } from "./lane.ts";

/** How a request's wait ended; each has exactly one. Names and meanings are llm-d's, where they are metric labels. */
export const flowEnds = [
  "Dispatched",
  "RejectedCapacity",
  "RejectedNoEndpoints",
  "RejectedOther",
  "EvictedTTL",
  "EvictedNoEndpoints",
  "EvictedContextCancelled",
  "EvictedOther",
] as const;
export type FlowEnd = (typeof flowEnds)[number];

/** What an edge tells of a request that found no room. Values only: it may cross isolates. */
export interface FlowAsk {
  /** The edge's own number for it, from 0; used again once it was answered. */
  readonly id: number;
  /** Names the endpoints that may take it: requests with the same name share a lane. */
  readonly lane: string;
  /** Their slots; empty: there is none now. */
  readonly slots: readonly number[];
  readonly model: string;
  /** As the client named it; absent: as `model`. */
  readonly requestedModel?: string;
  readonly tenant: string;
  readonly priority: number;
  /** Of the clock that all isolates share; requests tried before keep theirs, so that they are not behind others. */
  readonly receivedAtMs: number;
  readonly promptTokens: number;
  /** Those that no endpoint of the lane has in its cache. */
  readonly prefillTokens: number;
  /** Expected output. */
  readonly outputTokens: number;
  readonly bodyBytes: number;
  /** What its client is ready to wait while there are endpoints; 0: it says nothing. */
  readonly ttlMs?: number;
  /** Time to first token it is to have, counted from its arrival. */
  readonly ttftMs?: number;
  /** How long an idle endpoint would take for its first token. */
  readonly serviceMs?: number;
  /** The same for a request that is sent again after it was refused. */
  readonly promise?: string;
  /** The endpoint that holds its prefix, and how long it waits for that one alone. */
  readonly hold?: { readonly slot: number; readonly ms: number };
}

/** The endpoints that serve a lane, as an edge tells them. */
export type LaneSlots = Pick<FlowAsk, "lane" | "model" | "slots">;

/** A place: the request counts at `slot` already, as the edge's, and its prefill tokens as asked for. */
export interface Grant {
  readonly slot: number;
  readonly prefillTokens: number;
  readonly waitedMs: number;
  /** Whom its tokens are charged to; see `FlowController.settle`. */
  readonly account: number;
}

export interface FlowRefusal {
  readonly end: Exclude<FlowEnd, "Dispatched">;
  readonly outcome: Outcome;
  readonly message: string;
  readonly retryAfterS?: number;
}

export type FlowAnswer = Grant | FlowRefusal;

export const isGrant = (answer: FlowAnswer): answer is Grant => "slot" in answer;

/** What a request takes of limits. */
export interface Amount {
  readonly requests: number;
  readonly tokens: number;
  readonly bytes: number;
}

/** A request that waits. */
export class Waiting {
  /** Least first, within its tenant; see `orderings`. */
  order = 0;
  lane!: Lane;
  queue!: TenantQueue;
  /** When something is due: its end, or the end of its wait for one endpoint. */
  dueAtMs = Infinity;
  /** Where it waits from `holdUntilMs` on; both are absent once it waits for any endpoint of its lane. */
  wide: Lane | undefined;
  holdUntilMs: number | undefined;
  enqueuedAtMs = 0;
  /** What its tenant has waiting. */
  ofTenant!: Held;
  ended = false;

  constructor(
    readonly ask: FlowAsk,
    readonly edge: number,
    /** Grows: of equal requests the first comes first. */
    readonly number: number,
    readonly answer: (answer: FlowAnswer) => void,
  ) {}
}
