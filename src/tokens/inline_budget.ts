/** Milliseconds that one prompt may hold up the edge's isolate; half of what is promised, as machines vary. */
const targetMs = 2.5;

/** Cost of a body's byte before any was measured: code that is not compiled yet. */
const firstMsPerByte = 0.002;

/** Share by which the estimate follows a measurement below it, and by which it falls with each body that was too long. */
const decay = 0.1;
const relief = 0.03;

/** Bodies above are never handled inline, whatever was measured. */
const bytesCeiling = 64 * 1024;

/**
 * Bodies up to here are always handled inline: they take about a millisecond, and the way to a worker and back takes more.
 * A slow measurement of one is the machine's.
 */
const bytesAlways = 4096;

/** The bound rises by itself up to here: bodies as short as this come often enough to be measured. */
const bytesToMeasure = 8192;

/** Below, a body's size says little about its cost. */
const bytesFloor = 1024;

/**
 * How long a body may be so that its prompt is tokenized at once, by what earlier ones cost. A slower measurement counts
 * for at most double, as it may be a pause of the garbage collector, a faster one slowly. While the bound is so low that
 * nothing is measured, it rises by itself.
 */
export class InlineBudget {
  #msPerByte = firstMsPerByte;
  /** Longest time a prompt took. */
  longestMs = 0;

  get bytesMax(): number {
    return Math.max(bytesAlways, Math.min(bytesCeiling, Math.floor(targetMs / this.#msPerByte)));
  }

  /** Takes note that a body of `bytes` took `ms`. */
  spent(bytes: number, ms: number): void {
    if (ms > this.longestMs) this.longestMs = ms;
    const cost = ms / Math.max(bytes, bytesFloor);
    const own = this.#msPerByte;
    this.#msPerByte = cost > own ? Math.min(cost, own * 2) : own + (cost - own) * decay;
  }

  /** Takes note that a body was too long. */
  passed(): void {
    if (this.bytesMax < bytesToMeasure) this.#msPerByte *= 1 - relief;
  }
}
