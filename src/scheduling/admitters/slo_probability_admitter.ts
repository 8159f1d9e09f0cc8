/**
 * `slo-probability-admitter`: refuses requests that are unlikely to meet their targets. Warmpath's own.
 *
 * Rule: refused when it has a target, and at the best candidate the probability that it meets its targets is below
 * `admitProbability`. A candidate without a prediction may meet them. Parameters: `mode` sheddable|all (sheddable: requests
 * of negative priority alone), `admitProbability` (0.5). Inputs: predictions.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { hasTarget, sloUnmet } from "../latency.ts";

const modes = ["sheddable", "all"] as const;

export const sloProbabilityAdmitter = definePlugin({
  type: "slo-probability-admitter",
  kinds: ["admitter"],
  summary: "refuses requests unlikely to meet their targets (Warmpath's own)",
  params: z.strictObject({
    mode: z.enum(modes, `must be one of ${modes.join(", ")}`).default("sheddable"),
    admitProbability: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0.5),
  }),
  create: (name, { mode, admitProbability }) => ({
    type: "slo-probability-admitter",
    name,
    needsLatency: true,
    admit(ctx, slots, n) {
      const { view, latency } = ctx;
      if (!latency || !hasTarget(view) || mode === "sheddable" && view.priority >= 0) return undefined;
      for (let i = 0; i < n; i++) {
        if (latency.known[slots[i]] === 0 || latency.meets[slots[i]] >= admitProbability) return undefined;
      }
      return sloUnmet(ctx, slots, n);
    },
  }),
});
