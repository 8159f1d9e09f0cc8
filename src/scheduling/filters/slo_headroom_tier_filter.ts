/**
 * `slo-headroom-tier-filter`: keeps the endpoints where the request is predicted to meet its targets.
 *
 * Keep rule: positive tier = no target missed; negative tier = the rest, those without a prediction included. Both tiers have
 * an endpoint → the positive one, with probability `epsilonExploreNeg` the negative one; else, and where nothing is
 * predicted for anyone → all. Parameters: `epsilonExploreNeg` (0.01), `latencyPredictionInfoProducerName`.
 * Inputs: predictions.
 * Unlike llm-d, which takes an absent target for one of 0 ms: only targets that the request has can be missed, and a request
 * without any passes by.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { anyKnown, checkLatencyProducer, hasTarget, latencyProducerName, missedAt } from "../latency.ts";

export const sloHeadroomTierFilter = definePlugin({
  type: "slo-headroom-tier-filter",
  kinds: ["filter"],
  summary: "predicted to meet the request's targets, all when none is",
  params: z.strictObject({
    epsilonExploreNeg: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0.01),
    latencyPredictionInfoProducerName: latencyProducerName,
  }),
  resolve({ epsilonExploreNeg, latencyPredictionInfoProducerName }, context) {
    checkLatencyProducer(latencyPredictionInfoProducerName, context);
    return { epsilonExploreNeg };
  },
  create(name, { epsilonExploreNeg }, { table }) {
    const positive = new Uint8Array(table.capacity);
    return {
      type: "slo-headroom-tier-filter",
      name,
      needsLatency: true,
      transient: true,
      keep({ view, latency, rng }, slots, n) {
        if (!latency || n <= 1 || !hasTarget(view) || !anyKnown(latency, slots, n)) return n;
        let meeting = 0;
        for (let i = 0; i < n; i++) {
          positive[i] = latency.known[slots[i]] === 1 && missedAt(view, latency, slots[i]) === 0 ? 1 : 0;
          meeting += positive[i];
        }
        if (meeting === 0 || meeting === n) return n;
        const tier = rng.float() < epsilonExploreNeg ? 0 : 1;
        let kept = 0;
        for (let i = 0; i < n; i++) if (positive[i] === tier) slots[kept++] = slots[i];
        return kept;
      },
    };
  },
});
