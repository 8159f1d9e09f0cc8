/**
 * Appends the best of `slots[0..n)` to `out[from..k)`: higher score first, then the one picked longest ago. Slots
 * already in `out[0..from)` are passed over. Returns the new length. `k` passes over the candidates, no memory.
 */
export function takeBest(
  slots: Uint16Array,
  n: number,
  scores: Float64Array,
  pickedAt: Float64Array,
  k: number,
  out: Uint16Array,
  from = 0,
): number {
  let length = from;
  while (length < k && length < n) {
    let best = -1;
    for (let i = 0; i < n; i++) {
      if (best >= 0 && scores[i] < scores[best]) continue;
      if (contains(out, length, slots[i])) continue;
      if (best < 0 || scores[i] > scores[best] || pickedAt[slots[i]] < pickedAt[slots[best]]) best = i;
    }
    if (best < 0) break;
    out[length++] = slots[best];
  }
  return length;
}

function contains(out: Uint16Array, length: number, slot: number): boolean {
  for (let i = 0; i < length; i++) if (out[i] === slot) return true;
  return false;
}
