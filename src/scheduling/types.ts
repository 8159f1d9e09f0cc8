import type { EndpointTable, HeaderPair, PrefixMatch, Prng, Refusal, RequestView } from "../core/mod.ts";

export type { HeaderPair };

/**
 * Engine load of each candidate with the unknown filled in; arrays are indexed by slot.
 *
 * A sample counts as fresh while it is at most `staleAfterMs` old. With `q` waiting and `r` running in the sample and
 * `own` the requests this router has at the endpoint:
 * - fresh: waiting = q, running = max(r, own − q), KV usage as sampled: what was sent since the sample counts at once;
 * - not fresh, others are: the mean of the fresh candidates, running = max(mean running, own − mean waiting);
 * - nobody fresh: waiting = running = own, KV usage 0: our own work is all that is known.
 * So an endpoint that has not been seen never looks emptier than the average of those that have.
 */
export interface LoadView {
  readonly waiting: Float64Array;
  readonly running: Float64Array;
  /** 0 to 1. */
  readonly kvUsage: Float64Array;
  /** 1 where the values come from a fresh sample. */
  readonly fresh: Uint8Array;
}

/**
 * What each candidate is predicted to take; arrays are indexed by slot, times are milliseconds. A target that the request
 * does not name constrains nothing.
 */
export interface LatencyView {
  /** 1 where something was predicted for the slot. */
  readonly known: Uint8Array;
  /** Expected (median) time to first token, from being sent. */
  readonly ttftMs: Float64Array;
  /** Expected (median) time per output token after the first. */
  readonly tpotMs: Float64Array;
  /** The configured high quantile of the same: so long or less in that share of cases. */
  readonly ttftHighMs: Float64Array;
  readonly tpotHighMs: Float64Array;
  /** What the endpoint's formula says, before trees and corrections. */
  readonly ttftPriorMs: Float64Array;
  readonly tpotPriorMs: Float64Array;
  /** Target − predicted high quantile; where the request has no target: 0 − predicted, as llm-d counts. */
  readonly ttftHeadroomMs: Float64Array;
  /** The same with the strictest target among the requests that run there, ours included. */
  readonly tpotHeadroomMs: Float64Array;
  /** Probability that the request meets the targets it has; 1 without one. */
  readonly meets: Float64Array;
  /** Expected time to the last token. */
  readonly e2eMs: Float64Array;
  /** Time that the request costs those that run there or come after it, summed over them. */
  readonly harmMs: Float64Array;
  /** Expected number of requests running there that would miss their target for this one. */
  readonly harmMisses: Float64Array;
  /** Expected number of them that would miss it once this one has come, for whatever reason. */
  readonly likelyMisses: Float64Array;
}

/** Predicts what a request would take at `slots[0..n)`; declared here, provided by `commands/`. */
export interface LatencySource {
  /** Valid until the next call. Undefined: nothing can be predicted. */
  predict(ctx: DecisionContext, slots: Uint16Array, n: number): LatencyView | undefined;
  /** The request goes to `slot`. Nothing of it counts there yet. */
  chosen(ctx: DecisionContext, slot: number): void;
}

/** Everything one decision may look at. One object lives as long as the scheduler; plugins must not keep it. */
export interface DecisionContext {
  readonly view: RequestView;
  readonly table: EndpointTable;
  readonly match: PrefixMatch;
  /** Clock milliseconds. */
  readonly nowMs: number;
  /** Chance of this decision: seeded by the scheduler's seed and the number of the decision. */
  readonly rng: Prng;
  readonly load: LoadView;
  /** Present when a plugin of the profile or an admitter `needsLatency` and there is something to predict by. */
  readonly latency: LatencyView | undefined;
  /** By slot: grows with each pick, so the smallest is the one picked longest ago. Never equal for two slots. */
  readonly pickedAt: Float64Array;
  /** Name of the profile that runs. */
  readonly profile: string;
  /** Slot of the endpoint that runs the other leg of the request; -1 when there is none. */
  readonly peer: number;
  /** Slot among whose requests this one is counted already, as it was granted a place there; -1: nowhere. */
  readonly held: number;
}

/** What every plugin instance has. Recording hooks are called for real decisions only, never for an explanation. */
export interface PluginBase {
  readonly type: string;
  readonly name: string;
  /** It reads `DecisionContext.latency`. */
  readonly needsLatency?: true;
  /** The request went to `slot`. */
  placed?(ctx: DecisionContext, slot: number): void;
  /** The request failed at its first choice and went to `slot` instead. The prefix match is gone by then. */
  moved?(view: RequestView, profile: string, slot: number, nowMs: number): void;
  /** Headers for the client when `slot` answers. */
  responseHeaders?(view: RequestView, profile: string, slot: number): readonly HeaderPair[];
}

