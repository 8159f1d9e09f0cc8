/** Which endpoint of a pool stands out from the others. */

export interface RatedEndpoint {
  readonly slot: number;
  /** Share of its requests that went well. */
  readonly rate: number;
}

// Envoy's factor: an outlier lies so many deviations below the mean.
const deviations = 1.9;

/**
 * The endpoint with the lowest success rate, where it lies below the mean of the others by more than `gap` and by more
 * than their spread explains. The others alone are measured: in a small pool an outlier would widen the deviation it is
 * judged by until nothing is one. None among fewer than three, since between two nobody can say which is the odd one.
 */
export function failingOutlier(
  rated: readonly RatedEndpoint[],
  gap: number,
): RatedEndpoint & { readonly othersRate: number } | undefined {
  if (rated.length < 3) return undefined;
  const worst = rated.reduce((a, b) => b.rate < a.rate ? b : a);
  const others = rated.filter((one) => one !== worst).map(({ rate }) => rate);
  const mean = others.reduce((sum, rate) => sum + rate, 0) / others.length;
  const deviation = Math.sqrt(others.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / others.length);
  if (mean - worst.rate <= Math.max(gap, deviations * deviation)) return undefined;
  return { ...worst, othersRate: mean };
}

// Slow once is a long prompt nobody knew of.
const slowTimesMin = 3;
// Between the factor that ejects and this share of it an endpoint is neither slow nor well again.
const wellBelow = 0.75;

/** Whether an endpoint has been slow for long enough: three judgements in a row, each with new samples. */
export class SlowStreak {
  #times = 0;
  #samples = 0;

  /** `slowness` against the others, NaN for not known; `noticeable` where anyone would mind. */
  judge(slowness: number, samples: number, factor: number, noticeable: boolean): boolean {
    if (Number.isNaN(slowness) || samples === this.#samples) return false;
    this.#samples = samples;
    if (slowness >= factor && noticeable) this.#times++;
    else if (slowness < factor * wellBelow || !noticeable) this.#times = 0;
    return this.#times >= slowTimesMin;
  }
}
