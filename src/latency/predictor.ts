/** What requests will take, in one isolate: asked while a request is placed, told how it went. */
import {
  type EndpointTable,
  loadTokens,
  promptTokensAhead,
  type RequestView,
  tierLoadSharesDefault,
  uncachedTokens,
} from "../core/mod.ts";
import { columns, type FeatureOptions, type LatencyFacts, writeRow } from "./features.ts";
import { normalQuantile, normalShare } from "./normal.ts";
import { Prediction, type PredictionObserver, type Told } from "./prediction.ts";
import { priorTpotMs, priorTtftMs, waitMs } from "./prior.ts";
import { ForestKind, High, type LatencyState, Median, Prior, type Source } from "./state.ts";
import { SloLedger } from "./slo_ledger.ts";

/** Scores rows of columns; see `Forests` of the hot path. */
export interface ForestScorer {
  /** `columns[c][row]`. */
  readonly columns: readonly Float32Array[];
  /** Where the sums of a target begin, by row. */
  margins(target: number): Float32Array;
  /** Sums of a target's output after `score`, by row. */
  out(target: number, group: number): Float32Array;
  /** Outputs a target's forest has. */
  groups(target: number): number;
  /** 0: there is none. */
  version(target: number): number;
  score(rows: number): void;
}

/** What counts besides what is learned. */
export interface PredictorOptions extends FeatureOptions {
  /** Share of labels that is to be at most the high prediction, such as 0.9. */
  readonly quantile: number;
  /** The strictest share of a TPOT target that is planned with; 1: all of it. */
  readonly tpotBufferFactor: number;
  /** @default {harmDefault} */
  readonly harm?: HarmWeights;
}

/**
 * What computing a prompt costs others, in multiples of the time it takes: `compute`, as it stalls what decodes there and
 * displaces what is cached; and one for each `arrivalMs` of the time to first token, as so many requests come meanwhile and
 * wait longer by it.
 */
export interface HarmWeights {
  readonly compute: number;
  readonly arrivalMs: number;
}

const harmDefault: HarmWeights = { compute: 12, arrivalMs: 1250 };

/** Columns by slot that plugins read; see `LatencyView` of the scheduler. */
export interface LatencyColumns {
  readonly known: Uint8Array;
  readonly ttftMs: Float64Array;
  readonly tpotMs: Float64Array;
  readonly ttftHighMs: Float64Array;
  readonly tpotHighMs: Float64Array;
  readonly ttftPriorMs: Float64Array;
  readonly tpotPriorMs: Float64Array;
  readonly ttftHeadroomMs: Float64Array;
  readonly tpotHeadroomMs: Float64Array;
  readonly meets: Float64Array;
  readonly e2eMs: Float64Array;
  readonly harmMs: Float64Array;
  readonly harmMisses: Float64Array;
}

const columnNames = [
  "ttftMs",
  "tpotMs",
  "ttftHighMs",
  "tpotHighMs",
  "ttftPriorMs",
  "tpotPriorMs",
  "ttftHeadroomMs",
  "tpotHeadroomMs",
  "meets",
  "e2eMs",
  "harmMs",
  "harmMisses",
] as const;

