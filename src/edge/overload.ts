import { RouterError } from "../core/mod.ts";

/** What the router does itself before it refuses requests. */
export interface OverloadLimits {
  /** Time the event loop may be held, twice in a row: once is a collection of garbage. */
  readonly loopLagMs: number;
  /** Requests under way. */
  readonly requestsMax: number;
}

/** What was too much, and for whom. */
export type ShedReason = "loop-lag" | "requests";

/** 0: every request is taken. 1: those of negative priority are refused. 2: all are. */
export type OverloadLevel = 0 | 1 | 2;

// Negative priorities make room before the others feel it.
const softShare = 0.8;
// What has been passed is left only well below, so that load at the limit does not flip with every request.
const requestsBelow = 0.9;
const lagBelow = 0.5;
const retryAfterS = 1;

/**
 * Refuses requests at once, before their body is read, when one isolate has more to do than it can: each request that it
 * took would only make all others later.
 */
export class OverloadGuard {
  /** Replaced as a whole when configuration is read again. */
  limits: OverloadLimits;
  readonly #active: () => number;
  readonly #onShed: (reason: ShedReason, negative: boolean) => void;
  #lags: readonly [number, number] = [0, 0];
  #lagLevel: OverloadLevel = 0;
  #requestsLevel: OverloadLevel = 0;

  constructor(
    limits: OverloadLimits,
    active: () => number,
    onShed: (reason: ShedReason, negative: boolean) => void = () => {},
  ) {
    this.limits = limits;
    this.#active = active;
    this.#onShed = onShed;
  }

  /** The event loop was held for so long; told again and again. */
  lag(ms: number): void {
    this.#lags = [this.#lags[1], ms];
    const { loopLagMs } = this.limits;
    const [least, most] = [Math.min(...this.#lags), Math.max(...this.#lags)];
    this.#lagLevel = levelOf(this.#lagLevel, least / loopLagMs, most / loopLagMs, lagBelow);
  }

  get level(): OverloadLevel {
    const share = this.#active() / this.limits.requestsMax;
    this.#requestsLevel = levelOf(this.#requestsLevel, share, share, requestsBelow);
    return this.#lagLevel > this.#requestsLevel ? this.#lagLevel : this.#requestsLevel;
  }

  /** Why a request is not taken; undefined when it is. `priority` is asked only where it decides. */
  refusal(priority: () => number): RouterError | undefined {
    const { level } = this;
    if (level === 0) return undefined;
    const negative = priority() < 0;
    if (level === 1 && !negative) return undefined;
    this.#onShed(this.#lagLevel > this.#requestsLevel ? "loop-lag" : "requests", negative);
    return new RouterError("rejected-overloaded", "The router has too many requests under way", { retryAfterS });
  }
}

/** The level at shares of a limit, where `entering` raises it and `leaving` lowers it. */
function levelOf(level: OverloadLevel, entering: number, leaving: number, below: number): OverloadLevel {
  if (entering >= 1) return 2;
  if (level === 2 && leaving >= below) return 2;
  if (entering >= softShare) return 1;
  return level > 0 && leaving >= softShare * below ? 1 : 0;
}
