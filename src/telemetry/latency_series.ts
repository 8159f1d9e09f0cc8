import { LruMap, type Outcome } from "../core/mod.ts";
import type { MetricName } from "./catalogue.ts";
import type { RequestRecord } from "./record.ts";
import type { Distribution, MetricStore, Scalar } from "./store.ts";

/** What is predicted: the time to the first token, that of each token after it. */
export type PredictedTarget = "ttft" | "tpot";

/** Whose prediction it is. */
export interface PredictionNames {
  readonly model: string;
  /** As the client named it. */
  readonly requestedModel: string;
}

/** What was told of one request, and what came of it. */
export interface PredictionRecord extends PredictionNames {
  readonly target: PredictedTarget;
  /** Absent: it is gone meanwhile. */
  readonly endpoint?: { readonly name: string; readonly namespace: string };
  readonly medianMs: number;
  readonly highMs: number;
  /** Share of cases that the high prediction is for. */
  readonly quantile: number;
  readonly ms: number;
  /** It took at least so long. */
  readonly censored: boolean;
}

/** One target as it is at a scrape. What is not known is absent or NaN. */
export interface LatencyTargetSample {
  readonly target: PredictedTarget;
  /** By what it is predicted. */
  readonly source: string;
  /** Of late: `told` is what clients were told. */
  readonly scores: readonly {
    readonly source: string;
    readonly mape: number;
    readonly coverage: number;
    readonly loss?: number;
  }[];
  readonly overSlo?: number;
  readonly reservoirRows: number;
  readonly heldBackRows: number;
  readonly model?: { readonly trees: number; readonly ageMs: number };
  /** Of the last training, by who was judged. */
  readonly trialLoss: Readonly<Record<string, number>>;
}

/** What is learned of latencies, at a scrape. */
export interface LatencySample {
  readonly targets: readonly LatencyTargetSample[];
  readonly endpoints: readonly {
    readonly name: string;
    readonly namespace: string;
    readonly pace: number;
    readonly suspect: boolean;
  }[];
}

/** The label of a name that a client chose; one that is not `learned` has its own only if it has one already. */
type NameLabel = (name: string, learned: boolean) => string;

const setsMax = 1_000;

const gauges = [
  "prediction_source",
  "prediction_mape",
  "prediction_coverage",
  "prediction_log_loss",
  "prediction_over_slo",
  "prediction_rows",
  "prediction_model_age_seconds",
  "prediction_model_trees",
  "prediction_trial_loss",
  "endpoint_pace",
  "endpoint_suspect",
] as const satisfies readonly MetricName[];

/** The series of one model and target. */
interface Times {
  readonly predicted: Distribution;
  readonly actual: Distribution;
  readonly lastPredicted: Scalar;
  readonly lastActual: Scalar;
}

/** The series of one model, endpoint and target. */
interface Accuracy {
  readonly labels: Scalar;
  readonly within: Scalar;
  readonly error: Scalar;
  readonly loss: Scalar;
}

/** The series of one model. */
interface Durations {
  readonly times: readonly Distribution[];
  readonly last: readonly Scalar[];
}

/** Outcomes that say how the pool serves, for a request that was not answered to its end. */
const failures: ReadonlySet<Outcome> = new Set<Outcome>([
  "upstream-error",
  "upstream-aborted",
  "upstream-timeout",
  "internal-error",
]);

/** The series of predictions. Counters and distributions are recorded as things happen, gauges at each scrape. */
export class LatencySeries {
  readonly #store: MetricStore;
  readonly #model: NameLabel;
  readonly #times = new LruMap<string, Times>(setsMax);
  readonly #accuracy = new LruMap<string, Accuracy>(setsMax);
  readonly #durations = new LruMap<string, Durations>(setsMax);
  readonly #duration;

  constructor(store: MetricStore, model: NameLabel) {
    this.#store = store;
    this.#model = model;
    this.#duration = store.series("prediction_duration_seconds");
  }

  /** What came of a prediction. A lower bound that is within the prediction tells nothing of it. */
  outcome(record: PredictionRecord): void {
    const { medianMs, highMs, quantile, ms, censored } = record;
    if (censored && ms <= highMs) return;
    if (!censored) {
      const times = this.#timesOf(record);
      times.predicted.observe(medianMs / 1000);
      times.actual.observe(ms / 1000);
      times.lastPredicted.set(medianMs / 1000);
      times.lastActual.set(ms / 1000);
    }
    if (!record.endpoint) return;
    const accuracy = this.#accuracyOf(record, record.endpoint);
    accuracy.labels.add(1);
    if (ms <= highMs) accuracy.within.add(1);
    accuracy.error.add(Math.abs(ms - medianMs) / ms);
    accuracy.loss.add(Math.max(quantile * (ms - highMs), (1 - quantile) * (highMs - ms)) / 1000);
  }

  /** All candidates of a request that was placed were predicted in `ms`. */
  predicted(names: PredictionNames, ms: number): void {
    const seconds = ms / 1000;
    this.#duration.observe(seconds);
    const { times, last } = this.#durationsOf(names);
    for (const each of times) each.observe(seconds);
    for (const each of last) each.set(seconds);
  }

  /** A request ended; `learned`: its names have labels of their own. One without targets, or that is no stream, tells nothing. */
  ended(record: RequestRecord, learned: boolean): void {
    const { slo, stream, ttftMs, tpotMs, model, targetModel } = record;
    if (!slo || !stream) return;
    const names = this.#names({ model: targetModel, requestedModel: model }, learned);
    // Who left before the first token came was there when it was due, or was not.
    const firstMs = ttftMs ?? (record.durationMs > slo.ttftMs! ? leftAfterMs(record) : undefined);
    if (slo.ttftMs !== undefined) this.#judged(names, "ttft", resultOf(record, firstMs, slo.ttftMs));
    if (slo.tpotMs !== undefined) this.#judged(names, "tpot", resultOf(record, tpotMs, slo.tpotMs));
  }

