/** What is known of latencies, by what it is predicted and how good that is, in plain data for operators. */
import type { Clock, EndpointTable } from "../core/mod.ts";
import type { Score } from "./corrections.ts";
import type { Pair } from "./drift.ts";
import type { Target } from "./features.ts";
import type { Governor } from "./governor.ts";
import type { Learner } from "./learner.ts";
import { High, type LatencyState, Median, Model, Prior, sources } from "./state.ts";

/** Mean quality of late; null while there are no labels. */
export interface ScoreReport {
  readonly labels: number;
  /** Mean error of the median, relative to what came. */
  readonly mape: number | null;
  /** Share of labels at most the high prediction. */
  readonly coverage: number | null;
  /** Pinball loss in log space; absent of what was told. */
  readonly loss?: number | null;
}

/** One prediction and what came of it. */
export interface PairReport {
  readonly endpoint: string;
  readonly agoMs: number;
  readonly medianMs: number;
  readonly highMs: number;
  readonly actualMs: number;
  /** It took at least so long: nobody waited for the end. */
  readonly censored: boolean;
}

/** The last time a model was judged. */
export interface VerdictReport {
  readonly promoted: boolean;
  /** Loss over held-back labels, in log space. */
  readonly challenger: number | null;
  readonly prior: number | null;
  readonly champion: number | null;
  readonly coverage: number | null;
  readonly rows: number;
  readonly tookMs: number;
}

export interface TargetReport {
  /** By what it is predicted: `prior` or `model`. */
  readonly source: string;
  readonly scores: { readonly told: ScoreReport; readonly prior: ScoreReport; readonly model: ScoreReport };
  /** Pinball loss of the high prediction as told, milliseconds. */
  readonly pinballMs: number | null;
  /** p90 of the high prediction over the target it was to meet; null: no request with a target came lately. */
  readonly predictedOverSlo: number | null;
  /** By what the source in force is moved so that the stated share lies below: factors of median and high prediction. */
  readonly calibration: { readonly median: number; readonly high: number };
  readonly reservoir: { readonly rows: number; readonly rowsMax: number; readonly added: number };
  readonly heldBack: number;
  readonly champion: { readonly trees: number; readonly bytes: number; readonly ageMs: number } | null;
  readonly verdict: VerdictReport | null;
  /** Oldest first. */
  readonly pairs: readonly PairReport[];
}

/** Coefficients of an endpoint's formulas; see `prior.ts`. */
export interface PriorReport {
  readonly ttft: { readonly baseMs: number; readonly msPer1000Tokens: number; readonly inWords: string };
  readonly tpot: {
    readonly baseMs: number;
    readonly msPerRequest: number;
    readonly msPer1000ContextTokens: number;
    readonly inWords: string;
  };
}

export interface EndpointLatencyReport {
  readonly endpoint: string;
  readonly prior: PriorReport;
  /** By target and source: times as long as the source says by itself. */
  readonly bias: Readonly<Record<Target, Readonly<Record<(typeof sources)[number], number>>>>;
  /** Times as long as at an average endpoint; 1 while too little is known. */
  readonly pace: number;
  readonly suspect: boolean;
  /** Of both targets, ever. */
  readonly labels: number;
}

export interface LatencyReport {
  readonly enabled: true;
  /** Share of cases that is to be at most the high prediction. */
  readonly quantile: number;
  /** What a request without a limit is expected to answer. */
  readonly outputTokens: number;
  readonly targets: Readonly<Record<Target, TargetReport>>;
  readonly endpoints: readonly EndpointLatencyReport[];
}

export interface LatencyExplainParts {
  readonly learner: Learner;
  readonly governor: Governor;
  readonly state: LatencyState;
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly quantile: number;
  /** Of each target, the latest. */
  readonly pairsMax: number;
}

export function explainLatency(parts: LatencyExplainParts): LatencyReport {
  const { state, table, quantile } = parts;
  return {
    enabled: true,
    quantile,
    outputTokens: figure(state.outputTokens)!,
    targets: { ttft: targetReport(0, parts), tpot: targetReport(1, parts) },
    endpoints: Array.from(table.slots(), (slot) => endpointReport(slot, parts)),
  };
}

