/**
 * `slo-probability-admitter`: refuses requests that are unlikely to meet their targets. Warmpath's own.
 *
 * Rule: refused when it has a target, and there is no candidate where it meets its targets with at least `admitProbability`
 * and fewer than one of those that run there are likely to miss theirs. A candidate without a prediction will do. Parameters:
 * `mode` sheddable|all (sheddable: requests of negative priority alone), `admitProbability` (0.9). Inputs: predictions.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { hasTarget, isGood, sloUnmet } from "../latency.ts";

const modes = ["sheddable", "all"] as const;

export const sloProbabilityAdmitter = definePlugin({
  type: "slo-probability-admitter",
  kinds: ["admitter"],
  summary: "refuses requests unlikely to meet their targets (Warmpath's own)",
  params: z.strictObject({
    mode: z.enum(modes, `must be one of ${modes.join(", ")}`).default("sheddable"),
    admitProbability: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0.9),
  }),
  create: (name, { mode, admitProbability }) => ({
    type: "slo-probability-admitter",
    name,
    needsLatency: true,
    admit(ctx, slots, n) {
      const { view, latency } = ctx;
      if (!latency || !hasTarget(view) || mode === "sheddable" && view.priority >= 0) return undefined;
      for (let i = 0; i < n; i++) {
        if (isGood(latency, slots[i], admitProbability)) return undefined;
      }
      return sloUnmet(ctx, slots, n);
    },
  }),
});
