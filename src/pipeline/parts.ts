import type {
  AttemptReport,
  Clock,
  EndpointTable,
  Explanation,
  Placement,
  PrefixMatch,
  PromptBlocks,
  Refusal,
  RequestView,
} from "../core/mod.ts";
import type { FlowConfig, LatencyConfig, ObjectiveConfig } from "../config/mod.ts";
import type { Ceilings, FlowAnswer, FlowAsk, LaneSlots } from "../flow/mod.ts";
import type { Hotpath, TokenPrompt } from "../hotpath/mod.ts";
import type { Predictor } from "../latency/mod.ts";
import type { PromptRequest, PromptTokens, Unavailable } from "../tokens/mod.ts";
import type { DecideOptions } from "../scheduling/mod.ts";
import type { UpstreamClient } from "../upstream/mod.ts";
import type { Metrics, RequestRecord, Tracing } from "../telemetry/mod.ts";
import type { HedgeOptions } from "./hedge.ts";
import type { RetryBudgetOptions } from "./retry_budget.ts";

/** The slots that may serve a model; the array is the pool's and valid until the table changes. */
export interface Candidates {
  readonly slots: Uint16Array;
  readonly count: number;
}

/** What the pipeline asks of the pool. */
export interface PoolView {
  /** Ready endpoints that serve `model`, all ready ones for ""; with `out` those that are out for failures instead. */
  candidates(model: string, out?: boolean): Candidates;
  /** Whether any endpoint, ready or not, serves or might serve `model`. */
  hasModel(model: string): boolean;
  /** Asks the endpoints for their models again; rate-limited. */
  refreshModels(): Promise<void>;
  /** The model that a LoRA adapter is one of, as the endpoints say; undefined for a model of its own. */
  baseOf(adapter: string): string | undefined;
  /** How an attempt went. Called once or twice for each: a record of numbers, which may cross isolates. */
  report(report: AttemptReport): void;
  /** Work was sent to `slot`: its load is worth sampling again soon. */
  poke(slot: number): void;
}

/** A routed request's blocks in the prefix index, until it is known whether the endpoint computed them. */
export interface PrefixTicket {
  confirm(): void;
  withdraw(): void;
  /** The engine reported how many prompt tokens it had in cache. */
  reported(cachedTokens: number): void;
}

export interface SpeculateOptions {
  /** When the endpoint is expected to have computed the prompt. */
  readonly predictedMs?: number;
}

/** What the pipeline asks of the prefix index. */
export interface PrefixIndex {
  /** Valid until the next call. */
  match(blocks: PromptBlocks): PrefixMatch;
  /** The request goes to `slot`, chosen by `match`. */
  speculate(
    slot: number,
    blocks: PromptBlocks,
    match: PrefixMatch,
    options?: SpeculateOptions,
  ): PrefixTicket;
  /**
   * Tokens from one hash of a prompt to the next, so that the feeds of all `slots` tell of such blocks; 0: none of them
   * has a feed.
   */
  feedBlockTokens(slots: Uint16Array, count: number): number;
  /** Hashes of a prompt's token blocks, comparable with what feeds tell. */
  chain(prompt: TokenPrompt): BigUint64Array;
}

/** What the pipeline asks for token ids. Never rejects. */
export interface PromptTokenizer {
  prompt(
    request: PromptRequest,
    signal: AbortSignal,
  ): PromptTokens | Unavailable | Promise<PromptTokens | Unavailable>;
}

/** What the pipeline asks of the scheduler. */
export interface Decider {
  decide(
    view: RequestView,
    match: PrefixMatch,
    slots: Uint16Array,
    count: number,
    nowMs: number,
    options?: Pick<DecideOptions, "admitted" | "held">,
  ): Placement | Refusal;
  explain(view: RequestView, match: PrefixMatch, slots: Uint16Array, count: number, nowMs: number): {
    readonly result: Placement | Refusal;
    readonly explanation: Explanation | undefined;
  };
  /** Leaves in `slots` those that may take the request whatever their load; returns how many. */
  eligible(view: RequestView, match: PrefixMatch, slots: Uint16Array, count: number, nowMs: number): number;
  /** A request failed at its first choice and went to `slot` instead. */
  moved(view: RequestView, placement: Placement, slot: number, nowMs: number): void;
  /** Headers for the endpoint `slot` beside the client's own. */
  requestHeaders(view: RequestView, placement: Placement, slot: number): readonly (readonly [string, string])[];
  /** Headers for the client when `slot` answers. */
  responseHeaders(view: RequestView, placement: Placement, slot: number): readonly (readonly [string, string])[];
}

