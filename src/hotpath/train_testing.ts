import type { TrainingData, TrainingOptions } from "./train_types.ts";

/**
 * The largest gain of any first split, found by trying them all: every value of a column as a threshold, every category
 * against the rest, missing values on either side. Squared error, predictions beginning at `base`.
 */
export function bestGain(
  { rows, columns, labels, weights }: TrainingData,
  { l1, l2, minChildWeight, categorical }: TrainingOptions,
  base: number,
): number {
  const sums = (takes: (row: number) => boolean): [number, number] => {
    let g = 0, h = 0;
    for (let row = 0; row < rows; row++) {
      if (!takes(row)) continue;
      const weight = weights ? weights[row] : 1;
      g += (base - labels[row]) * weight;
      h += weight;
    }
    return [g, h];
  };
  const score = ([g, h]: [number, number]) => Math.max(0, Math.abs(g) - l1) ** 2 / (h + l2);
  const whole = score(sums(() => true));
  let best = 0;
  const attempt = (right: (row: number) => boolean) => {
    const one = sums(right), other = sums((row) => !right(row));
    if (one[1] < minChildWeight || other[1] < minChildWeight) return;
    best = Math.max(best, score(one) + score(other) - whole);
  };
  for (const [c, values] of columns.entries()) {
    for (const bound of new Set(values)) {
      if (categorical?.[c] && Number.isNaN(bound)) continue;
      const isRight = (row: number) => categorical?.[c] ? values[row] === bound : values[row] >= bound;
      attempt(isRight);
      attempt((row) => Number.isNaN(values[row]) || isRight(row));
    }
  }
  return best;
}
