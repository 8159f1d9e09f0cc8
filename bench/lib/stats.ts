/** Numbers out of samples. */

/** The `share` quantile of ascending `sorted` (nearest rank); NaN when there is none. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))];
}

/** The middle of the samples; of an even number, the mean of the two in the middle. */
export function median(samples: readonly number[]): number {
  const sorted = Float64Array.from(samples).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function mean(samples: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < samples.length; i++) sum += samples[i];
  return sum / samples.length;
}

/** Collects measurements by name, one a round. */
export class Figures {
  readonly #samples = new Map<string, number[]>();

  /** One more measurement; a value that is not finite was not measured and is left out. */
  add(name: string, value: number): void {
    if (!Number.isFinite(value)) return;
    const samples = this.#samples.get(name);
    if (samples) samples.push(value);
    else this.#samples.set(name, [value]);
  }

  /** The median over the rounds so far; NaN when nothing was measured. */
  median(name: string): number {
    return median(this.#samples.get(name) ?? []);
  }

  /** Medians by name. */
  medians(digits = 4): Record<string, number> {
    return Object.fromEntries([...this.#samples].map(([name, samples]) => [name, round(median(samples), digits)]));
  }

  /** Medians by name; with more than one round also `NAME_min` and `NAME_max`. */
  toRecord(digits = 4): Record<string, number> {
    const record: Record<string, number> = {};
    for (const [name, samples] of this.#samples) {
      record[name] = round(median(samples), digits);
      if (samples.length === 1) continue;
      record[`${name}_min`] = round(Math.min(...samples), digits);
      record[`${name}_max`] = round(Math.max(...samples), digits);
    }
    return record;
  }
}

/** `value` with at most `digits` decimals. */
export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
