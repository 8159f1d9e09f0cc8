import {
  AttemptEnd,
  type AttemptReport,
  type EndpointTable,
  givePermit,
  type Placement,
  type Reservation,
  type Timer,
} from "../core/mod.ts";
import type { Prediction } from "../latency/mod.ts";
import type { PrefixTicket } from "./parts.ts";

/** What a choice took, and whom to tell of it. */
export interface PlacedParts {
  readonly table: EndpointTable;
  readonly placement: Placement;
  readonly reservation: Reservation;
  readonly ticket: PrefixTicket | undefined;
  /** Prompt tokens the endpoint is believed to hold, and those it has to compute. */
  readonly cachedTokens: number;
  readonly uncachedTokens: number;
  /** Uncached tokens of this request and of those ahead of it there. */
  readonly workTokens: number;
  /** Takes the prompt for computed when it should be; cancelled once that is known, or nobody asks any more. */
  readonly computed?: Timer;
  /** The half-open permit; 0 for none. */
  readonly permit: number;
  readonly report: (report: AttemptReport) => void;
  /** What it is predicted to take there. */
  readonly prediction?: Prediction;
}

/** A choice made and paid for: the endpoint's load already counts the request. Given back exactly once. */
export class Placed {
  readonly placement: Placement;
  readonly reservation: Reservation;
  readonly ticket: PrefixTicket | undefined;
  readonly cachedTokens: number;
  readonly uncachedTokens: number;
  readonly prediction: Prediction | undefined;
  /** How long it waited for its turn, and whom that is charged to; absent where it did not. */
  waited: { readonly ms: number; readonly account: number; readonly outputTokens: number } | undefined;
  /** Called once, when the answer begins or the place is given back. */
  onBegun: (() => void) | undefined;
  readonly #parts: PlacedParts;
  readonly #generation: number;
  #permit: number;

  constructor(parts: PlacedParts) {
    this.placement = parts.placement;
    this.reservation = parts.reservation;
    this.ticket = parts.ticket;
    this.cachedTokens = parts.cachedTokens;
    this.uncachedTokens = parts.uncachedTokens;
    this.prediction = parts.prediction;
    this.#parts = parts;
    this.#permit = parts.permit;
    this.#generation = parts.table.generation[parts.placement.slot];
  }

  get slot(): number {
    return this.placement.slot;
  }

  /**
   * The first token, or the first byte of another answer, came `ms` after the request was sent. With `stream` the time
   * tells of the endpoint's speed; of a plain answer it holds the whole generation.
   */
  answered(ms: number, status: number, stream: boolean): void {
    this.#begun();
    this.reservation.firstByte();
    const ok = status >= 200 && status < 300;
    // The prompt is computed: it stays in the endpoint's cache whatever becomes of the answer.
    if (ok) this.ticket?.confirm();
    const speed = ok && stream;
    if (speed) this.prediction?.firstToken(ms);
    this.report(status < 500 ? AttemptEnd.Answered : AttemptEnd.Status, speed ? ms : NaN);
  }

  /** Tells the pool how the request fared there. */
  report(end: AttemptEnd, firstTokenMs = NaN): void {
    const { report, workTokens } = this.#parts;
    const permit = this.#permit;
    this.#givePermit();
    report({ slot: this.slot, generation: this.#generation, end, firstTokenMs, workTokens, permit });
  }

  /** Gives everything back; the prefix claim of an endpoint that computed nothing is withdrawn. */
  release(): void {
    this.#begun();
    // Does nothing where an answer has confirmed it.
    this.ticket?.withdraw();
    // Before the place: who is next there needs both.
    this.#givePermit();
    this.prediction?.release();
    this.reservation.release();
  }

  #begun(): void {
    this.#parts.computed?.cancel();
    const { onBegun } = this;
    this.onBegun = undefined;
    onBegun?.();
  }

  #givePermit(): void {
    givePermit(this.#parts.table, this.slot, this.#permit);
    this.#permit = 0;
  }
}