/** Before so many labels the prior is a guess, which nobody is refused for. */
const enoughLabels = 8;
/** A prediction that is sure to the millisecond is not believed: at least this much of spread in log space. */
const leastSpread = 0.02;
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
  #taken: Prediction | undefined;

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
    const view = Object.fromEntries(columnNames.map((name) => [name, column()]));
    this.#view = { known: new Uint8Array(capacity), ...view } as unknown as LatencyColumns;
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
    const outputTokens = Math.min(view.maxOutputTokens ?? Infinity, this.#state.outputTokens);
    this.#of = view;
    this.#predictions++;
    this.#view.known.fill(0);
    this.#begin();
    for (let row = 0; row < n; row++) this.#fill(facts, slots[row], row, outputTokens);
    if (this.#versions[0] + this.#versions[1] > 0) this.#forests.score(n);
    this.#settle();
    if (this.#zOf !== this.options.quantile) this.#z = zOf(this.#zOf = this.options.quantile);
    const leftMs = (view.slo.ttftMs ?? Infinity) - (facts.nowMs - view.receivedAtMs);
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
    this.#taken = new Prediction(this.#told(slot, row, view), this.#tell, this.#ledger, this.#observer);
  }

  /** What the endpoint that was chosen last is predicted to take; given once. */
  take(): Prediction | undefined {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.begin();
    return taken;
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
    const loads = loadTokens(match, slot, this.options.tierLoadShares ?? tierLoadSharesDefault);
    this.#rowOf[slot] = row;
    this.#predicted[slot] = this.#predictions;
    this.#own[row] = uncachedTokens(view, match, slot) + loads;
    this.#work[row] = promptTokensAhead(table, match, slot) + this.#own[row];
    this.#wait[row] = waitMs(table, slot);
    this.#requests[row] = load.running[slot] + load.waiting[slot] + 1;
    this.#context[row] = table.decodeTokens[slot] + view.promptTokens + outputTokens / 2;
    const input = this.#input(row);
    this.#priors[0][row] = priorTtftMs(state, slot, input);
    this.#priors[1][row] = priorTpotMs(state, slot, input);
    for (let target = 0; target < 2; target++) {
      forests.margins(target)[row] = this.#kinds[target] === ForestKind.Residual
        ? Math.log(this.#priors[target][row]) + state.bias(target, Prior)[slot]
        : state.baseMargin(target);
    }
    const more = { prefillPerS: state.prefillPerS(slot, nowMs), outputTokens };
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

  #read({ view }: LatencyFacts, slot: number, row: number, outputTokens: number, leftMs: number): void {
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
    const { tpotMs: tpotSlo } = view.slo;
    out.ttftHeadroomMs[slot] = (view.slo.ttftMs === undefined ? 0 : leftMs) - ttftHigh;
    const wanted = tpotSlo === undefined ? 0 : buffered(strictest > 0 ? Math.min(tpotSlo, strictest) : tpotSlo);
    out.tpotHeadroomMs[slot] = wanted - tpotHigh;
    out.meets[slot] = this.#below(leftMs, ttft, ttftHigh) *
      this.#below(tpotSlo === undefined ? Infinity : buffered(tpotSlo), tpot, tpotHigh);

    // Its prompt holds up everything there; as one more in the batch it makes each step of the others longer.
    const { harm = harmDefault } = this.options;
    const ownMs = state.ttftTokenMs[slot] * this.#own[row];
    const others = this.#requests[row] - 1;
    const stepMs = state.tpotRequestMs[slot] + state.tpotTokenMs[slot] * view.promptTokens;
    out.harmMs[slot] = ownMs * (harm.compute + ttft / harm.arrivalMs) + stepMs * others * outputTokens;
    out.harmMisses[slot] = 0;
    if (strictest > 0) {
      const target = buffered(strictest);
      const after = stepMs + ownMs / Math.max(1, state.outputTokens);
      // Without it every quantile is less by the same factor: the spread stays.
      const without = Math.max(tpot - after, 0.01) / tpot;
      const lost = this.#below(target, tpot * without, tpotHigh * without) - this.#below(target, tpot, tpotHigh);
      out.harmMisses[slot] = Math.max(0, lost) * state.tpotSlos(slot);
    }
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

  /** Probability to be at most `targetMs`, of a log-normal time with this median and high quantile. */
  #below(targetMs: number, medianMs: number, highMs: number): number {
    if (targetMs === Infinity) return 1;
    if (!(targetMs > 0)) return 0;
    const spread = Math.max(leastSpread, Math.log(highMs / medianMs) / this.#z);
    return normalShare(Math.log(targetMs / medianMs) / spread);
  }

  #told(slot: number, row: number, view: RequestView): Told {
    const { ttftMs, ttftHighMs, tpotMs, tpotHighMs } = this.#view;
    const forests = this.#forests;
    const sums = (target: number): readonly [number, number] => {
      if (this.#versions[target] === 0) return [0, 0];
      const begin = this.#kinds[target] === ForestKind.Residual ? forests.margins(target)[row] : 0;
      return [this.#modelLn(target, row, Median) - begin, this.#modelLn(target, row, High) - begin];
    };
    return {
      slot,
      generation: this.#table.generation[slot],
      input: this.#input(row),
      medianMs: [ttftMs[slot], tpotMs[slot]],
      highMs: [ttftHighMs[slot], tpotHighMs[slot]],
      versions: [...this.#versions],
      sums: [sums(0), sums(1)],
      row: columns.map((_, c) => forests.columns[c][row]),
      tpotSloMs: view.slo.tpotMs,
      slo: view.slo,
      model: view.model,
    };
  }
}

function zOf(quantile: number): number {
  return Math.max(leastZ, normalQuantile(quantile));
}
