/**
 * `load-aware-scorer`: an empty queue scores one half, a longer one less, down to 0 at the threshold.
 *
 * Formula: q = 0 → 0.5; else `0.5 × (1 − min(q, t)/t)`. Parameters: `threshold` t (128).
 * Inputs: effective waiting requests (see LoadView).
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";

export const loadAwareScorer = definePlugin({
  type: "load-aware-scorer",
  kinds: ["scorer"],
  summary: "queue length against a threshold",
  params: z.strictObject({ threshold: z.number().positive("must be greater than 0").default(128) }),
  create: (name, { threshold }) => ({
    type: "load-aware-scorer",
    name,
    category: "distribution",
    score(ctx, slots, n, out) {
      for (let i = 0; i < n; i++) out[i] = 0.5 * (1 - Math.min(ctx.load.waiting[slots[i]], threshold) / threshold);
    },
  }),
});
