/**
 * `max-score-picker`: the highest totals, in order; among equals the endpoint picked longest ago.
 *
 * Ties rotate over whoever is tied, however the tied set changes; the first round's order is drawn from the seed.
 * Parameters: `maxNumOfEndpoints` (1). Limits: "longest ago" is this process's own history.
 */
import { definePlugin } from "../definition.ts";
import { takeBest } from "../order.ts";
import { pickerParams } from "./params.ts";

export const maxScorePicker = definePlugin({
  type: "max-score-picker",
  kinds: ["picker"],
  summary: "highest score, ties rotated",
  params: pickerParams,
  create: (name, { maxNumOfEndpoints }) => ({
    type: "max-score-picker",
    name,
    picksMax: maxNumOfEndpoints,
    pick: (ctx, slots, n, scores, k, out) => takeBest(slots, n, scores, ctx.pickedAt, k, out),
  }),
});
