/**
 * How slowly each endpoint answers against the others at similar work.
 *
 * Work is the uncached prompt tokens ahead of and in a request, in classes that double. A class has one reference for the
 * whole pool, the mean of the logarithm of its times; an endpoint's bias is the mean of how far its own lie from it. The
 * references make different work comparable and nothing else: an endpoint is judged by its bias against the median of the
 * others', so that it does not matter how much of a reference it made itself, nor whether all are slow today.
 */
export class LatencyBias {
  readonly #references = new Float64Array(classes).fill(NaN);
  readonly #rows: (Row | undefined)[] = [];

  /** The first token of `workTokens` came `ms` after the request was sent. */
  observe(slot: number, workTokens: number, ms: number): void {
    if (!(ms > 0)) return;
    const log = Math.log(ms);
    const work = Math.min(
      classes - 1,
      Math.max(0, Math.floor(Math.log2(Math.max(workTokens, leastTokens) / leastTokens))),
    );
    const reference = this.#references[work];
    this.#references[work] = Number.isNaN(reference) ? log : reference + referenceWeight * (log - reference);
    const row = this.#rows[slot] ??= { bias: 0, typical: log, samples: 0 };
    row.samples++;
    // The plain mean at first, then an exponential one.
    const weight = Math.max(biasWeight, 1 / row.samples);
    row.bias += weight * (log - this.#references[work] - row.bias);
    row.typical += weight * (log - row.typical);
  }

  forget(slot: number): void {
    this.#rows[slot] = undefined;
  }

  samples(slot: number): number {
    return this.#rows[slot]?.samples ?? 0;
  }

  /** The endpoint's typical time to the first token; NaN before the first. */
  typicalMs(slot: number): number {
    return Math.exp(this.#rows[slot]?.typical ?? NaN);
  }

  /**
   * Tells of an endpoint how many times slower it is than the median of the others among `slots`, as all stand now; NaN
   * while fewer than two of them, or the endpoint itself, have `samplesMin` samples: between two nobody can say which is the
   * odd one. Sorts once, however many are asked about.
   */
  against(slots: readonly number[], samplesMin: number): (slot: number) => number {
    const known = new Set(slots.filter((slot) => this.samples(slot) >= samplesMin));
    const biases = Array.from(known, (slot) => this.#rows[slot]!.bias).sort((a, b) => a - b);
    return (slot) => {
      if (this.samples(slot) < samplesMin) return NaN;
      const { bias } = this.#rows[slot]!;
      // It is not one of the others: what lies behind it moves up.
      const own = known.has(slot) ? biases.indexOf(bias) : biases.length;
      const others = known.has(slot) ? biases.length - 1 : biases.length;
      if (others < 2) return NaN;
      const at = (rank: number) => biases[rank < own ? rank : rank + 1];
      const middle = others >> 1;
      return Math.exp(bias - (others % 2 ? at(middle) : (at(middle - 1) + at(middle)) / 2));
    };
  }
}

interface Row {
  bias: number;
  typical: number;
  samples: number;
}

// Below this an engine's fixed costs decide, not the prompt.
const leastTokens = 256;
// Up to 256 × 2^15 tokens, 8 M.
const classes = 16;
// About the last 64 requests of a class make its reference, the last 32 of an endpoint its bias.
const referenceWeight = 1 / 64;
const biasWeight = 1 / 32;
