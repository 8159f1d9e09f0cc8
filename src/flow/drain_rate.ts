/** How much of the past counts: about as long as a decode of a chat answer takes. */
const memoryMs = 3_000;
/** Less than this says nothing of a rate: what comes first is what just had room. */
const dispatchesMin = 8;
const waitedMinMs = 1_000;

/** Dispatches a millisecond of a lane while something waits in it: an exponential mean over that time alone. */
export class DrainRate {
  #dispatches = 0;
  #waitedMs = 0;
  #atMs = NaN;

  /** Something waits now, and nothing did. */
  began(nowMs: number): void {
    this.#atMs = nowMs;
  }

  dispatched(nowMs: number): void {
    this.#until(nowMs);
    this.#dispatches++;
  }

  /** Nothing waits any more. */
  ended(nowMs: number): void {
    this.#until(nowMs);
    this.#atMs = NaN;
  }

  /** Undefined while too little was seen. */
  perMs(nowMs: number): number | undefined {
    this.#until(nowMs);
    if (this.#dispatches < dispatchesMin || this.#waitedMs < waitedMinMs) return undefined;
    return this.#dispatches / this.#waitedMs;
  }

  #until(nowMs: number): void {
    const ms = nowMs - this.#atMs;
    if (!(ms > 0)) return;
    this.#atMs = nowMs;
    const kept = Math.exp(-ms / memoryMs);
    this.#waitedMs = this.#waitedMs * kept + ms;
    this.#dispatches *= kept;
  }
}
