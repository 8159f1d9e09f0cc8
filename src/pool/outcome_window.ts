/** Requests and failures of the last while, in ten buckets: what is older falls out bucket by bucket. */
export class OutcomeWindow {
  readonly #bucketMs: number;
  readonly #requests = new Float64Array(buckets);
  readonly #failures = new Float64Array(buckets);
  /** Number of the newest bucket since time zero. */
  #newest = 0;

  constructor(windowMs: number) {
    this.#bucketMs = windowMs / buckets;
  }

  add(nowMs: number, failed: boolean): void {
    const bucket = this.#turn(nowMs);
    this.#requests[bucket]++;
    if (failed) this.#failures[bucket]++;
  }

  sum(nowMs: number): { readonly requests: number; readonly failures: number } {
    this.#turn(nowMs);
    let requests = 0, failures = 0;
    for (let i = 0; i < buckets; i++) {
      requests += this.#requests[i];
      failures += this.#failures[i];
    }
    return { requests, failures };
  }

  clear(): void {
    this.#requests.fill(0);
    this.#failures.fill(0);
  }

  /** Empties what has fallen out since the last call; returns the bucket of now. */
  #turn(nowMs: number): number {
    const now = Math.floor(nowMs / this.#bucketMs);
    const past = Math.min(buckets, now - this.#newest);
    for (let i = 1; i <= past; i++) {
      const bucket = (this.#newest + i) % buckets;
      this.#requests[bucket] = this.#failures[bucket] = 0;
    }
    if (past === buckets) this.clear();
    if (past > 0) this.#newest = now;
    return this.#newest % buckets;
  }
}

const buckets = 10;
