export interface RetryBudgetOptions {
  /** Further attempts a request pays for: 0.1 lets retries and hedges add a tenth to the load. */
  readonly ratio: number;
  /** Further attempts a second that need no request to pay for them, so that a quiet router may retry. */
  readonly minPerSecond: number;
  /** Attempts that may be saved up: a server that dies with this many requests loses none of them. */
  readonly burst: number;
}

/**
 * What keeps attempts after the first from multiplying a pool's trouble: over any time there are at most
 * `burst + ratio × requests + minPerSecond × seconds` of them. Each isolate has its own.
 */
export class RetryBudget {
  #saved: number;
  #atMs: number;

  constructor(nowMs: number, { burst }: RetryBudgetOptions) {
    this.#saved = burst;
    this.#atMs = nowMs;
  }

  /** A request is sent for the first time. */
  deposit(nowMs: number, options: RetryBudgetOptions): void {
    this.#refill(nowMs, options);
    this.#saved = Math.min(options.burst, this.#saved + options.ratio);
  }

  /** Whether a further attempt may be made now. */
  has(nowMs: number, options: RetryBudgetOptions): boolean {
    this.#refill(nowMs, options);
    return this.#saved >= 1;
  }

  /** Pays for a further attempt; false when there is nothing to pay with. */
  take(nowMs: number, options: RetryBudgetOptions): boolean {
    if (!this.has(nowMs, options)) return false;
    this.#saved--;
    return true;
  }

  #refill(nowMs: number, { minPerSecond, burst }: RetryBudgetOptions): void {
    const earned = minPerSecond * Math.max(0, nowMs - this.#atMs) / 1000;
    this.#saved = Math.min(burst, this.#saved + earned);
    this.#atMs = nowMs;
  }
}
