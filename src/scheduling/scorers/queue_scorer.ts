/**
 * `queue-scorer`: fewer requests queued at the engine score higher.
 *
 * Formula: `(maxQ − q)/(maxQ − minQ)` over the candidates; all equal → 1. Parameters: none.
 * Inputs: effective waiting requests (see LoadView). Limits: says nothing of how long the queued requests are.
 */
import { definePlugin, noParams } from "../definition.ts";
import { scoreLeast } from "../spread.ts";

export const queueScorer = definePlugin({
  type: "queue-scorer",
  kinds: ["scorer"],
  summary: "fewest requests queued at the engine",
  params: noParams,
  create: (name) => ({
    type: "queue-scorer",
    name,
    category: "distribution",
    score: (ctx, slots, n, out) => scoreLeast(ctx.load.waiting, slots, n, out),
  }),
});
