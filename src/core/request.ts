/** The API dialect of a request, decided by its path. */
export type Api =
  | "chat"
  | "completions"
  | "responses"
  | "embeddings"
  | "messages"
  | "count-tokens"
  | "generate"
  | "sglang-generate"
  | "tokenize"
  | "rerank"
  | "score"
  | "passthrough";

/** Read access to request headers by lower-case name. */
export interface HeaderReader {
  get(name: string): string | null | undefined;
}

/** The prompt as a chain of block hashes, for prefix matching. */
export interface PromptBlocks {
  /** One chained 64-bit hash a block, in order; the last block may be partial. */
  readonly hashes: BigUint64Array;
  /** Tokens a block stands for. */
  readonly blockTokens: number;
  /** The blocks are of the very token ids the engine will compute, so that its feed tells of the same. */
  readonly exact?: boolean;
}

/** Latency targets of one request; absent means unconstrained. */
export interface Slo {
  readonly ttftMs?: number;
  /** Of streams alone: nobody sees the tokens of a plain answer come. */
  readonly tpotMs?: number;
}

/** One request as the router sees it: values only, no body. */
export interface RequestView {
  readonly id: string;
  readonly api: Api;
  /** Clock milliseconds at which the request line arrived. */
  readonly receivedAtMs: number;
  /** The model asked of the endpoint, after rewriting; "" when the request names none. */
  readonly model: string;
  /** The model the client asked for. */
  readonly requestedModel: string;
  readonly stream: boolean;
  /** The client's cap on output tokens. */
  readonly maxOutputTokens?: number;
  /** Prompt length in tokens: exact when token ids were given, else estimated from the text and media. */
  readonly promptTokens: number;
  readonly bodyBytes: number;
  readonly blocks: PromptBlocks;
  /** Tenant: fairness id header or key; "default-flow" when none. */
  readonly fairnessId: string;
  /** InferenceObjective name; "" when none. */
  readonly objective: string;
  /** Higher is served first; negative may be shed. */
  readonly priority: number;
  readonly slo: Slo;
  /** How long the client is ready to wait for an endpoint; absent: as configured. */
  readonly ttlMs?: number;
  /** Taken back before its answer began, it waits again instead of ending. */
  readonly requeue?: boolean;
  readonly mediaParts: number;
  readonly headers: HeaderReader;
  /** `host` or `host:port` entries the proxy in front restricts the choice to; absent means no restriction. */
  readonly subset?: readonly string[];
}

/** Prefix match of one request over the pool; arrays are indexed by slot and valid until the next match. */
export interface PrefixMatch {
  /** Leading blocks of the prompt each slot holds, on whatever tier. */
  readonly blocks: Int32Array;
  /**
   * Of those, how many lie on which tier, the fastest that has the block: `tiers[slot * 4 + tier]`. Blocks known from
   * routing history alone are on none, so that the four may sum to less than `blocks`. Absent: nothing is known of tiers.
   */
  readonly tiers?: Int32Array;
  /**
   * Prompt tokens of the requests under way at each slot that its feed has not yet told to be in its cache: what is left to
   * compute. -1 for a slot without a LIVE feed. Absent: told of no slot.
   */
  readonly pendingTokens?: Int32Array;
  /** Blocks of the prompt. */
  readonly total: number;
  readonly blockTokens: number;
}

/** Prompt tokens `slot` need not compute. Never the whole prompt: an engine always computes the last token. */
export function cachedTokens(view: RequestView, match: PrefixMatch, slot: number): number {
  return Math.min(match.blocks[slot] * match.blockTokens, Math.max(0, view.promptTokens - 1));
}

/** Prompt tokens `slot` would have to compute. */
export function uncachedTokens(view: RequestView, match: PrefixMatch, slot: number): number {
  return Math.max(0, view.promptTokens - cachedTokens(view, match, slot));
}
