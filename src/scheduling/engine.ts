import { randomBytes } from "node:crypto";
import type { EndpointTable, Explanation, Placement, PrefixMatch, Refusal, RequestView } from "../core/mod.ts";
import { isListed, parseAddresses } from "./address.ts";
import { Decision } from "./context.ts";
import { takeBest } from "./order.ts";
import { Trace } from "./trace.ts";
import {
  type Admitter,
  type Decorator,
  type Filter,
  type HeaderPair,
  isAdmitter,
  isDecorator,
  isFilter,
  isPicker,
  isProfileHandler,
  isScorer,
  type LatencySource,
  type Picker,
  type Plugin,
  type ProfileHandler,
  type ProfilePlan,
  type SchedulingPlan,
  type Scorer,
} from "./types.ts";

export interface SchedulerOptions {
  readonly table: EndpointTable;
  /** The same plan, table, requests and seed give the same decisions. */
  readonly seed: number;
  /** Key of session tokens; drawn at random when absent, then no other process accepts the tokens. */
  readonly sessionKey?: Uint8Array;
  /** Absent: no latency is predicted. */
  readonly latency?: LatencySource;
}

/** What a decision is asked for besides itself. */
export interface DecideOptions {
  /** Slot that runs the request's other leg; -1, the default, when there is none. */
  readonly peer?: number;
  /** The request was taken before, and needs another endpoint: admitters are not asked again. */
  readonly admitted?: boolean;
  /** Slot that counts the request already; -1, the default, where none does. */
  readonly held?: number;
}

/** A profile with its plugins made. */
interface Profile {
  readonly name: string;
  readonly filters: readonly Filter[];
  readonly scorers: readonly { readonly plugin: Scorer; readonly weight: number }[];
  readonly picker: Picker;
  /** Every plugin of the profile once, for the recording hooks. */
  readonly plugins: readonly Plugin[];
  readonly answersWithHeaders: boolean;
  /** One of them or an admitter reads predictions; one of the filters that say where a request may go at all. */
  readonly needsLatency: boolean;
  readonly eligibilityNeedsLatency: boolean;
}

const noHeaders: readonly HeaderPair[] = [];

/**
 * Decides where requests go. Synchronous, without I/O; one call is one decision, made in buffers that are reused, so a
 * scheduler belongs to one isolate.
 *
 * Admitters are asked first, in the plan's order, and the first that refuses ends it. A profile runs its filters in order
 * and stops when none is left; scores, clamped to [0, 1], are summed by weight; the picker takes the first choices; the best
 * of the rest follow as fallbacks.
 */
export class Scheduler {
  readonly plan: SchedulingPlan;
  readonly #table: EndpointTable;
  readonly #decision: Decision;
  readonly #handler: ProfileHandler;
  readonly #profiles: readonly Profile[];
  readonly #profileNames: readonly string[];
  readonly #admitters: readonly Admitter[];
  readonly #decorators: readonly Decorator[];
  readonly #slots: Uint16Array;
  readonly #totals: Float64Array;
  readonly #scores: Float64Array;
  readonly #order: Uint16Array;
  readonly #latency: LatencySource | undefined;

  constructor(plan: SchedulingPlan, { table, seed, sessionKey = randomBytes(32), latency }: SchedulerOptions) {
    this.plan = plan;
    this.#latency = latency;
    this.#table = table;
    this.#decision = new Decision(table, plan.staleAfterMs, seed);
    const plugins = new Map<string, Plugin>();
    for (const spec of plan.plugins) if (spec.create) plugins.set(spec.name, spec.create({ table, seed, sessionKey }));
    this.#handler = instance(plugins, plan.handler, isProfileHandler);
    this.#admitters = [...plugins.values()].filter(isAdmitter);
    this.#profiles = plan.profiles.map((profile) => buildProfile(profile, plugins, this.#admitters));
    this.#profileNames = plan.profiles.map((profile) => profile.name);
    this.#decorators = [...plugins.values()].filter(isDecorator);
    this.#slots = new Uint16Array(table.capacity);
    this.#totals = new Float64Array(table.capacity);
    this.#scores = new Float64Array(table.capacity);
    this.#order = new Uint16Array(table.capacity);
  }

