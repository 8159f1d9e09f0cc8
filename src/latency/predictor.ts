/** What requests will take, in one isolate: asked while a request is placed, told how it went. */
import {
  type EndpointTable,
  loadTokens,
  promptTokensAhead,
  type RequestView,
  tierLoadSharesDefault,
  uncachedTokens,
} from "../core/mod.ts";
import { generates } from "../protocol/mod.ts";
import { columns, heldAt, type LatencyFacts, runningAt, writeRow } from "./features.ts";
import { emptyColumns, type ForestScorer, type LatencyColumns, type PredictorOptions } from "./latency_columns.ts";
import { normalQuantile, shareBelow } from "./normal.ts";
import { overTargets, Prediction, type PredictionObserver, type Told } from "./prediction.ts";
import { priorTpotMs, priorTtftMs, waitMs } from "./prior.ts";
import { latencyRecords } from "./record.ts";
import { ForestKind, High, type LatencyState, Median, Prior, type Source } from "./state.ts";
import { SloLedger } from "./slo_ledger.ts";

/** Requests that come while a prompt is computed, and wait for it as those that are there do. */
const requestsToCome = 2;
/** A request that was given as many tokens as expected goes on for so many. */
const tokensLeftLeast = 60;

/** Before so many labels the prior is a guess, which nobody is refused for. */
const enoughLabels = 8;
/**
 * Nobody is refused for what was learned longer ago, where nobody is finding out how it is now: at an idle endpoint, and at one
 * that is busy. There, load may be why nobody was sent: at 1.5 times the capacity a trial every 5 s costs 4 % of the goodput.
 */
const trialMs = 5_000, busyTrialMs = 60_000;
/** Who finds out is waited for no longer. */
const dueMsMax = 60_000;
/** Of a high quantile nearer to the median nothing is told of the spread. */
const leastZ = 0.1;
/** What a forest or a correction run wild says is bounded: 10 µs to 12 days, in ln(milliseconds). */
const lnMin = Math.log(0.01), lnMax = Math.log(1e9);

type ByTarget<T> = [ttft: T, tpot: T];

export class Predictor {
  options: PredictorOptions;
  readonly #state: LatencyState;
  readonly #table: EndpointTable;
  readonly #forests: ForestScorer;
  readonly #ledger: SloLedger;
  readonly #tell: (kind: number, numbers: readonly number[]) => void;
  readonly #observer: PredictionObserver | undefined;
  readonly #view: LatencyColumns;
  /** Inputs of the priors, by row. */
  readonly #work: Float64Array;
  /** Of the work, its own. */
  readonly #own: Float64Array;
  readonly #wait: Float64Array;
  readonly #requests: Float64Array;
  readonly #context: Float64Array;
  readonly #priors: readonly [Float64Array, Float64Array];
  readonly #rowOf: Int32Array;
  /** By slot: the number of the prediction that its row is of. */
  readonly #predicted: Float64Array;
  #predictions = 0;
  /** Of the prediction under way, by target. A forest's version is 0 where there is none, or another one came meanwhile. */
  readonly #versions: ByTarget<number> = [0, 0];
  readonly #kinds: ByTarget<ForestKind> = [ForestKind.Residual, ForestKind.Residual];
  readonly #sources: ByTarget<Source> = [Prior, Prior];
  readonly #groups: ByTarget<number> = [0, 0];
  readonly #one: Uint16Array = new Uint16Array(1);
  #z: number;
  #zOf: number;
  /** Whom the rows are of; undefined: of nobody any more. */
  #of: RequestView | undefined;
  #waitedMs = 0;
  #taken: Prediction | undefined;
  #takenStreams = false;

  constructor(
    state: LatencyState,
    { table, forests, isolate, tell, observer, options }: {
      readonly table: EndpointTable;
      readonly forests: ForestScorer;
      readonly isolate: number;
      /** Writes a record for the learner; it may be lost. */
      readonly tell: (kind: number, numbers: readonly number[]) => void;
      readonly observer?: PredictionObserver;
      readonly options: PredictorOptions;
    },
  ) {
    this.#state = state;
    this.#table = table;
    this.#forests = forests;
    this.#ledger = new SloLedger(state, isolate);
    this.#tell = tell;
    this.#observer = observer;
    this.options = options;
    this.#zOf = options.quantile;
    this.#z = zOf(options.quantile);
    const { capacity } = table;
    const column = () => new Float64Array(capacity);
    this.#view = emptyColumns(capacity);
    this.#work = column();
    this.#own = column();
    this.#wait = column();
    this.#requests = column();
    this.#context = column();
    this.#priors = [column(), column()];
    this.#rowOf = new Int32Array(capacity);
    this.#predicted = column();
  }