/** Where requests wait for an endpoint with room. */
export interface FlowQueue {
  /** Resolves with a place, which counts as this isolate's already, or with a refusal. Never rejects. */
  enqueue(ask: FlowAsk): Promise<FlowAnswer>;
  /** Nobody waits for the answer any more; a place that comes nevertheless is the asker's to give back. */
  cancel(id: number): void;
  /** Other endpoints serve these lanes now. */
  resize(lanes: readonly LaneSlots[]): void;
  /** A request whose place named `account` used so many tokens more (or less) than it asked for. */
  settle(account: number, inputTokens: number, outputTokens: number): void;
  /** A request that may be taken back was sent to `slot`. */
  placed(id: number, slot: number, priority: number): void;
  /** Its answer has begun, or it is over: it may no longer. */
  begun(id: number): void;
}

/** How requests are held back while the pool is full. */
export interface FlowOptions extends Pick<FlowConfig, "prefixWaitMs" | "holdModels" | "fairnessHeaders" | "eviction"> {
  readonly ceilings: Pick<Ceilings, "of">;
}

/** Which model serves a request. */
export interface ModelRules {
  rewrite(
    requestedModel: string,
    hints: { header?: string; sessionKey?: string },
  ): { readonly model: string; readonly rule?: string };
}

export interface PipelineOptions {
  /** Endpoints tried before a failure is the client's, a hedge included. */
  readonly attemptsMax: number;
  readonly retryBudget: RetryBudgetOptions;
  readonly hedge: HedgeOptions;
  /** Silence before the first token of a stream of completions after which it is given to another endpoint. */
  readonly firstTokenTimeoutMs: number;
  /** Whether a stream that loses its endpoint goes on at another one. */
  readonly continuation: boolean;
  /** `always`: the engine is asked for a stream's usage, and the answer taken out again where the client did not ask. */
  readonly usage: "client" | "always";
  readonly blockTokens: number;
  /** False: no prompt is hashed and every match is empty. */
  readonly prefixEnabled: boolean;
  /** Absent: requests never wait, and endpoints are never full. */
  readonly flow?: FlowOptions;
  /** When an answer tells what was predicted for it, and for which share of cases the high prediction is; absent: never. */
  readonly predictions?: Pick<LatencyConfig, "echo" | "quantile">;
  /** By name. */
  readonly objectives: ReadonlyMap<string, Pick<ObjectiveConfig, "priority" | "slo">>;
  /** Output tokens reserved for a request that names no limit. */
  readonly outputTokensAssumed: number;
  /** The clients' credentials go on to the endpoints. */
  readonly forwardAuthorization?: boolean;
  /** What the endpoints are sent as `authorization`. */
  readonly authorization?: string;
}

/** What one pipeline is joined from. What is not readonly is replaced as a whole when configuration is read again. */
export interface PipelineParts {
  readonly clock: Clock;
  readonly table: EndpointTable;
  readonly hotpath: Hotpath;
  readonly index: PrefixIndex;
  /** Absent: every prompt is matched by its text. */
  readonly tokenizer?: PromptTokenizer;
  readonly pool: PoolView;
  /** Absent: as without `options.flow`. */
  readonly flow?: FlowQueue;
  /** Absent: nothing is predicted, and nothing learned. */
  readonly latency?: Pick<Predictor, "take" | "refused" | "prefillMs">;
  readonly upstream: UpstreamClient;
  readonly metrics: Metrics;
  tracing: Tracing;
  /** Told of every request that ended: the access log. */
  readonly ended: (record: RequestRecord) => void;
  /** One cell: requests that have not ended, for whoever shares it. */
  readonly active?: Int32Array;
  scheduler: Decider;
  models: ModelRules;
  options: PipelineOptions;
}
