/**
 * `latency-slo-admitter`: refuses sheddable requests that would miss their targets.
 *
 * Rule: refused when its priority is below 0, it has a target, something is predicted, and of all candidates none is
 * predicted to meet its targets, none is idle (running requests 0) and none is cold (KV usage below 0.02, where predictions
 * are not to be relied on). Parameters: `latencyPredictionInfoProducerName`. Inputs: predictions, effective load.
 * Unlike llm-d: the answer is a 429 that says when to come again, not a 500; a dimension without a target cannot be missed;
 * a target may come from the request's objective too; an endpoint we sent a request to since its last sample is not idle.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { anyKnown, checkLatencyProducer, hasTarget, latencyProducerName, missedAt, sloUnmet } from "../latency.ts";

const coldKvUsage = 0.02;

export const latencySloAdmitter = definePlugin({
  type: "latency-slo-admitter",
  kinds: ["admitter"],
  summary: "refuses sheddable requests predicted to miss their targets everywhere",
  params: z.strictObject({ latencyPredictionInfoProducerName: latencyProducerName }),
  resolve: ({ latencyPredictionInfoProducerName }, context) =>
    checkLatencyProducer(latencyPredictionInfoProducerName, context),
  create: (name) => ({
    type: "latency-slo-admitter",
    name,
    needsLatency: true,
    admit(ctx, slots, n) {
      const { view, latency, load } = ctx;
      if (!latency || view.priority >= 0 || !hasTarget(view) || !anyKnown(latency, slots, n)) return undefined;
      for (let i = 0; i < n; i++) {
        const slot = slots[i];
        if (load.running[slot] === 0 || load.kvUsage[slot] < coldKvUsage) return undefined;
        if (latency.known[slot] === 1 && missedAt(view, latency, slot) === 0) return undefined;
      }
      return sloUnmet(ctx, slots, n);
    },
  }),
});
