/**
 * `round-robin-picker`: the endpoint picked longest ago, whatever the scores. Warmpath's own, for comparison.
 *
 * Stays a fair rotation while candidates come and go. Parameters: `maxNumOfEndpoints` (1).
 * Limits: "longest ago" is this process's own history.
 */
import { definePlugin } from "../definition.ts";
import { takeBest } from "../order.ts";
import { pickerParams } from "./params.ts";

export const roundRobinPicker = definePlugin({
  type: "round-robin-picker",
  kinds: ["picker"],
  summary: "picked longest ago (Warmpath's own)",
  params: pickerParams,
  create(name, { maxNumOfEndpoints }, { table }) {
    const equal = new Float64Array(table.capacity);
    return {
      type: "round-robin-picker",
      name,
      picksMax: maxNumOfEndpoints,
      pick: (ctx, slots, n, _, k, out) => takeBest(slots, n, equal, ctx.pickedAt, k, out),
    };
  },
});
