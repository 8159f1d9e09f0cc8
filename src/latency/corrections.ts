import { High, type LatencyState, Median, type Source } from "./state.ts";

/** Labels that an endpoint's bias is the mean of, and the last few whose middle shows a sudden change. */
const slowLabels = 24, fastLabels = 6;
/** The few are believed when their middle is so many mean deviations off: by chance that is one label in thousands. */
const suddenDeviations = 2;
/** Labels that a bias of 0 counts as: few labels move it little. */
const shrinkage = 3;
/** A single label counts for no more than a factor of e: a request that was stuck tells of itself. */
const outlier = 1.5;
/** Step of a quantile's offset, in mean deviations. */
const offsetStep = 0.05;
/** Labels that the scores are the mean of. */
const scoreLabels = 200;

/** What is known of a label besides. */
export interface Circumstances {
  readonly censored?: boolean;
  readonly waited?: boolean;
  /** In log space. */
  readonly told?: readonly [median: number, high: number];
}

/** Mean quality of late; in log space, so that a tenth too much counts the same at any length. */
export interface Score {
  /** Labels so far, up to 200. */
  readonly labels: number;
  /** Pinball loss, of median and high quantile together. */
  readonly pinball: number;
  /** Share of labels at most the high prediction. */
  readonly coverage: number;
  /** Mean absolute error of the median relative to the label. */
  readonly mape: number;
}

/**
 * What is learned of one way to predict one target: by endpoint how far it is off (bias), and by how much each quantile has to
 * be moved so that the stated share of labels is below it (conformal calibration, online). The share then holds also where the
 * prediction's own idea of its spread is wrong, and while things drift.
 */
export class Corrections {
  readonly #state: LatencyState;
  readonly #target: number;
  readonly #source: Source;
  readonly #slow: Float64Array;
  /** The last few errors of each endpoint, in no order. */
  readonly #last: Float64Array;
  readonly #few = new Float64Array(fastLabels);
  /** Labels of each endpoint, and those that its mean is of. */
  readonly #seen: Float64Array;
  readonly #counts: Int32Array;
  #deviation = 0.3;
  #score: Score = { labels: 0, pinball: 0, coverage: 0, mape: 0 };

  constructor(state: LatencyState, target: number, source: Source, public quantile: number) {
    this.#state = state;
    this.#target = target;
    this.#source = source;
    this.#slow = new Float64Array(state.slots);
    this.#last = new Float64Array(state.slots * fastLabels);
    this.#seen = new Float64Array(state.slots);
    this.#counts = new Int32Array(state.slots);
  }

  get score(): Score {
    return this.#score;
  }

  /** Labels of an endpoint so far. */
  count(slot: number): number {
    return this.#seen[slot];
  }

  /** Another endpoint has the slot. */
  reset(slot: number): void {
    this.#slow[slot] = this.#seen[slot] = this.#counts[slot] = 0;
    this.#writeBias(slot);
  }

