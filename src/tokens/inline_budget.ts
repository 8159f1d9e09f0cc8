/** Milliseconds that one prompt may hold up the edge's isolate; half of what is promised, as machines vary. */
const targetMs = 2.5;

/** Cost of a body's byte before any was measured: code that is not compiled yet. */
const firstMsPerByte = 0.002;

/** Share by which the estimate follows a measurement below it. */
const decay = 0.1;

/** Bodies above are never handled inline, whatever was measured. */
const bytesCeiling = 64 * 1024;

/** Below, a body's size says little about its cost. */
const bytesFloor = 1024;

/**
 * How long a body may be so that its prompt is tokenized at once, by what earlier ones cost. Follows a slower measurement
 * at once and a faster one slowly, so that text that is expensive to tokenize lowers the bound for all.
 */
export class InlineBudget {
  #msPerByte = firstMsPerByte;
  /** Longest time a prompt took. */
  longestMs = 0;

  get bytesMax(): number {
    return Math.min(bytesCeiling, Math.floor(targetMs / this.#msPerByte));
  }

  /** Takes note that a body of `bytes` took `ms`. */
  spent(bytes: number, ms: number): void {
    if (ms > this.longestMs) this.longestMs = ms;
    const cost = ms / Math.max(bytes, bytesFloor);
    this.#msPerByte = cost > this.#msPerByte ? cost : this.#msPerByte + (cost - this.#msPerByte) * decay;
  }
}
