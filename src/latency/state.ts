/**
 * What was learned, in memory that all isolates share: the control isolate writes, edges read while they decide. A number that
 * is read while it is written is the one before or after.
 *
 *   Int32   source and kind of each target
 *   8 B     offsets: target × source × quantile; output tokens; then columns by slot:
 *           ttftBase, ttftToken, tpotBase, tpotRequest, tpotToken, prefill, prefillAt, computedAt, labelAt, firstTokenAt,
 *           bias × 4
 *   8 B     of each isolate, by slot: strictest TPOT target among its requests there, how many have one
 */
const headerBytes = 64;
const globals = 16;
const slotColumns = 14;
/** Over which uncached prompt tokens sent to an endpoint count as lately. */
const latelyMs = 10_000;
const isolateColumns = 2;

/** What a prediction comes from: the prior with its corrections, or a model on top of it. */
export const sources = ["prior", "model"] as const;
export const Prior = 0, Model = 1;
export type Source = typeof Prior | typeof Model;

/** Median and configured high quantile. */
export const Median = 0, High = 1;

/** What a forest's sum is. */
export const ForestKind = {
  /** ln(actual ÷ prior), added to the prior's logarithm: our own. */
  Residual: 0,
  /** Milliseconds, from its own base score. */
  Milliseconds: 1,
  /** ln(milliseconds), from its own base score. */
  LogMilliseconds: 2,
} as const;
export type ForestKind = (typeof ForestKind)[keyof typeof ForestKind];

/** Expected output of a request of which nothing is known, until answers have ended. */
const outputTokensGuess = 256;
/** ln(high ÷ median) until it was measured. */
const spreadGuess = 0.4;

export class LatencyState {
  readonly slots: number;
  readonly isolates: number;
  readonly buffer: SharedArrayBuffer;
  readonly ttftBaseMs: Float64Array;
  readonly ttftTokenMs: Float64Array;
  readonly tpotBaseMs: Float64Array;
  readonly tpotRequestMs: Float64Array;
  readonly tpotTokenMs: Float64Array;
  readonly #prefill: Float64Array;
  readonly #prefillAtMs: Float64Array;
  readonly #computedAtMs: Float64Array;
  readonly #labelAtMs: Float64Array;
  /** When the last first token came, or is due where one was sent for since. */
  readonly #firstTokenAtMs: Float64Array;
  readonly #bias: readonly Float64Array[];
  readonly #header: Int32Array;
  readonly #globals: Float64Array;
  readonly #tpotSloMs: readonly Float64Array[];
  readonly #tpotSlos: readonly Float64Array[];

  static bytes(slots: number, isolates: number): number {
    return headerBytes + 8 * (globals + slots * (slotColumns + isolateColumns * isolates));
  }

  /** `isolates` share `buffer`; absent: a new one, in which nothing is known yet. */
  constructor(slots: number, isolates: number, buffer?: SharedArrayBuffer) {
    this.slots = slots;
    this.isolates = isolates;
    this.buffer = buffer ?? new SharedArrayBuffer(LatencyState.bytes(slots, isolates));
    this.#header = new Int32Array(this.buffer, 0, headerBytes / 4);
    let at = headerBytes;
    const take = (count: number) => {
      const column = new Float64Array(this.buffer, at, count);
      at += 8 * count;
      return column;
    };
    this.#globals = take(globals);
    this.ttftBaseMs = take(slots);
    this.ttftTokenMs = take(slots);
    this.tpotBaseMs = take(slots);
    this.tpotRequestMs = take(slots);
    this.tpotTokenMs = take(slots);
    this.#prefill = take(slots);
    this.#prefillAtMs = take(slots);
    this.#computedAtMs = take(slots);
    this.#labelAtMs = take(slots);
    this.#firstTokenAtMs = take(slots);
    this.#bias = Array.from({ length: 4 }, () => take(slots));
    this.#tpotSloMs = Array.from({ length: isolates }, () => take(slots));
    this.#tpotSlos = Array.from({ length: isolates }, () => take(slots));
    if (buffer) return;
    this.#labelAtMs.fill(-Infinity);
    this.#firstTokenAtMs.fill(-Infinity);
    this.outputTokens = outputTokensGuess;
    for (const target of [0, 1]) {
      for (const source of [Prior, Model] as const) this.setOffset(target, source, High, spreadGuess);
    }
  }

