/**
 * `(max − v)/(max − min)` over the candidates, all 1 when they are equal: the least loaded gets 1, the most loaded 0.
 * `values` is indexed by slot.
 */
export function scoreLeast(values: Float64Array, slots: Uint16Array, n: number, out: Float64Array): void {
  let min = Infinity, max = -Infinity;
  for (let i = 0; i < n; i++) {
    const value = values[slots[i]];
    if (value < min) min = value;
    if (value > max) max = value;
  }
  for (let i = 0; i < n; i++) out[i] = max > min ? (max - values[slots[i]]) / (max - min) : 1;
}