  /** Predicts for `slots[0..n)`. Valid until the next call. */
  predict(facts: LatencyFacts, slots: Uint16Array, n: number): LatencyColumns {
    const { view } = facts;
    const outputTokens = generates(view.api) ? Math.min(view.maxOutputTokens ?? Infinity, this.#state.outputTokens) : 0;
    this.#of = view;
    this.#waitedMs = facts.nowMs - view.receivedAtMs;
    this.#predictions++;
    this.#view.known.fill(0);
    this.#begin();
    for (let row = 0; row < n; row++) this.#fill(facts, slots[row], row, outputTokens);
    if (this.#versions[0] + this.#versions[1] > 0) this.#forests.score(n);
    this.#settle();
    if (this.#zOf !== this.options.quantile) this.#z = zOf(this.#zOf = this.options.quantile);
    const leftMs = (view.slo.ttftMs ?? Infinity) - this.#waitedMs;
    for (let row = 0; row < n; row++) this.#read(facts, slots[row], row, outputTokens, leftMs);
    return this.#view;
  }

  /** The request goes to `slot`: what it is predicted to take there is kept for `take`. Its load is not counted there yet. */
  chosen(facts: LatencyFacts, slot: number): void {
    const { view } = facts;
    if (this.#of !== view || this.#predicted[slot] !== this.#predictions) {
      this.#one[0] = slot;
      this.predict(facts, this.#one, 1);
    }
    const row = this.#rowOf[slot];
    this.#of = undefined;
    this.#takenStreams = view.stream;
    this.#taken = new Prediction(this.#told(slot, row, facts), this.#tell, this.#ledger, this.#observer);
  }

  /** What the endpoint that was chosen last is predicted to take; given once. */
  take(): Prediction | undefined {
    const taken = this.#taken;
    this.#taken = undefined;
    if (taken) {
      const { slot, atMs } = taken.told;
      this.#state.sent(slot, this.#own[this.#rowOf[slot]], atMs);
      if (this.#takenStreams) this.#state.firstTokenDue(slot, atMs + Math.min(taken.ttftMs, dueMsMax));
      taken.begin();
    }
    return taken;
  }

  /**
   * The request is refused as it is predicted to miss its targets: what it would have come to where it misses them least
   * counts all the same, as the figure that asks for more endpoints would fall once requests are refused.
   */
  refused(view: RequestView): void {
    if (this.#of !== view) return;
    this.#of = undefined;
    const { ttftHighMs, tpotHighMs } = this.#view;
    let least = Infinity, told: readonly [number, number] | undefined;
    for (let slot = 0; slot < this.#predicted.length; slot++) {
      if (this.#predicted[slot] !== this.#predictions) continue;
      const ratios = overTargets(view.slo, streamed(view), this.#waitedMs, [ttftHighMs[slot], tpotHighMs[slot]]);
      const worst = Math.max(ratios[0] || 0, ratios[1] || 0);
      if (worst < least) [least, told] = [worst, ratios];
    }
    if (told) this.#tell(latencyRecords.slo, told);
  }

  /** How long an idle endpoint takes to compute so many prompt tokens; undefined before any label has told. */
  prefillMs(slot: number, tokens: number): number | undefined {
    const state = this.#state;
    return state.labels(0) < enoughLabels ? undefined : tokens * state.ttftTokenMs[slot] + state.ttftBaseMs[slot];
  }

  // A forest is replaced by another isolate in this order: the prior predicts, kind and margin, the forest, its corrections,
  // it predicts. Read the other way round, with its version before and after, what is used belongs together.
  #begin(): void {
    for (const target of [0, 1] as const) {
      this.#versions[target] = this.#forests.version(target);
      this.#kinds[target] = this.#state.kind(target);
    }
  }

  #settle(): void {
    for (const target of [0, 1] as const) {
      this.#sources[target] = this.#state.source(target);
      this.#groups[target] = this.#forests.groups(target);
      if (this.#forests.version(target) !== this.#versions[target]) this.#versions[target] = 0;
    }
  }

  #fill(facts: LatencyFacts, slot: number, row: number, outputTokens: number): void {
    const { view, table, match, load, nowMs } = facts;
    const state = this.#state, forests = this.#forests;
    const loads = loadTokens(match, slot, tierLoadSharesDefault);
    this.#rowOf[slot] = row;
    this.#predicted[slot] = this.#predictions;
    this.#own[row] = uncachedTokens(view, match, slot) + loads;
    const ahead = Math.min(promptTokensAhead(table, match, slot), state.leftTokens(slot, nowMs));
    this.#work[row] = ahead + this.#own[row];
    this.#wait[row] = waitMs(table, state, slot, heldAt(facts, slot));
    this.#requests[row] = runningAt(facts, slot) + load.waiting[slot] + 1;
    this.#context[row] = table.decodeTokens[slot] + view.promptTokens + outputTokens / 2;
    const input = this.#input(row);
    this.#priors[0][row] = priorTtftMs(state, slot, input);
    this.#priors[1][row] = priorTpotMs(state, slot, input);
    for (let target = 0; target < 2; target++) {
      forests.margins(target)[row] = this.#kinds[target] === ForestKind.Residual
        ? Math.log(this.#priors[target][row]) + state.bias(target, Prior)[slot]
        : 0;
    }
    const more = { aheadTokens: ahead, prefillPerS: state.prefillPerS(slot, nowMs), outputTokens };
    writeRow(forests.columns, row, facts, slot, more, this.options);
  }

  #input(row: number) {
    return {
      workTokens: this.#work[row],
      waitMs: this.#wait[row],
      requests: this.#requests[row],
      contextTokens: this.#context[row],
    };
  }

  #read(facts: LatencyFacts, slot: number, row: number, outputTokens: number, leftMs: number): void {
    const { view, nowMs } = facts;
    const state = this.#state, out = this.#view;
    out.known[slot] = 1;
    out.ttftPriorMs[slot] = this.#priors[0][row];
    out.tpotPriorMs[slot] = this.#priors[1][row];
    out.ttftMs[slot] = this.#quantile(0, slot, row, Median);
    out.tpotMs[slot] = this.#quantile(1, slot, row, Median);
    const ttft = out.ttftMs[slot], tpot = out.tpotMs[slot];
    const ttftHigh = out.ttftHighMs[slot] = Math.max(ttft, this.#quantile(0, slot, row, High));
    const tpotHigh = out.tpotHighMs[slot] = Math.max(tpot, this.#quantile(1, slot, row, High));
    out.e2eMs[slot] = ttft + tpot * Math.max(0, outputTokens - 1);

    const buffered = (ms: number) => ms * this.options.tpotBufferFactor;
    const strictest = state.strictestTpotMs(slot);
    const tpotSlo = streamed(view);
    out.ttftHeadroomMs[slot] = view.slo.ttftMs === undefined ? -ttftHigh : this.#headroom(0, leftMs, ttftHigh);
    const wanted = tpotSlo === undefined ? 0 : buffered(strictest > 0 ? Math.min(tpotSlo, strictest) : tpotSlo);
    out.tpotHeadroomMs[slot] = tpotSlo === undefined ? -tpotHigh : this.#headroom(1, wanted, tpotHigh);
    const trial = leftMs > 0 && state.labelAgeMs(slot, nowMs) > trialMs &&
      this.#table.requests[slot] === heldAt(facts, slot);
    // Plain answers tell nothing of first tokens: an endpoint that is busy with them is tried now and then.
    const unheard = leftMs > 0 && state.firstTokenAgeMs(slot, nowMs) > busyTrialMs;
    out.meets[slot] = (trial || unheard ? 1 : this.#meets(0, leftMs, ttft, ttftHigh)) *
      (trial ? 1 : this.#meets(1, tpotSlo === undefined ? Infinity : buffered(tpotSlo), tpot, tpotHigh));

    // While its prompt is computed, everyone there stands still.
    const ownMs = state.ttftTokenMs[slot] * this.#own[row];
    out.harmMs[slot] = ownMs * (this.#requests[row] - 1 + requestsToCome);
    out.harmMisses[slot] = out.likelyMisses[slot] = 0;
    if (strictest > 0 && state.labels(1) >= enoughLabels) this.#judgeOthers(slot, ownMs, row, strictest, nowMs);
  }

  /**
   * How many of the requests there are likely to miss their TPOT target once this one has come, and how many for it: each has
   * had tokens at the predicted pace so far, stands still for `ownMs`, and gets the rest at the pace predicted now.
   */
  #judgeOthers(slot: number, ownMs: number, row: number, strictestMs: number, nowMs: number): void {
    const state = this.#state, out = this.#view, factor = this.options.tpotBufferFactor;
    const stepMs = state.tpotRequestMs[slot] + state.tpotTokenMs[slot] * this.#context[row] / this.#requests[row];
    const afterMs = out.tpotMs[slot], beforeMs = Math.max(0.01, afterMs - stepMs);
    const spread = out.tpotHighMs[slot] / afterMs;
    const judge = (targetMs: number, elapsedMs: number, count: number) => {
      const produced = elapsedMs / beforeMs;
      const left = Math.max(tokensLeftLeast, state.outputTokens - produced);
      const meets = (ms: number) => shareBelow(targetMs * factor, ms, ms * spread, this.#z);
      const met = meets((elapsedMs + ownMs + afterMs * left) / (produced + left));
      out.likelyMisses[slot] += count * (1 - met);
      out.harmMisses[slot] += count * Math.max(0, meets((elapsedMs + beforeMs * left) / (produced + left)) - met);
    };
    this.#ledger.each(slot, ({ tpotMs, firstAtMs }, count) => {
      judge(tpotMs, firstAtMs <= nowMs ? nowMs - firstAtMs : 0, count);
    });
    // Of other isolates' no more is known than how many and the strictest.
    const others = state.tpotSlos(slot) - this.#ledger.at(slot).length;
    if (others > 0) judge(strictestMs, 0, others);
  }

  /** A quantile of a target in milliseconds. */
  #quantile(target: number, slot: number, row: number, quantile: number): number {
    const state = this.#state;
    const source = this.#versions[target] === 0 ? Prior : this.#sources[target];
    const ln = source === Prior ? Math.log(this.#priors[target][row]) : this.#modelLn(target, row, quantile);
    const corrected = ln + state.bias(target, source)[slot] + state.offset(target, source, quantile);
    return Math.exp(Math.max(lnMin, Math.min(lnMax, corrected)));
  }

  /** ln(milliseconds) as the forest says, the prior it begins at included. */
  #modelLn(target: number, row: number, quantile: number): number {
    const group = quantile === High && this.#groups[target] > 1 ? 1 : 0;
    const sum = this.#forests.out(target, group)[row];
    return this.#kinds[target] === ForestKind.Milliseconds ? Math.log(Math.max(sum, 0.01)) : sum;
  }

  /** Of what is wanted, what is left; a guess takes nothing of it for missing. */
  #headroom(target: number, wantedMs: number, highMs: number): number {
    const left = wantedMs - highMs;
    return wantedMs > 0 && this.#state.labels(target) < enoughLabels ? Math.max(0, left) : left;
  }

  /** Probability that a target is met; a guess takes it for certain while there is time left at all. */
  #meets(target: number, leftMs: number, medianMs: number, highMs: number): number {
    if (this.#state.labels(target) < enoughLabels) return leftMs > 0 ? 1 : 0;
    return shareBelow(leftMs, medianMs, highMs, this.#z);
  }

  #told(slot: number, row: number, { view, nowMs }: LatencyFacts): Told {
    const { ttftMs, ttftHighMs, tpotMs, tpotHighMs } = this.#view;
    const forests = this.#forests;
    const sums = (target: number): readonly [number, number] => {
      if (this.#versions[target] === 0) return [0, 0];
      const begin = this.#kinds[target] === ForestKind.Residual ? forests.margins(target)[row] : 0;
      return [this.#modelLn(target, row, Median) - begin, this.#modelLn(target, row, High) - begin];
    };
    return {
      slot,
      atMs: nowMs,
      generation: this.#table.generation[slot],
      input: this.#input(row),
      medianMs: [ttftMs[slot], tpotMs[slot]],
      highMs: [ttftHighMs[slot], tpotHighMs[slot]],
      versions: [...this.#versions],
      sums: [sums(0), sums(1)],
      row: columns.map((_, c) => forests.columns[c][row]),
      tpotSloMs: streamed(view),
      slo: view.slo,
      waitedMs: this.#waitedMs,
      model: view.model,
      requestedModel: view.requestedModel || view.model,
    };
  }
}

/** The TPOT target of a request whose client sees each token. */
function streamed({ stream, slo }: RequestView): number | undefined {
  return stream ? slo.tpotMs : undefined;
}

function zOf(quantile: number): number {
  return Math.max(leastZ, normalQuantile(quantile));
}