  /** Which of `sources` predicts a target. */
  source(target: number): Source {
    return Atomics.load(this.#header, target) as Source;
  }

  setSource(target: number, source: Source): void {
    Atomics.store(this.#header, target, source);
  }

  kind(target: number): ForestKind {
    return Atomics.load(this.#header, 2 + target) as ForestKind;
  }

  setKind(target: number, kind: ForestKind): void {
    Atomics.store(this.#header, 2 + target, kind);
  }

  /** Correction of a quantile, in log space: so that the stated share of labels is below it. */
  offset(target: number, source: Source, quantile: number): number {
    return this.#globals[target * 4 + source * 2 + quantile];
  }

  setOffset(target: number, source: Source, quantile: number, offset: number): void {
    this.#globals[target * 4 + source * 2 + quantile] = offset;
  }

  /** Mean output tokens of answers of late. */
  get outputTokens(): number {
    return this.#globals[8];
  }

  set outputTokens(tokens: number) {
    this.#globals[8] = tokens;
  }

  /** Labels of a target so far. */
  labels(target: number): number {
    return Atomics.load(this.#header, 4 + target);
  }

  /** Since the last label of `slot`; Infinity before the first. */
  labelAgeMs(slot: number, nowMs: number): number {
    return nowMs - this.#labelAtMs[slot];
  }

  /** So many labels told what is known of a target, in a former life. */
  told(target: number, labels: number): void {
    Atomics.store(this.#header, 4 + target, Math.max(this.labels(target), Math.min(labels, 2 ** 30)));
  }

  /** Since `slot` gave its last first token, or should have given one that was sent for since; Infinity before the first. */
  firstTokenAgeMs(slot: number, nowMs: number): number {
    return nowMs - this.#firstTokenAtMs[slot];
  }

  /** `slot` was sent a stream whose first token is due by then. Any isolate calls it. */
  firstTokenDue(slot: number, atMs: number): void {
    this.#firstTokenAtMs[slot] = atMs;
  }

  labelled(target: number, slot: number, nowMs: number): void {
    this.#labelAtMs[slot] = nowMs;
    if (target === 0) this.#firstTokenAtMs[slot] = nowMs;
    // Enough to know that there are some; it need not wrap.
    if (this.labels(target) < 2 ** 30) Atomics.add(this.#header, 4 + target, 1);
  }

  /** Mean of ln(actual ÷ predicted) at an endpoint, by slot. */
  bias(target: number, source: Source): Float64Array {
    return this.#bias[target * 2 + source];
  }

  /** Uncached prompt tokens a second that `slot` was sent lately. */
  prefillPerS(slot: number, nowMs: number): number {
    return this.#prefill[slot] * Math.exp(Math.min(0, this.#prefillAtMs[slot] - nowMs) / latelyMs);
  }

  /** `slot` was sent so many uncached prompt tokens. */
  prefilled(slot: number, tokens: number, nowMs: number): void {
    this.#prefill[slot] = this.prefillPerS(slot, nowMs) + tokens * 1000 / latelyMs;
    this.#prefillAtMs[slot] = nowMs;
  }

  /** Prompt tokens that `slot` has left to compute of what it was sent, at the pace it has; Infinity while that is not known. */
  leftTokens(slot: number, nowMs: number): number {
    const tokenMs = this.ttftTokenMs[slot];
    return tokenMs > 0 ? Math.max(0, this.#computedAtMs[slot] - nowMs) / tokenMs : Infinity;
  }

  /**
   * `slot` was sent a prompt of which it has so many tokens to compute, behind those it was sent before. Any isolate calls it; of
   * two at the very same moment one may be lost.
   */
  sent(slot: number, tokens: number, nowMs: number): void {
    this.#computedAtMs[slot] = Math.max(nowMs, this.#computedAtMs[slot]) + tokens * this.ttftTokenMs[slot];
  }

  /** Another endpoint has the slot. */
  reset(slot: number): void {
    this.#computedAtMs[slot] = 0;
    this.#labelAtMs[slot] = this.#firstTokenAtMs[slot] = -Infinity;
    this.#prefill[slot] = 0;
    for (const column of this.#bias) column[slot] = 0;
  }

  /** One isolate's requests with a TPOT target: the strictest by slot (0: none), and how many. */
  sloCells(isolate: number): { readonly strictestMs: Float64Array; readonly count: Float64Array } {
    return { strictestMs: this.#tpotSloMs[isolate], count: this.#tpotSlos[isolate] };
  }

  /** The strictest TPOT target among the requests at `slot`; 0: none has one. */
  strictestTpotMs(slot: number): number {
    let strictest = 0;
    for (const column of this.#tpotSloMs) {
      const ms = column[slot];
      if (ms > 0 && (strictest === 0 || ms < strictest)) strictest = ms;
    }
    return strictest;
  }

  /** Requests at `slot` with a TPOT target. */
  tpotSlos(slot: number): number {
    let count = 0;
    for (const column of this.#tpotSlos) count += column[slot];
    return count;
  }

  /** An isolate is gone, and its requests with it. */
  releaseIsolate(isolate: number): void {
    this.#tpotSloMs[isolate].fill(0);
    this.#tpotSlos[isolate].fill(0);
  }
}
