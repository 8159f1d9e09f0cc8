/**
 * `random-picker`: any candidates, all equally likely. Parameters: `maxNumOfEndpoints` (1).
 */
import type { Prng } from "../../core/mod.ts";
import { definePlugin } from "../definition.ts";
import { pickerParams } from "./params.ts";

export const randomPicker = definePlugin({
  type: "random-picker",
  kinds: ["picker"],
  summary: "uniform chance",
  params: pickerParams,
  create: (name, { maxNumOfEndpoints }) => ({
    type: "random-picker",
    name,
    picksMax: maxNumOfEndpoints,
    pick: (ctx, slots, n, _, k, out) => pickUniform(ctx.rng, slots, n, k, out),
  }),
});

/** The first `k` of a shuffle (Fisher–Yates, in `out`, which must have room for `n`). */
export function pickUniform(rng: Prng, slots: Uint16Array, n: number, k: number, out: Uint16Array): number {
  const count = Math.min(k, n);
  for (let i = 0; i < n; i++) out[i] = slots[i];
  for (let i = 0; i < count; i++) {
    const j = i + rng.below(n - i);
    const slot = out[j];
    out[j] = out[i];
    out[i] = slot;
  }
  return count;
}
