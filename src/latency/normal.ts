/** Probability that a standard normal variable is at most `z`. Abramowitz & Stegun 7.1.26: wrong by at most 1.5e-7. */
export function normalShare(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = series * Math.exp(-x * x) / 2;
  return z < 0 ? tail : 1 - tail;
}

/** The `z` of which a share in (0, 1) is at most; by bisection of `normalShare`, for use at start. */
export function normalQuantile(share: number): number {
  let low = -8, high = 8;
  for (let step = 0; step < 60; step++) {
    const middle = (low + high) / 2;
    if (normalShare(middle) < share) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** A prediction that is sure to the millisecond is not believed: at least this much of spread in log space. */
const leastSpread = 0.02;

/** Probability to be at most `targetMs`, of a log-normal time with this median, and a high quantile that is `z` deviations up. */
export function shareBelow(targetMs: number, medianMs: number, highMs: number, z: number): number {
  if (targetMs === Infinity) return 1;
  if (!(targetMs > 0)) return 0;
  const spread = Math.max(leastSpread, Math.log(highMs / medianMs) / z);
  return normalShare(Math.log(targetMs / medianMs) / spread);
}
