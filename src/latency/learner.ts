/** What labels teach, in the isolate that learns: priors, corrections, rows to train on, which source predicts. */
import type { Clock, EndpointTable, Prng } from "../core/mod.ts";
import { Corrections, type Score } from "./corrections.ts";
import { Drift, type DriftReport, type Pair } from "./drift.ts";
import { columnOf, modelColumns, targets } from "./features.ts";
import { PriorFits, priorTpotMs, priorTtftMs } from "./prior.ts";
import { latencyRecords, readLabel } from "./record.ts";
import { Reservoir, type Rows } from "./reservoir.ts";
import { ForestKind, type LatencyState, Model, Prior, type Source } from "./state.ts";

/** Labels held back from training, the latest: what a model is judged by before it predicts. A fifth of all, at most so many. */
const heldBackMax = 512, heldBackShare = 0.2;
/** Labels that must have come before the sources are compared, or a model is judged. */
export const judgedLeast = 64;
const outputWeight = 1 / 64;
/** A pace so much slower than the pool's makes an endpoint suspect, after so many labels. */
const sickFactor = 2, sickLabels = 12;

const effectiveTokens = columnOf.get("effective_input_tokens")!;

export interface LearnerParts {
  readonly state: LatencyState;
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly rng: Prng;
  readonly options: LearnerOptions;
  /** Version of the forest that predicts a target; 0: none. */
  readonly version: (target: number) => number;
  readonly observer?: LearnerObserver;
}

export interface LearnerOptions {
  readonly quantile: number;
  /** Rows kept to train on, of each target. */
  readonly rowsMax: number;
}

/** Told of what an operator should know. */
export interface LearnerObserver {
  /** Another source predicts a target from now on. */
  sourceChanged?(target: string, source: "prior" | "model", scores: readonly [prior: Score, model: Score]): void;
  /** An endpoint became suspect by its pace, or is no longer. */
  suspected?(slot: number, factor: number, sick: boolean): void;
}

/** What is known of one endpoint. */
export interface SlotKnowledge {
  readonly fits: ReturnType<PriorFits["dump"]>;
  /** By target and source. */
  readonly biases: readonly (readonly number[])[];
}

/** A label held back: its row, the corrected prior's logarithm, its own. */
export interface HeldBack {
  readonly row: Float64Array;
  readonly base: number;
  readonly label: number;
  readonly atMs: number;
}

/** What is learned of one target. */
class TargetLearner {
  readonly corrections: readonly [Corrections, Corrections];
  readonly heldBack: HeldBack[] = [];
  readonly reservoir: Reservoir;
  readonly drift: Drift;
  /** Which source predicts, as was told last. */
  source: Source = Prior;

  constructor(readonly target: number, { state, rng, options: { quantile, rowsMax } }: LearnerParts) {
    this.corrections = [
      new Corrections(state, target, Prior, quantile),
      new Corrections(state, target, Model, quantile),
    ];
    this.reservoir = new Reservoir(rowsMax, rng.fork());
    this.drift = new Drift(quantile);
  }
}

export class Learner {
  readonly #parts: LearnerParts;
  readonly fits: PriorFits;
  readonly #targets: readonly TargetLearner[];
  /** Mean of ln(actual ÷ what an average endpoint would take), by slot. */
  readonly #pace: Float64Array;
  readonly #paceLabels: Int32Array;
  readonly #sick: Uint8Array;

  constructor(parts: LearnerParts) {
    this.#parts = parts;
    this.fits = new PriorFits(parts.state);
    this.#targets = targets.map((_, target) => new TargetLearner(target, parts));
    this.#pace = new Float64Array(parts.state.slots);
    this.#paceLabels = new Int32Array(parts.state.slots);
    this.#sick = new Uint8Array(parts.state.slots);
  }

  /** Another endpoint has the slot. */
  slotAdded(slot: number): void {
    this.#parts.state.reset(slot);
    this.fits.reset(slot);
    for (const { corrections, drift } of this.#targets) {
      for (const each of corrections) each.reset(slot);
      drift.reset(slot);
    }
    this.#pace[slot] = this.#paceLabels[slot] = this.#sick[slot] = 0;
  }

  /** A record of a ring; false when it is somebody else's. */
  take(kind: number, numbers: Float64Array): boolean {
    if (kind === latencyRecords.label) this.#learn(readLabel(numbers));
    else if (kind === latencyRecords.output) this.#answered(numbers[0]);
    else if (kind === latencyRecords.slo) this.#wanted(numbers[0], numbers[1], this.#parts.clock.now());
    else return false;
    return true;
  }

  /** How a target's source did lately, and the other one. */
  scores(target: number): readonly [prior: Score, model: Score] {
    const [prior, model] = this.#targets[target].corrections;
    return [prior.score, model.score];
  }

  drift(target: number): DriftReport {
    return this.#targets[target].drift.report(this.#parts.clock.now());
  }

  /** Whether a request had such a target, ever. */
  everWanted(target: number): boolean {
    return this.#targets[target].drift.everWanted;
  }

  /** The last predictions of a target and what came of them, oldest first. */
  pairs(target: number): Pair[] {
    return this.#targets[target].drift.pairs();
  }

  /** Labels of an endpoint so far, of both targets. */
  labels(slot: number): number {
    return this.#paceLabels[slot];
  }

  reservoir(target: number): Reservoir {
    return this.#targets[target].reservoir;
  }

  heldBack(target: number): readonly HeldBack[] {
    return this.#targets[target].heldBack;
  }

