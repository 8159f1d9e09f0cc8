/** A quantile of the last `windowSize` samples, sorted anew after every sixteenth of them. */
export class Quantile {
  readonly #share: number;
  readonly #samples: Float64Array;
  #added = 0;
  #sortedAt = 0;
  #value = NaN;

  constructor(share: number, windowSize: number) {
    this.#share = share;
    this.#samples = new Float64Array(windowSize);
  }

  /** Samples in the window. */
  get count(): number {
    return Math.min(this.#added, this.#samples.length);
  }

  add(sample: number): void {
    this.#samples[this.#added++ % this.#samples.length] = sample;
  }

  /** NaN before the first sample. */
  value(): number {
    if (this.#added === 0) return NaN;
    if (this.#sortedAt === 0 || this.#added - this.#sortedAt >= this.#samples.length / 16) {
      const sorted = this.#samples.slice(0, this.count).sort();
      this.#value = sorted[Math.min(sorted.length - 1, Math.floor(this.#share * sorted.length))];
      this.#sortedAt = this.#added;
    }
    return this.#value;
  }
}
