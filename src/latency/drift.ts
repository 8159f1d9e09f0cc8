import { Quantile } from "../core/mod.ts";
import { pinballLoss } from "./corrections.ts";
import type { Label } from "./record.ts";

/** Labels that the figures are of. */
const window = 1000;
/** Pairs kept to be looked at. */
const pairsMax = 500;
/** Predicted over wanted is told of requests so old at most. */
const wantedMaxMs = 120_000;

/** One prediction and what came of it. */
export interface Pair {
  /** -1: the endpoint is gone. */
  readonly slot: number;
  readonly atMs: number;
  readonly medianMs: number;
  readonly highMs: number;
  readonly actualMs: number;
  /** It took at least so long. */
  readonly censored: boolean;
}

/** What was told, against what came: of the last 1,000 labels. */
export interface DriftReport {
  readonly labels: number;
  /** Mean absolute error of the median relative to the label; NaN without labels, as the others. */
  readonly mape: number;
  /** Pinball loss of the high quantile, milliseconds. */
  readonly pinballMs: number;
  /** Share of labels at most the high prediction. */
  readonly coverage: number;
  /** p90 of the high prediction over the target it was to meet, of requests that have one; NaN: there was none lately. */
  readonly predictedOverSlo: number;
}

/** Keeps the score of what clients were told, corrections included. */
export class Drift {
  readonly #quantile: number;
  readonly #errors = new Float64Array(window);
  readonly #losses = new Float64Array(window);
  readonly #covered = new Float64Array(window);
  readonly #pairs: Pair[] = [];
  readonly #ratios = new Quantile(0.9, 256);
  #ratioAtMs = -Infinity;
  #count = 0;
  #nowMs = 0;

  constructor(quantile: number) {
    this.#quantile = quantile;
  }

  add({ slot, medianMs, highMs, ms, censored }: Label, nowMs: number): void {
    const at = this.#count++ % window;
    this.#nowMs = nowMs;
    this.#errors[at] = Math.abs(ms - medianMs) / ms;
    this.#losses[at] = pinballLoss(ms - highMs, this.#quantile);
    this.#covered[at] = ms <= highMs ? 1 : 0;
    this.#pairs[(this.#count - 1) % pairsMax] = { slot, atMs: nowMs, medianMs, highMs, actualMs: ms, censored };
  }

  wanted(ratio: number, atMs: number): void {
    this.#ratioAtMs = this.#nowMs = atMs;
    this.#ratios.add(ratio);
  }

  report(nowMs: number = this.#nowMs): DriftReport {
    const n = Math.min(window, this.#count);
    const mean = (values: Float64Array) => values.subarray(0, n).reduce((sum, value) => sum + value, 0) / n;
    const recent = nowMs - this.#ratioAtMs <= wantedMaxMs;
    return {
      labels: this.#count,
      mape: mean(this.#errors),
      pinballMs: mean(this.#losses),
      coverage: mean(this.#covered),
      predictedOverSlo: recent ? this.#ratios.value() : NaN,
    };
  }

  /** Whether a request had a target, ever. */
  get everWanted(): boolean {
    return this.#ratios.count > 0;
  }

  /** Another endpoint has the slot. */
  reset(slot: number): void {
    for (const [i, pair] of this.#pairs.entries()) if (pair.slot === slot) this.#pairs[i] = { ...pair, slot: -1 };
  }

  /** The last predictions, oldest first. */
  pairs(): Pair[] {
    const from = this.#count % pairsMax;
    return this.#count <= pairsMax ? this.#pairs.slice() : [...this.#pairs.slice(from), ...this.#pairs.slice(0, from)];
  }
}
