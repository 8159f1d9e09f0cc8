/** When models are trained, and which one predicts: a challenger replaces the champion only where it is better. */
import type { Clock, Timer } from "../core/mod.ts";
import { pinballLoss } from "./corrections.ts";
import { columns, modelColumns, type Target, targets } from "./features.ts";
import { ForestError, type ForestShop, type MadeForest } from "./forest_shop.ts";
import type { TrainingParameters } from "./trainer.ts";
import { type HeldBack, judgedLeast, type Learner } from "./learner.ts";
import { ForestKind, High, type LatencyState, Median, Prior } from "./state.ts";

/** Training takes at most one part in so many of a core's time. */
const restFactor = 19;
/** New labels that are worth another model: so many, and such a share of what there is. */
const newLeast = 50, newShare = 0.05;
/**
 * What trees add must be worth their noise: whoever takes the endpoint with the least prediction takes the one whose error is
 * most to its favour.
 */
const worthwhile = 0.9;
/** A challenger whose coverage is off by more is not believed, however small its loss. */
const coverageOff = 0.1;

/** llm-d's, but that a leaf stands for 20 rows: what is left of the prior is mostly chance. */
export const boosting = {
  rowSample: 0.8,
  columnSample: 0.8,
  minChildWeight: 20,
  gamma: 0.2,
  l1: 0.01,
  l2: 0.1,
  bins: 256,
};

export interface GovernorOptions extends Pick<TrainingParameters, "trees" | "depth" | "learningRate" | "seed"> {
  readonly quantile: number;
  /** False: models are loaded and judged, none is trained. */
  readonly training: boolean;
  readonly intervalMs: number;
  /** Labels of a target before its first model. */
  readonly labelsMin: number;
}

/** How a model came to predict, or not. */
export interface Verdict {
  readonly target: Target;
  readonly promoted: boolean;
  /** Mean pinball loss over the held-back labels, of median and high quantile, in log space. */
  readonly challenger: number;
  readonly prior: number;
  /** NaN: there is no champion. */
  readonly champion: number;
  /** Share of held-back labels at most the challenger's high prediction. */
  readonly coverage: number;
  readonly rows: number;
  readonly tookMs: number;
}

export interface GovernorObserver {
  judged?(verdict: Verdict): void;
  failed?(target: Target, cause: unknown): void;
}

/** Where a packed forest is published to all isolates; see `Forests` of the hot path. */
export interface ForestPublisher {
  publish(target: number, packed: Uint8Array | undefined): number;
}

export interface GovernorParts {
  readonly learner: Learner;
  readonly state: LatencyState;
  readonly forests: ForestPublisher;
  readonly shop: ForestShop;
  readonly clock: Clock;
  readonly options: GovernorOptions;
  readonly observer?: GovernorObserver;
}

/** A champion's file. */
export interface Champion {
  readonly kind: ForestKind;
  readonly file: Uint8Array;
  readonly trees: number;
  /** Clock milliseconds. */
  readonly sinceMs: number;
}

export class Governor {
  readonly #parts: GovernorParts;
  readonly #champions: (Champion | undefined)[] = targets.map(() => undefined);
  readonly #trainedAt: number[] = targets.map(() => 0);
  readonly #verdicts: (Verdict | undefined)[] = targets.map(() => undefined);
  readonly #stopping = new AbortController();
  #timer: Timer | undefined;
  options: GovernorOptions;

  constructor(parts: GovernorParts) {
    this.#parts = parts;
    this.options = parts.options;
  }

  /** Begins to train now and then, where that is on. */
  start(): void {
    this.#later(this.options.intervalMs);
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#stopping.abort();
    await this.#parts.shop.stop();
  }

  champion(target: number): Champion | undefined {
    return this.#champions[target];
  }

  verdict(target: number): Verdict | undefined {
    return this.#verdicts[target];
  }

  /** Trains and judges a model of each target for which enough is new. */
  async round(): Promise<void> {
    for (const target of targets.keys()) {
      if (!this.#stopping.signal.aborted && this.#worthTraining(target)) await this.#train(target);
    }
  }

  /** A model file that predicts from now on, until another one or the prior is better. Rejects with `ForestError`. */
  async adopt(target: number, file: Uint8Array): Promise<void> {
    await this.#take(target, file, [0, this.#parts.state.offset(target, Prior, High)], false);
  }

  /** As `adopt`, for a champion of an earlier life with its corrections. A file that cannot be used is told of and left. */
  async goOn(target: number, file: Uint8Array, offsets: readonly [number, number], residual: boolean): Promise<void> {
    try {
      await this.#take(target, file, offsets, residual);
    } catch (error) {
      this.#parts.observer?.failed?.(targets[target], error);
    }
  }

  async #take(target: number, file: Uint8Array, offsets: readonly [number, number], residual: boolean): Promise<void> {
    const none = columns.map(() => new Float32Array(0));
    const made = await this.#parts.shop.load(targets[target], file, none, residual);
    this.#promote(target, made, offsets);
  }