  #judged(names: readonly [string, string], type: PredictedTarget, result: string | undefined): void {
    if (result === undefined) return;
    this.#store.series("request_slo_total", ...names, type, result).add(1);
    if (result === "missed") this.#store.series("request_slo_violation_total", ...names, type).add(1);
    if (result !== "met" && result !== "missed") return;
    this.#store.series("inference_request_metric", ...names, `${type}_slo_violation`).set(result === "missed" ? 1 : 0);
  }

  /** A model was trained: `tookMs` where it came to be judged. */
  trained(target: PredictedTarget, result: "promoted" | "kept" | "failed", tookMs = NaN): void {
    this.#store.series("prediction_trainings_total", target, result).add(1);
    this.#store.series("prediction_training_duration_seconds", target).observe(tookMs / 1000);
  }

  /** The series of an endpoint are gone from the store. */
  forgetEndpoint(): void {
    this.#accuracy.clear();
  }

  /** Replaces every gauge; what is gone from the sample is gone from the scrape. */
  fill(sample: LatencySample | undefined, pool = "default"): void {
    for (const name of gauges) this.#store.family(name).clear();
    for (const target of sample?.targets ?? []) this.#fillTarget(target, pool);
    for (const { name, namespace, pace, suspect } of sample?.endpoints ?? []) {
      this.#store.series("endpoint_pace", name, namespace).set(pace);
      this.#store.series("endpoint_suspect", name, namespace).set(suspect ? 1 : 0);
    }
  }

  #fillTarget(sample: LatencyTargetSample, pool: string): void {
    const store = this.#store, { target, model } = sample;
    const known = (value: number | undefined) => value !== undefined && !Number.isNaN(value);
    store.series("prediction_source", target, sample.source).set(1);
    for (const { source, mape, coverage, loss } of sample.scores) {
      if (known(mape)) store.series("prediction_mape", target, source).set(mape);
      if (known(coverage)) store.series("prediction_coverage", target, source).set(coverage);
      if (known(loss)) store.series("prediction_log_loss", target, source).set(loss!);
    }
    if (known(sample.overSlo)) store.series("prediction_over_slo", pool, target).set(sample.overSlo!);
    store.series("prediction_rows", target, "reservoir").set(sample.reservoirRows);
    store.series("prediction_rows", target, "held_back").set(sample.heldBackRows);
    if (model) {
      store.series("prediction_model_age_seconds", target).set(model.ageMs / 1000);
      store.series("prediction_model_trees", target).set(model.trees);
    }
    for (const [source, loss] of Object.entries(sample.trialLoss)) {
      if (known(loss)) store.series("prediction_trial_loss", target, source).set(loss);
    }
  }

  #names({ model, requestedModel }: PredictionNames, learned: boolean): readonly [string, string] {
    return [this.#model(requestedModel, learned), this.#model(model, learned)];
  }

  #timesOf({ target, model, requestedModel }: PredictionRecord): Times {
    const key = `${target}\0${model}\0${requestedModel}`;
    const known = this.#times.get(key);
    if (known) return known;
    const store = this.#store, names = this.#names({ model, requestedModel }, true);
    const ttft = target === "ttft";
    const times = {
      predicted: store.series(ttft ? "request_predicted_ttft_seconds" : "request_predicted_tpot_seconds", ...names),
      actual: store.series(ttft ? "prediction_actual_ttft_seconds" : "prediction_actual_tpot_seconds", ...names),
      lastPredicted: store.series("inference_request_metric", ...names, `predicted_${target}`),
      lastActual: store.series("inference_request_metric", ...names, target),
    };
    this.#times.set(key, times);
    return times;
  }

  #durationsOf(names: PredictionNames): Durations {
    const key = `${names.model}\0${names.requestedModel}`;
    const known = this.#durations.get(key);
    if (known) return known;
    const store = this.#store, labels = this.#names(names, true);
    const durations = {
      times: [
        store.series("request_ttft_prediction_duration_seconds", ...labels),
        store.series("request_tpot_prediction_duration_seconds", ...labels),
      ],
      last: ["ttft_prediction_duration", "tpot_prediction_duration"].map((type) =>
        store.series("inference_request_metric", ...labels, type)
      ),
    };
    this.#durations.set(key, durations);
    return durations;
  }

  #accuracyOf({ target, model }: PredictionRecord, { name, namespace }: { name: string; namespace: string }): Accuracy {
    const key = `${target}\0${model}\0${name}\0${namespace}`;
    const known = this.#accuracy.get(key);
    if (known) return known;
    const store = this.#store, labels = [this.#model(model, true), name, namespace, target] as const;
    const accuracy = {
      labels: store.series("prediction_labels_total", ...labels),
      within: store.series("prediction_within_high_total", ...labels),
      error: store.series("prediction_relative_error_total", ...labels),
      loss: store.series("prediction_pinball_loss_total", ...labels),
    };
    this.#accuracy.set(key, accuracy);
    return accuracy;
  }
}

/** What became of a target; undefined where nobody can tell. */
function resultOf({ outcome }: RequestRecord, tookMs: number | undefined, targetMs: number): string | undefined {
  if (tookMs !== undefined) return tookMs <= targetMs ? "met" : "missed";
  if (outcome.startsWith("rejected-") || outcome === "evicted") return "refused";
  return failures.has(outcome) ? "failed" : undefined;
}

function leftAfterMs({ outcome, durationMs }: RequestRecord): number | undefined {
  return outcome === "client-disconnect" ? durationMs : undefined;
}
