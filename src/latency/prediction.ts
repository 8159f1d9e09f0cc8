import type { Slo } from "../core/mod.ts";
import type { PriorInput } from "./prior.ts";
import { labelNumbers, latencyRecords, writeLabel } from "./record.ts";
import type { SloEntry, SloLedger } from "./slo_ledger.ts";

type ByTarget<T> = readonly [ttft: T, tpot: T];

/** What was predicted for a request at the endpoint it went to, and from what. Times are milliseconds. */
export interface Told {
  readonly slot: number;
  /** Clock milliseconds of the decision. */
  readonly atMs: number;
  readonly generation: number;
  readonly input: PriorInput;
  readonly medianMs: ByTarget<number>;
  readonly highMs: ByTarget<number>;
  readonly versions: ByTarget<number>;
  readonly sums: ByTarget<readonly [number, number]>;
  readonly row: readonly number[];
  /** Counts among the targets of those that run there. */
  readonly tpotSloMs?: number;
  readonly slo: Slo;
  /** From the request's arrival to its decision: its TTFT target counts from there. */
  readonly waitedMs: number;
  readonly model: string;
  readonly requestedModel: string;
}

/** High predictions over the targets they are to meet; NaN where there is none. */
export function overTargets(
  { ttftMs = NaN }: Slo,
  tpotSloMs = NaN,
  waitedMs: number,
  highMs: ByTarget<number>,
): ByTarget<number> {
  return [(waitedMs + highMs[0]) / ttftMs, highMs[1] / tpotSloMs];
}

/** Told of every label, as the client's edge sees it. */
export type PredictionObserver = (target: 0 | 1, told: Told, ms: number, censored: boolean) => void;

/** Of fewer tokens the mean time is that of how they were sent. */
const leastTokens = 4;

/** One placed request's prediction: told how it went, it becomes labels to learn from. Each is told once. */
export class Prediction {
  readonly told: Told;
  readonly #tell: (kind: number, numbers: readonly number[]) => void;
  readonly #ledger: SloLedger;
  readonly #observer: PredictionObserver | undefined;
  #entry: SloEntry | undefined;
  #first = false;
  #ended = false;

  constructor(
    told: Told,
    tell: (kind: number, numbers: readonly number[]) => void,
    ledger: SloLedger,
    observer?: PredictionObserver,
  ) {
    this.told = told;
    this.#tell = tell;
    this.#ledger = ledger;
    this.#observer = observer;
  }

  /**
   * The request goes there: its target counts among those of others, unless it is likely missed as it is. Nobody can be spared
   * for it then, and one client that asks for what cannot be had would keep all others from the endpoint.
   */
  begin(): void {
    const { slot, tpotSloMs, slo, waitedMs, medianMs, highMs } = this.told;
    if (tpotSloMs! >= medianMs[1]) this.#entry = this.#ledger.enter(slot, tpotSloMs!);
    if (slo.ttftMs === undefined && tpotSloMs === undefined) return;
    this.#tell(latencyRecords.slo, overTargets(slo, tpotSloMs, waitedMs, highMs));
  }

  get ttftMs(): number {
    return this.told.medianMs[0];
  }

  get tpotMs(): number {
    return this.told.medianMs[1];
  }

  /** The first token came `ms` after the request was sent. */
  firstToken(ms: number): void {
    if (this.#first) return;
    this.#first = true;
    if (this.#entry) this.#entry.firstAtMs = this.told.atMs + ms;
    this.#label(0, ms, false);
  }

  /** No first token came in `ms`, and nobody waits for it any more. */
  gaveUp(ms: number): void {
    if (this.#first) return;
    this.#first = true;
    this.#label(0, ms, true);
  }

  /** The answer is complete: `outputTokens` in all, the last `ms` after the first. */
  completed(ms: number, outputTokens: number): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#tell(latencyRecords.output, [outputTokens]);
    if (outputTokens >= leastTokens) this.#label(1, ms / (outputTokens - 1), false);
  }

  /** A plain answer of `outputTokens` came `ms` after the request was sent: what is not its first token's is the others'. */
  completedWhole(ms: number, outputTokens: number): void {
    this.completed(Math.max(ms - this.ttftMs, ms / 10), outputTokens);
  }

  /** The request is gone from its endpoint. */
  release(): void {
    if (!this.#entry) return;
    this.#ledger.leave(this.told.slot, this.#entry);
    this.#entry = undefined;
  }

  #label(target: 0 | 1, ms: number, censored: boolean): void {
    if (!(ms > 0)) return;
    this.#observer?.(target, this.told, ms, censored);
    const { slot, generation, input, medianMs, highMs, versions, sums, row } = this.told;
    this.#tell(
      latencyRecords.label,
      writeLabel({
        ...input,
        slot,
        generation,
        target,
        ms,
        censored,
        medianMs: medianMs[target],
        highMs: highMs[target],
        version: versions[target],
        sums: sums[target],
        row,
      }, new Array(labelNumbers)),
    );
  }
}
