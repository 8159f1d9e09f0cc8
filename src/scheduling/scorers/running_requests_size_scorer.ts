/**
 * `running-requests-size-scorer`: fewer requests running at the engine score higher.
 *
 * Formula: `(maxR − r)/(maxR − minR)` over the candidates; all equal → 1. Parameters: none.
 * Inputs: effective running requests (see LoadView).
 */
import { definePlugin, noParams } from "../definition.ts";
import { scoreLeast } from "../spread.ts";

export const runningRequestsSizeScorer = definePlugin({
  type: "running-requests-size-scorer",
  kinds: ["scorer"],
  summary: "fewest requests running at the engine",
  params: noParams,
  create: (name) => ({
    type: "running-requests-size-scorer",
    name,
    category: "distribution",
    score: (ctx, slots, n, out) => scoreLeast(ctx.load.running, slots, n, out),
  }),
});