/** Narrows the candidates. */
export interface Filter extends PluginBase {
  /** What it keeps changes with load: it says nothing of where a request that waits may go. */
  readonly transient?: true;
  /** Compacts `slots[0..n)` in place, order kept; returns how many stay. */
  keep(ctx: DecisionContext, slots: Uint16Array, n: number): number;
}

/** What a scorer pulls towards: an endpoint that has something, an even spread, or both weighed. */
export type ScorerCategory = "affinity" | "distribution" | "balance";

/** Rates the candidates. */
export interface Scorer extends PluginBase {
  readonly category: ScorerCategory;
  /** Writes the score of `slots[i]` to `out[i]`; the engine clamps to [0, 1] and turns NaN into 0. */
  score(ctx: DecisionContext, slots: Uint16Array, n: number, out: Float64Array): void;
}

/** Chooses among scored candidates. */
export interface Picker extends PluginBase {
  /** Picks wanted at most; further fallbacks are the engine's. */
  readonly picksMax: number;
  /** Writes up to `k` distinct slots, best first, to `out`; returns how many. `scores[i]` belongs to `slots[i]`. */
  pick(ctx: DecisionContext, slots: Uint16Array, n: number, scores: Float64Array, k: number, out: Uint16Array): number;
}

/** Chooses the profile a request runs. */
export interface ProfileHandler extends PluginBase {
  /** Index into `profiles`, or -1 when the request asks for one that does not exist. */
  choose(view: RequestView, profiles: readonly string[]): number;
}

/** Adds headers to requests, in whichever profile they were placed. */
export interface Decorator extends PluginBase {
  /** Headers for the endpoint at `slot`, which was chosen; `candidates[0..count)` are all that may take the request. */
  requestHeaders(ctx: DecisionContext, slot: number, candidates: Uint16Array, count: number): readonly HeaderPair[];
}

/** Says whether a request is taken at all, whichever profile it runs. */
export interface Admitter extends PluginBase {
  /** Looks at all candidates `slots[0..n)`, before any filter; undefined: it is taken. */
  admit(ctx: DecisionContext, slots: Uint16Array, n: number): Refusal | undefined;
}

export type Plugin = Filter | Scorer | Picker | ProfileHandler | Decorator | Admitter;

export const isFilter = (plugin: Plugin): plugin is Filter => "keep" in plugin;
export const isScorer = (plugin: Plugin): plugin is Scorer => "score" in plugin;
export const isPicker = (plugin: Plugin): plugin is Picker => "pick" in plugin;
export const isDecorator = (plugin: Plugin): plugin is Decorator => "requestHeaders" in plugin;
export const isAdmitter = (plugin: Plugin): plugin is Admitter => "admit" in plugin;
export const isProfileHandler = (plugin: Plugin): plugin is ProfileHandler => "choose" in plugin;

/** What a plugin type is in a configuration. */
export type PluginKind =
  | "filter"
  | "scorer"
  | "picker"
  | "profile-handler"
  | "admitter"
  | "producer"
  | "source"
  | "extractor"
  | "discovery"
  | "parser"
  | "saturation-detector"
  | "fairness-policy"
  | "ordering-policy"
  | "usage-limit-policy"
  | "eviction-policy";

/** What plugin instances are built with. */
export interface PluginEnv {
  readonly table: EndpointTable;
  readonly seed: number;
  /** Key of opaque session tokens: the same key accepts the tokens another process gave out. */
  readonly sessionKey: Uint8Array;
}

/** One configured plugin: its parameters checked and complete. */
export interface PluginSpec {
  readonly type: string;
  readonly name: string;
  readonly kinds: readonly PluginKind[];
  /** Complete parameters, in the shape the type's file declares. */
  readonly params: unknown;
  /** Absent for what is configuration only: producers, sources, extractors, discovery, parsers, flow control. */
  readonly create?: (env: PluginEnv) => Plugin;
}

/** One scheduling profile, by plugin name. */
export interface ProfilePlan {
  readonly name: string;
  /** In the order they run. */
  readonly filters: readonly string[];
  readonly scorers: readonly { readonly plugin: string; readonly weight: number }[];
  readonly picker: string;
}

/** All a scheduler needs to know: data, so that it can be printed, compared and replayed. */
export interface SchedulingPlan {
  readonly plugins: readonly PluginSpec[];
  readonly profiles: readonly ProfilePlan[];
  /** Name of the profile handler. */
  readonly handler: string;
  /** Further candidates given with a placement, beyond what the picker itself asks for. */
  readonly fallbacksMax: number;
  /** Age at which a load sample stops counting. */
  readonly staleAfterMs: number;
}