function targetReport(target: number, parts: LatencyExplainParts): TargetReport {
  const { learner, governor, state, clock } = parts;
  const { labels, mape, coverage, pinballMs, predictedOverSlo } = learner.drift(target);
  const [prior, model] = learner.scores(target);
  const { size, capacity, added } = learner.reservoir(target);
  const source = state.source(target), champion = governor.champion(target), verdict = governor.verdict(target);
  return {
    source: sources[source],
    scores: {
      told: { labels, mape: figure(mape), coverage: figure(coverage) },
      prior: scoreReport(prior),
      model: scoreReport(model),
    },
    pinballMs: figure(pinballMs),
    predictedOverSlo: figure(predictedOverSlo),
    calibration: {
      median: figure(Math.exp(state.offset(target, source, Median)))!,
      high: figure(Math.exp(state.offset(target, source, High)))!,
    },
    reservoir: { rows: size, rowsMax: capacity, added },
    heldBack: learner.heldBack(target).length,
    champion: champion
      ? {
        trees: champion.trees,
        bytes: champion.file.length,
        ageMs: Math.round(clock.now() - champion.sinceMs),
      }
      : null,
    verdict: verdict
      ? {
        promoted: verdict.promoted,
        challenger: figure(verdict.challenger),
        prior: figure(verdict.prior),
        champion: figure(verdict.champion),
        coverage: figure(verdict.coverage),
        rows: verdict.rows,
        tookMs: Math.round(verdict.tookMs),
      }
      : null,
    pairs: lastOf(learner.pairs(target), parts.pairsMax).map((pair) => pairReport(pair, parts)),
  };
}

function scoreReport({ labels, mape, coverage, pinball }: Score): ScoreReport {
  if (labels === 0) return { labels, mape: null, coverage: null, loss: null };
  return { labels, mape: figure(mape), coverage: figure(coverage), loss: figure(pinball) };
}

function pairReport(pair: Pair, { table, clock }: LatencyExplainParts): PairReport {
  const { slot, atMs, medianMs, highMs, actualMs, censored } = pair;
  return {
    endpoint: table.peek(slot)?.id ?? "gone",
    agoMs: Math.round(clock.now() - atMs),
    medianMs: figure(medianMs)!,
    highMs: figure(highMs)!,
    actualMs: figure(actualMs)!,
    censored,
  };
}

function endpointReport(slot: number, { learner, state, table }: LatencyExplainParts): EndpointLatencyReport {
  const bias = (target: number) => {
    const factor = (source: typeof Prior | typeof Model) => figure(Math.exp(state.bias(target, source)[slot]))!;
    return { prior: factor(Prior), model: factor(Model) };
  };
  return {
    endpoint: table.meta(slot).id,
    prior: priorReport(slot, state),
    bias: { ttft: bias(0), tpot: bias(1) },
    pace: figure(learner.pace(slot))!,
    suspect: learner.suspect(slot),
    labels: learner.labels(slot),
  };
}

function priorReport(slot: number, state: LatencyState): PriorReport {
  const of = (column: Float64Array, times = 1) => figure(column[slot] * times)!;
  const ttft = { baseMs: of(state.ttftBaseMs), msPer1000Tokens: of(state.ttftTokenMs, 1000) };
  const tpot = {
    baseMs: of(state.tpotBaseMs),
    msPerRequest: of(state.tpotRequestMs),
    msPer1000ContextTokens: of(state.tpotTokenMs, 1000),
  };
  return {
    ttft: {
      ...ttft,
      inWords: `${ttft.baseMs} ms + ${ttft.msPer1000Tokens} ms for each 1,000 tokens to compute there, ` +
        "those ahead included + the wait for a place",
    },
    tpot: {
      ...tpot,
      inWords: `${tpot.baseMs} ms + ${tpot.msPerRequest} ms for each request there + ` +
        `${tpot.msPer1000ContextTokens} ms for each 1,000 tokens of their context`,
    },
  };
}

function lastOf<T>(list: readonly T[], count: number): readonly T[] {
  return list.slice(Math.max(0, list.length - count));
}

/** Four digits tell enough; JSON has neither NaN nor Infinity. */
function figure(value: number): number | null {
  return Number.isFinite(value) ? Number(value.toPrecision(4)) : null;
}
