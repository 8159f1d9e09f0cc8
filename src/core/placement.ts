export type HeaderPair = readonly [name: string, value: string];

/** Where a request goes, and where next if that fails before the first byte. */
export interface Placement {
  readonly slot: number;
  /** Further candidates, best first. */
  readonly fallbacks: readonly number[];
  /** Scheduling profile that chose. */
  readonly profile: string;
  /** Leading prompt blocks the chosen endpoint is believed to hold. */
  readonly matchedBlocks: number;
  readonly totalBlocks: number;
  /** Headers the request to `slot` shall carry; absent for most plans. */
  readonly requestHeaders?: readonly HeaderPair[];
}

/** Why a profile has no endpoint to offer. */
export interface Refusal {
  readonly refused: "no-endpoints" | "filtered" | "unknown-profile" | "not-cached" | "slo-unmet";
  readonly message: string;
  /** When it may be worth asking again, where that is known. */
  readonly retryAfterS?: number;
}

/** One scorer's say about one endpoint. */
export interface ScoreTrace {
  readonly plugin: string;
  readonly weight: number;
  readonly score: number;
}

/** Leading prompt blocks an endpoint holds, by the fastest tier each lies on; `routed`: known from routing history alone. */
export interface HeldBlocksTrace {
  readonly gpu: number;
  readonly cpu: number;
  readonly disk: number;
  readonly shared: number;
  readonly routed: number;
}

/** What one target is predicted to come to at an endpoint, in milliseconds. */
export interface TargetTrace {
  readonly medianMs: number;
  /** In the configured share of cases it takes at most so long. */
  readonly highMs: number;
  /** What the endpoint's formula says by itself. */
  readonly priorMs: number;
  /** ln(median ÷ prior): what trees and corrections make of it. */
  readonly residual: number;
  /** Target − high; below 0 it is likely missed. Absent where the request has no such target. */
  readonly headroomMs?: number;
}

/** What a request is predicted to take at an endpoint, and what it would cost others there. */
export interface PredictionTrace {
  readonly ttft: TargetTrace;
  readonly tpot: TargetTrace;
  /** Probability to meet the targets it has; 1 without one. */
  readonly meets: number;
  /** Until the last token. */
  readonly e2eMs: number;
  /** Time lost by those that run there or come after it, summed. */
  readonly harmMs: number;
  /** Requests there that would miss their own target for it, and those that are likely to miss it once it has come. */
  readonly harmMisses: number;
  readonly likelyMisses: number;
}

/** One endpoint's way through a profile. */
export interface CandidateTrace {
  readonly endpoint: string;
  /** Absent when nothing is known of tiers. */
  readonly held?: HeldBlocksTrace;
  /** Null: nothing is predicted for it. */
  readonly prediction: PredictionTrace | null;
  /** Filter that dropped it, when one did. */
  readonly droppedBy?: string;
  readonly scores: readonly ScoreTrace[];
  /** Weighted sum; absent when dropped. */
  readonly total?: number;
  /** Position in the pick, 0 first; absent when not picked. */
  readonly rank?: number;
}

/** The whole of one decision, for operators: every candidate, every verdict, every score. */
export interface Explanation {
  readonly profile: string;
  readonly filters: readonly { readonly plugin: string; readonly before: number; readonly after: number }[];
  readonly candidates: readonly CandidateTrace[];
  readonly picker: string;
  readonly picked: readonly string[];
}
