/**
 * `least-latency-scorer`: where the request is answered soonest and makes others wait least, of those endpoints where targets
 * are met. Warmpath's own.
 *
 * Formula, per candidate:
 * - cost = predicted time to first token + `outputShare` × predicted time from there to the last token + time that the request
 *   costs others there, in ms and at least 1;
 * - good = the request meets its targets with at least `meetsProbability`, and of those that run there fewer than one are likely
 *   to miss theirs;
 * - score = (1 + least cost / cost) / 2 where it is good; elsewhere 1 / (2 (1 + best value − value)), of the value: probability
 *   that the request meets its targets − expected number of others that would miss theirs for it;
 * - where the request meets its targets nowhere with 0.01, as its time is over, score = least cost / cost / (2 (1 + others that
 *   would miss theirs for it)) instead of the latter.
 * Without targets here or there every candidate is good, and the cost decides. An endpoint without a prediction has the mean
 * cost of those with one and is good. Without any prediction: the score of `token-work-scorer` with its defaults.
 * Parameters: `outputShare` (0.5): a TPOT tells less of what is far ahead than a TTFT, and with predictions that are 20 % wrong
 * the whole time sends requests after their luck; `meetsProbability` (0.9). Inputs: predictions.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { anyKnown, isGood } from "../latency.ts";
import type { LatencyView } from "../types.ts";
import { scoreTokenWork, tokenWorkParams } from "./token_work_scorer.ts";

const withoutPrediction = tokenWorkParams.parse({});

/** Below it times say nothing: a clock's tick, a scheduler's slice. */
const costMsMin = 1;

/** A request less likely than this to meet its targets is answered as soon as can be all the same. */
const lostProbability = 0.01;

const share = z.number().min(0, "must be at least 0").max(1, "must be at most 1");

export const leastLatencyScorer = definePlugin({
  type: "least-latency-scorer",
  kinds: ["scorer"],
  summary: "answered soonest at least cost to others, targets met (Warmpath's own)",
  params: z.strictObject({ outputShare: share.default(0.5), meetsProbability: share.default(0.9) }),
  create(name, { outputShare, meetsProbability }, { table }) {
    const costs = new Float64Array(table.capacity);
    return {
      type: "least-latency-scorer",
      name,
      category: "balance",
      needsLatency: true,
      score(ctx, slots, n, out) {
        const { latency } = ctx;
        if (!latency || !anyKnown(latency, slots, n)) return scoreTokenWork(withoutPrediction, ctx, slots, n, out);
        let known = 0, sum = 0, bestValue = -Infinity, bestMeets = 0, leastOfAll = Infinity;
        for (let i = 0; i < n; i++) {
          const slot = slots[i];
          if (latency.known[slot] === 0) continue;
          known++;
          sum += costs[i] = costAt(latency, slot, outputShare);
          bestValue = Math.max(bestValue, latency.meets[slot] - latency.harmMisses[slot]);
          bestMeets = Math.max(bestMeets, latency.meets[slot]);
          leastOfAll = Math.min(leastOfAll, costs[i]);
        }
        let least = Infinity;
        for (let i = 0; i < n; i++) {
          if (latency.known[slots[i]] === 0) costs[i] = sum / known;
          if (isGood(latency, slots[i], meetsProbability)) least = Math.min(least, costs[i]);
        }
        for (let i = 0; i < n; i++) {
          const slot = slots[i];
          if (isGood(latency, slot, meetsProbability)) out[i] = (1 + least / costs[i]) / 2;
          else if (bestMeets < lostProbability) out[i] = leastOfAll / costs[i] / (2 + 2 * latency.harmMisses[slot]);
          else out[i] = 0.5 / (1 + bestValue - latency.meets[slot] + latency.harmMisses[slot]);
        }
      },
    };
  },
});

function costAt({ ttftMs, e2eMs, harmMs }: LatencyView, slot: number, outputShare: number): number {
  return Math.max(costMsMin, ttftMs[slot] + outputShare * (e2eMs[slot] - ttftMs[slot]) + harmMs[slot]);
}