  #later(ms: number): void {
    this.#timer = this.#parts.clock.after(ms, () => void this.#due(), { background: true });
  }

  async #due(): Promise<void> {
    const { clock } = this.#parts;
    const startMs = clock.now();
    if (this.options.training) await this.round();
    if (this.#stopping.signal.aborted) return;
    this.#later(Math.max(this.options.intervalMs, restFactor * (clock.now() - startMs)));
  }

  #worthTraining(target: number): boolean {
    const { learner } = this.#parts;
    const { size, added } = learner.reservoir(target);
    const held = learner.heldBack(target).length;
    return held >= judgedLeast && size + held >= this.options.labelsMin &&
      added - this.#trainedAt[target] >= Math.max(newLeast, newShare * size);
  }

  async #train(target: number): Promise<void> {
    const { learner, shop, observer } = this.#parts;
    const { trees, depth, learningRate, quantile, seed } = this.options;
    const own = modelColumns[targets[target]];
    const { columns: trained, labels, weights } = learner.rows(target, shop.ordered);
    const rows = labels.length;
    const held = learner.heldBack(target).slice();
    this.#trainedAt[target] = learner.reservoir(target).added;
    try {
      const heldBack = columns.map((_, c) => Float32Array.from(held, ({ row }) => row[c]));
      const champion = this.#champions[target];
      const before = champion &&
        await shop.load(targets[target], champion.file, heldBack, champion.kind === ForestKind.Residual);
      if (this.#stopping.signal.aborted) return;
      const made = await shop.train({
        target: targets[target],
        set: {
          featureNames: own.map(([name]) => name),
          featureTypes: own.map(() => "float" as const),
          rows: labels.length,
          columns: trained,
          labels,
          margins: new Float32Array(labels.length),
          weights,
        },
        parameters: {
          ...boosting,
          quantiles: quantile === 0.5 ? [0.5] : [0.5, quantile],
          trees,
          depth,
          learningRate,
          monotone: own.map(([, sign]) => sign),
          seed,
        },
        heldBack,
      }, this.#stopping.signal);
      if (!this.#stopping.signal.aborted) this.#judge(target, held, made, before, rows);
    } catch (error) {
      if (!this.#stopping.signal.aborted) observer?.failed?.(targets[target], error);
    }
  }

  #judge(
    target: number,
    held: readonly HeldBack[],
    made: MadeForest,
    before: MadeForest | undefined,
    rows: number,
  ): void {
    const { quantile } = this.options;
    const challenger = trial(held, made, quantile);
    const prior = trial(held, undefined, quantile);
    const champion = before && trial(held, before, quantile);
    const promoted = challenger.loss < prior.loss * worthwhile && !(challenger.loss >= champion?.loss!) &&
      Math.abs(challenger.coverage - quantile) <= coverageOff;
    if (promoted) this.#promote(target, made, challenger.offsets);
    const verdict: Verdict = {
      target: targets[target],
      promoted,
      challenger: challenger.loss,
      prior: prior.loss,
      champion: champion?.loss ?? NaN,
      coverage: challenger.coverage,
      rows,
      tookMs: made.tookMs,
    };
    this.#verdicts[target] = verdict;
    this.#parts.observer?.judged?.(verdict);
  }

  #promote(
    target: number,
    { kind, packed, file, trees }: MadeForest,
    offsets: readonly [number, number],
  ): void {
    const { forests, learner, state, clock } = this.#parts;
    const source = state.source(target), before = state.kind(target);
    // In between, the prior predicts.
    state.setSource(target, Prior);
    state.setKind(target, kind);
    try {
      forests.publish(target, packed);
    } catch (cause) {
      state.setKind(target, before);
      state.setSource(target, source);
      throw new ForestError("Cannot use the forest: there is no room for it", { cause });
    }
    learner.modelChanged(target, offsets);
    this.#champions[target] = { kind, file, trees, sinceMs: clock.now() };
  }
}

interface Trial {
  readonly loss: number;
  readonly coverage: number;
  /** Of median and high quantile, by which they are calibrated. */
  readonly offsets: readonly [number, number];
}

/** Calibrates by the older half of the labels and judges by the newer one. Without a forest: the prior. */
function trial(held: readonly HeldBack[], forest: MadeForest | undefined, quantile: number): Trial {
  const half = held.length >> 1;
  const shares = [0.5, quantile] as const;
  const predicted = (i: number, q: number) => {
    const begin = !forest || forest.kind === ForestKind.Residual ? held[i].base : 0;
    return begin + (forest ? forest.sums[q][i] : 0);
  };
  const offsets = shares.map((share, q) => {
    const errors = Float64Array.from({ length: half }, (_, i) => held[i].label - predicted(i, q)).sort();
    return errors[Math.min(half - 1, Math.floor(share * half))];
  }) as unknown as readonly [number, number];
  let loss = 0, covered = 0;
  for (let i = half; i < held.length; i++) {
    const median = predicted(i, Median) + offsets[0];
    const high = Math.max(median, predicted(i, 1) + offsets[1]);
    loss += pinballLoss(held[i].label - median, 0.5) + pinballLoss(held[i].label - high, quantile);
    if (held[i].label <= high) covered++;
  }
  const judged = held.length - half;
  return { loss: loss / (2 * judged), coverage: covered / judged, offsets };
}