  /**
   * Chooses among `candidates[0..count)`, distinct slots in use that may take the request, and records the choice. `match` is
   * read during the call only.
   */
  decide(
    view: RequestView,
    match: PrefixMatch,
    candidates: Uint16Array,
    count: number,
    nowMs: number,
    { peer = -1, admitted = false, held = -1 }: DecideOptions = {},
  ): Placement | Refusal {
    this.#decision.begin(view, match, nowMs, peer, held);
    const result = this.#run(candidates, count, admitted, undefined);
    if ("refused" in result) return result;
    this.#decision.record(result.slot);
    const profile = this.#profiles[this.#profileNames.indexOf(result.profile)];
    for (const plugin of profile.plugins) plugin.placed?.(this.#decision, result.slot);
    this.#latency?.chosen(this.#decision, result.slot);
    return this.#decorators.length === 0 ? result : this.#decorate(result, candidates, count);
  }

  /** What {@link decide} would answer now, with every verdict, score and prediction. Nothing is recorded. */
  explain(
    view: RequestView,
    match: PrefixMatch,
    candidates: Uint16Array,
    count: number,
    nowMs: number,
    { peer = -1, admitted = false }: DecideOptions = {},
  ): { explanation: Explanation; result: Placement | Refusal } {
    this.#decision.begin(view, match, nowMs, peer);
    const trace = new Trace(this.#table, match, candidates, count);
    const result = this.#run(candidates, count, admitted, trace);
    // Of all candidates, whatever the plan reads of them.
    this.#decision.load.refresh(candidates, count, nowMs);
    const latency = this.#latency?.predict(this.#decision, candidates, count);
    if (latency) trace.predicted(latency, view);
    return { explanation: trace.finish(), result };
  }

  /**
   * Leaves in `candidates[0..count)` those that may take the request whatever their load, order kept; returns how many. What
   * drops an endpoint for its load alone is left out.
   */
  eligible(view: RequestView, match: PrefixMatch, candidates: Uint16Array, count: number, nowMs: number): number {
    const decision = this.#decision;
    decision.begin(view, match, nowMs, -1);
    const profile = this.#profiles[this.#handler.choose(view, this.#profileNames)];
    // Refused by the decision, once it is made.
    if (!profile) return count;
    decision.profile = profile.name;
    let n = this.#restrict(candidates, count, undefined);
    this.#look(n, profile.eligibilityNeedsLatency);
    for (const filter of profile.filters) if (!filter.transient) n = filter.keep(decision, this.#slots, n);
    candidates.set(this.#slots.subarray(0, n));
    return n;
  }

  /** Tells what keeps state that a placed request went to `slot` after all. */
  moved(view: RequestView, placement: Placement, slot: number, nowMs: number): void {
    const profile = this.#profiles.find((profile) => profile.name === placement.profile);
    for (const plugin of profile?.plugins ?? []) plugin.moved?.(view, placement.profile, slot, nowMs);
  }

  /** Headers the response of `slot` shall carry to the client; empty for most plans. */
  responseHeaders(view: RequestView, placement: Placement, slot: number): readonly HeaderPair[] {
    const profile = this.#profiles.find((profile) => profile.name === placement.profile);
    if (!profile?.answersWithHeaders) return noHeaders;
    return profile.plugins.flatMap((plugin) => plugin.responseHeaders?.(view, profile.name, slot) ?? noHeaders);
  }

  /** Headers the request to `slot` shall carry; empty for most plans, and where `slot` is not the one that was chosen. */
  requestHeaders(_view: RequestView, placement: Placement, slot: number): readonly HeaderPair[] {
    return slot === placement.slot && placement.requestHeaders || noHeaders;
  }

  #decorate(placement: Placement, candidates: Uint16Array, count: number): Placement {
    const headers = this.#decorators.flatMap((plugin) =>
      plugin.requestHeaders(this.#decision, placement.slot, candidates, count)
    );
    return headers.length === 0 ? placement : { ...placement, requestHeaders: headers };
  }

  #run(candidates: Uint16Array, count: number, admitted: boolean, trace: Trace | undefined): Placement | Refusal {
    const decision = this.#decision;
    const index = this.#handler.choose(decision.view, this.#profileNames);
    if (index < 0) {
      return { refused: "unknown-profile", message: "The request names a scheduling profile that does not exist" };
    }
    const profile = this.#profiles[index];
    decision.profile = profile.name;
    trace?.begin(profile.name, profile.picker.name);
    let n = this.#restrict(candidates, count, trace);
    if (n === 0) return { refused: "no-endpoints", message: "No endpoint can take the request" };
    this.#look(n, profile.needsLatency);
    const refusal = admitted ? undefined : this.#admit(n, trace);
    if (refusal) return refusal;
    n = this.#filter(profile, n, trace);
    if (n === 0) {
      return { refused: "filtered", message: `No endpoint passes the filters of scheduling profile "${profile.name}"` };
    }
    this.#score(profile, n, trace);
    return this.#pick(profile, n, trace);
  }

  /** What plugins read of the first `n` slots. */
  #look(n: number, needsLatency: boolean): void {
    const decision = this.#decision;
    decision.load.refresh(this.#slots, n, decision.nowMs);
    if (needsLatency) decision.latency = this.#latency?.predict(decision, this.#slots, n);
  }

  #admit(n: number, trace: Trace | undefined): Refusal | undefined {
    for (const admitter of this.#admitters) {
      const refusal = admitter.admit(this.#decision, this.#slots, n);
      trace?.filtered(admitter.name, n, this.#slots, refusal ? 0 : n);
      if (refusal) return refusal;
    }
    return undefined;
  }

  /** Copies the candidates the proxy in front allows. */
  #restrict(candidates: Uint16Array, count: number, trace: Trace | undefined): number {
    const subset = this.#decision.view.subset;
    if (subset === undefined) {
      for (let i = 0; i < count; i++) this.#slots[i] = candidates[i];
      return count;
    }
    const addresses = parseAddresses(subset);
    let n = 0;
    for (let i = 0; i < count; i++) {
      if (isListed(this.#table.meta(candidates[i]), addresses)) this.#slots[n++] = candidates[i];
    }
    trace?.filtered("subset-hint", count, this.#slots, n);
    return n;
  }

  #filter(profile: Profile, n: number, trace: Trace | undefined): number {
    for (const filter of profile.filters) {
      const before = n;
      n = filter.keep(this.#decision, this.#slots, n);
      trace?.filtered(filter.name, before, this.#slots, n);
      if (n === 0) return 0;
    }
    return n;
  }

  #score(profile: Profile, n: number, trace: Trace | undefined): void {
    const totals = this.#totals, scores = this.#scores;
    for (let i = 0; i < n; i++) totals[i] = 0;
    for (const { plugin, weight } of profile.scorers) {
      plugin.score(this.#decision, this.#slots, n, scores);
      for (let i = 0; i < n; i++) {
        const score = scores[i];
        // Written so that NaN becomes 0.
        scores[i] = score >= 0 ? (score > 1 ? 1 : score) : 0;
        totals[i] += weight * scores[i];
      }
      trace?.scored(plugin.name, weight, this.#slots, n, scores);
    }
    trace?.totalled(this.#slots, n, totals);
  }

  #pick(profile: Profile, n: number, trace: Trace | undefined): Placement | Refusal {
    const { view, match, pickedAt } = this.#decision;
    const order = this.#order;
    const picks = profile.picker.pick(this.#decision, this.#slots, n, this.#totals, profile.picker.picksMax, order);
    const wanted = Math.min(n, Math.max(picks, 1 + this.plan.fallbacksMax));
    const length = takeBest(this.#slots, n, this.#totals, pickedAt, wanted, order, picks);
    trace?.picked(order, length);
    const slot = order[0];
    if (match.blocks[slot] === 0 && wantsCached(view.headers.get("prefer"))) {
      return { refused: "not-cached", message: "No prefix of the prompt is cached where the request would go" };
    }
    const fallbacks = new Array<number>(length - 1);
    for (let i = 1; i < length; i++) fallbacks[i - 1] = order[i];
    return { slot, fallbacks, profile: profile.name, matchedBlocks: match.blocks[slot], totalBlocks: match.total };
  }
}

/** Whether a `Prefer` header (RFC 7240) asks for `if-available`: an answer only from an endpoint with a cached prefix. */
function wantsCached(prefer: string | null | undefined): boolean {
  return !!prefer &&
    prefer.split(",").some((preference) => preference.split(";")[0].trim().toLowerCase() === "if-available");
}

function instance<P extends Plugin>(
  plugins: Map<string, Plugin>,
  name: string,
  is: (plugin: Plugin) => plugin is P,
): P {
  const plugin = plugins.get(name);
  if (!plugin || !is(plugin)) throw new Error(`Cannot build the scheduler as its plan has no such plugin: "${name}"`);
  return plugin;
}

function buildProfile(plan: ProfilePlan, plugins: Map<string, Plugin>, admitters: readonly Admitter[]): Profile {
  const filters = plan.filters.map((name) => instance(plugins, name, isFilter));
  const scorers = plan.scorers.map(({ plugin, weight }) => ({ plugin: instance(plugins, plugin, isScorer), weight }));
  const picker = instance(plugins, plan.picker, isPicker);
  const all = [...new Set<Plugin>([...filters, ...scorers.map((scorer) => scorer.plugin), picker])];
  return {
    name: plan.name,
    filters,
    scorers,
    picker,
    plugins: all,
    answersWithHeaders: all.some((plugin) => plugin.responseHeaders !== undefined),
    needsLatency: [...all, ...admitters].some((plugin) => plugin.needsLatency),
    eligibilityNeedsLatency: filters.some((filter) => filter.needsLatency && !filter.transient),
  };
}
