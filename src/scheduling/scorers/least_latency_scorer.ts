/**
 * `least-latency-scorer`: where the request is answered soonest and makes others wait least, and where most targets are met.
 * Warmpath's own.
 *
 * Formula, per candidate:
 * - cost = predicted time to the last token + time that the request costs others there, in ms and at least 1;
 * - value = probability that the request meets its targets − expected number of others that would miss theirs for it;
 * - score = w / (1 + best value − value) + (1 − w) × least cost / cost, in (0, 1]; where the request has no target and makes
 *   nobody miss one: least cost / cost.
 * An endpoint without a prediction has the mean cost and value of those with one. Without any prediction: the score of
 * `token-work-scorer` with its defaults.
 * Parameters: `targetWeight` w (0.9): one more request in ten that meets its targets outweighs any difference of cost, and
 * of endpoints about alike in that the cheaper one is taken. Inputs: predictions.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { anyKnown, hasTarget } from "../latency.ts";
import type { LatencyView } from "../types.ts";
import { scoreTokenWork, tokenWorkParams } from "./token_work_scorer.ts";

const withoutPrediction = tokenWorkParams.parse({});

/** Below it times say nothing: a clock's tick, a scheduler's slice. */
const costMsMin = 1;

export const leastLatencyScorer = definePlugin({
  type: "least-latency-scorer",
  kinds: ["scorer"],
  summary: "answered soonest at least cost to others, most targets met (Warmpath's own)",
  params: z.strictObject({
    targetWeight: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(0.9),
  }),
  create(name, { targetWeight }, { table }) {
    const values = new Float64Array(table.capacity);
    return {
      type: "least-latency-scorer",
      name,
      category: "balance",
      needsLatency: true,
      score(ctx, slots, n, out) {
        const { latency, view } = ctx;
        if (!latency || !anyKnown(latency, slots, n)) return scoreTokenWork(withoutPrediction, ctx, slots, n, out);
        let judged = hasTarget(view);
        let known = 0, cost = 0, value = 0;
        for (let i = 0; i < n; i++) {
          const slot = slots[i];
          if (latency.known[slot] === 0) continue;
          known++;
          cost += out[i] = costAt(latency, slot);
          value += values[i] = latency.meets[slot] - latency.harmMisses[slot];
          judged ||= latency.harmMisses[slot] > 0;
        }
        let leastCost = Infinity, bestValue = -Infinity;
        for (let i = 0; i < n; i++) {
          if (latency.known[slots[i]] === 0) {
            out[i] = cost / known;
            values[i] = value / known;
          }
          if (out[i] < leastCost) leastCost = out[i];
          if (values[i] > bestValue) bestValue = values[i];
        }
        const weight = judged ? targetWeight : 0;
        for (let i = 0; i < n; i++) {
          out[i] = weight / (1 + bestValue - values[i]) + (1 - weight) * leastCost / out[i];
        }
      },
    };
  },
});

function costAt({ e2eMs, harmMs }: LatencyView, slot: number): number {
  return Math.max(costMsMin, e2eMs[slot] + harmMs[slot]);
}