  /** Another model predicts: nothing is known of it but these offsets. */
  restart(offsets: readonly [median: number, high: number]): void {
    for (let slot = 0; slot < this.#state.slots; slot++) this.reset(slot);
    this.#state.setOffset(this.#target, this.#source, Median, offsets[0]);
    this.#state.setOffset(this.#target, this.#source, High, offsets[1]);
    this.#score = { labels: 0, pinball: 0, coverage: 0, mape: 0 };
  }

  /**
   * A label, and what was predicted without corrections; all in log space. A `censored` label is a lower bound: it tells
   * something only where more was not predicted anyway. Of one that `waited` most of its time for a place nothing is learned of
   * the endpoint's pace: who ends when is chance. `told` is what was predicted with the corrections of then, where that was by
   * this: labels come late, and it is what was told that is to hold in the stated share of cases.
   */
  observe(
    slot: number,
    predicted: readonly [median: number, high: number],
    label: number,
    { censored = false, waited = false, told }: Circumstances = {},
  ): void {
    const state = this.#state, target = this.#target, source = this.#source;
    const bias = state.bias(target, source)[slot];
    const median = predicted[0] + bias + state.offset(target, source, Median);
    const high = Math.max(median, predicted[1] + bias + state.offset(target, source, High));
    if (censored && label <= high) return;
    this.#rate(median, high, label);
    if (!waited) this.#learnBias(slot, label - predicted[0]);
    this.#learnOffset(Median, 0.5, label > median);
    this.#learnOffset(High, this.quantile, label > (told?.[1] ?? high));
  }

  /** Mean of ln(actual ÷ predicted) at `slot`, without shrinking. */
  mean(slot: number): number {
    return this.#slow[slot];
  }

  /** Takes over what the mean was some time ago: it counts as a few labels. */
  restore(slot: number, mean: number): void {
    if (!Number.isFinite(mean) || mean === 0) return;
    this.#begin(slot, mean);
    this.#seen[slot] = fastLabels;
    this.#last.fill(mean, slot * fastLabels, (slot + 1) * fastLabels);
    this.#writeBias(slot);
  }

  #rate(median: number, high: number, label: number): void {
    const { labels, pinball, coverage, mape } = this.#score;
    const weight = 1 / Math.min(scoreLabels, labels + 1);
    const loss = (pinballLoss(label - median, 0.5) + pinballLoss(label - high, this.quantile)) / 2;
    this.#score = {
      labels: Math.min(scoreLabels, labels + 1),
      pinball: pinball + weight * (loss - pinball),
      coverage: coverage + weight * ((label <= high ? 1 : 0) - coverage),
      mape: mape + weight * (Math.abs(Math.expm1(median - label)) - mape),
    };
  }

  #learnBias(slot: number, error: number): void {
    const seen = this.#seen[slot]++;
    const near = seen === 0 ? error : clamp(error, this.#slow[slot] - outlier, this.#slow[slot] + outlier);
    this.#counts[slot] = Math.min(slowLabels, this.#counts[slot] + 1);
    this.#slow[slot] += (near - this.#slow[slot]) / this.#counts[slot];
    this.#last[slot * fastLabels + seen % fastLabels] = error;
    this.#deviation += (Math.min(outlier, Math.abs(error - this.#slow[slot])) - this.#deviation) / scoreLabels;
    if (seen >= fastLabels) {
      const middle = this.#middle(slot);
      const change = Math.abs(middle - this.#slow[slot]);
      // Something happened there: what was before says nothing of now.
      if (change > suddenDeviations * Math.max(this.#deviation, 0.05)) this.#begin(slot, middle);
    }
    this.#writeBias(slot);
  }

  /** The mean is as the last few labels say. */
  #begin(slot: number, mean: number): void {
    this.#slow[slot] = mean;
    this.#counts[slot] = fastLabels;
  }

  /** Median of the last few errors: that of a few requests that were stuck among them does not count. */
  #middle(slot: number): number {
    const few = this.#few;
    few.set(this.#last.subarray(slot * fastLabels, (slot + 1) * fastLabels));
    few.sort();
    return (few[fastLabels / 2 - 1] + few[fastLabels / 2]) / 2;
  }

  #writeBias(slot: number): void {
    const seen = this.#seen[slot];
    this.#state.bias(this.#target, this.#source)[slot] = this.#slow[slot] * seen / (seen + shrinkage);
  }

  #learnOffset(quantile: number, share: number, above: boolean): void {
    const state = this.#state;
    const offset = state.offset(this.#target, this.#source, quantile);
    const step = offsetStep * Math.max(this.#deviation, 0.01);
    state.setOffset(this.#target, this.#source, quantile, offset + step * (above ? share : share - 1));
  }
}

/** Loss of a quantile's prediction that is `error` below the label. */
export function pinballLoss(error: number, share: number): number {
  return Math.max(share * error, (share - 1) * error);
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