  /** Rows to train a target's model on. */
  rows(target: number, ordered = false): Rows {
    const names = modelColumns[targets[target]].map(([name]) => name);
    return this.#targets[target].reservoir.rows(names, ordered);
  }

  /** How many times as long as at an average endpoint things take at `slot`; 1 where too little is known. */
  pace(slot: number): number {
    return this.#paceLabels[slot] < sickLabels ? 1 : Math.exp(this.#pace[slot]);
  }

  suspect(slot: number): boolean {
    return this.#sick[slot] === 1;
  }

  /** A new forest predicts `target`: its corrections begin at `offsets`. */
  modelChanged(target: number, offsets: readonly [number, number]): void {
    this.#targets[target].corrections[Model].restart(offsets);
    this.#use(target, Model);
  }

  /** What is known of a slot, for the next life of the router. */
  dumpSlot(slot: number): SlotKnowledge {
    const biases = this.#targets.map(({ corrections }) => corrections.map((each) => each.mean(slot)));
    return { fits: this.fits.dump(slot), biases };
  }

  /** Takes over what was known of an endpoint that has `slot` now. */
  restoreSlot(slot: number, { fits, biases }: SlotKnowledge): void {
    this.fits.restore(slot, fits);
    for (const [target, { corrections }] of this.#targets.entries()) {
      for (const [source, each] of corrections.entries()) each.restore(slot, biases[target]?.[source] ?? 0);
    }
  }

  #answered(outputTokens: number): void {
    const { state } = this.#parts;
    if (outputTokens > 0) state.outputTokens += outputWeight * (outputTokens - state.outputTokens);
  }

  /** What was predicted of a request with targets, over the targets; NaN where it has none. */
  #wanted(ttftRatio: number, tpotRatio: number, atMs: number): void {
    if (ttftRatio > 0) this.#targets[0].drift.wanted(ttftRatio, atMs);
    if (tpotRatio > 0) this.#targets[1].drift.wanted(tpotRatio, atMs);
  }

  #learn(label: ReturnType<typeof readLabel>): void {
    const { table, state, clock, version } = this.#parts;
    const { slot, target, ms, censored } = label;
    // Its endpoint is gone, and another has the slot.
    if (table.generation[slot] !== label.generation) return;
    const learner = this.#targets[target];
    const [prior, model] = learner.corrections;
    const nowMs = clock.now(), actual = Math.log(ms);
    if (!censored || ms > label.highMs) learner.drift.add(label, nowMs);
    // By what is known of the endpoint now: it may have been much less when the request was sent.
    const priorLn = Math.log(target === 0 ? priorTtftMs(state, slot, label) : priorTpotMs(state, slot, label));
    const base = priorLn + state.bias(target, Prior)[slot];
    const waited = target === 0 && label.waitMs > Math.exp(priorLn) / 2;
    const told = [Math.log(label.medianMs), Math.log(label.highMs)] as const;
    const by = (source: Source) => state.source(target) === source ? told : undefined;
    prior.observe(slot, [priorLn, priorLn], actual, { censored, waited, told: by(Prior) });
    if (label.version > 0 && label.version === version(target)) {
      const begin = state.kind(target) === ForestKind.Residual ? base : 0;
      model.observe(slot, [begin + label.sums[0], begin + label.sums[1]], actual, {
        censored,
        waited,
        told: by(Model),
      });
      this.#compare(target);
    }
    state.labelled(target, slot, nowMs);
    if (target === 0 && !censored) state.prefilled(slot, label.row[effectiveTokens], nowMs);
    if (censored && ms <= label.highMs) return;
    this.#keep(learner, { row: label.row, base, label: actual, atMs: nowMs });
    if (waited) return;
    this.#paced(slot, actual - Math.log(this.fits.pool(target, label)));
    if (target === 0) this.fits.ttft(slot, label, ms);
    else this.fits.tpot(slot, label, ms);
  }

  /** Held back first, then given to the reservoir. */
  #keep({ heldBack, reservoir }: TargetLearner, entry: HeldBack): void {
    heldBack.push(entry);
    const share = Math.ceil(heldBackShare * (reservoir.added + heldBack.length));
    if (heldBack.length <= Math.min(heldBackMax, Math.max(judgedLeast, share))) return;
    const { row, label, base, atMs } = heldBack.shift()!;
    reservoir.add(row, label - base, atMs);
  }

  #compare(target: number): void {
    const { state } = this.#parts;
    const [prior, model] = this.scores(target);
    if (model.labels < judgedLeast || prior.labels < judgedLeast) return;
    const source = state.source(target);
    if (source === Model && model.pinball > prior.pinball) this.#use(target, Prior);
    else if (source === Prior && model.pinball < prior.pinball) this.#use(target, Model);
  }

  #use(target: number, source: Source): void {
    const { state, observer } = this.#parts;
    state.setSource(target, source);
    if (this.#targets[target].source === source) return;
    this.#targets[target].source = source;
    observer?.sourceChanged?.(targets[target], source === Prior ? "prior" : "model", this.scores(target));
  }

  #paced(slot: number, error: number): void {
    const known = ++this.#paceLabels[slot];
    this.#pace[slot] += (Math.max(-3, Math.min(3, error)) - this.#pace[slot]) / Math.min(sickLabels * 2, known);
    if (known < sickLabels) return;
    const factor = Math.exp(this.#pace[slot]);
    const sick = this.#sick[slot] === 1;
    // Well again only when it is clearly below, so that it does not change at every label.
    if (sick ? factor < sickFactor * 0.75 : factor > sickFactor) {
      this.#sick[slot] = sick ? 0 : 1;
      this.#parts.observer?.suspected?.(slot, factor, !sick);
    }
  }
}
