/**
 * `weighted-random-picker`: draws without replacement, with chances in proportion to the totals.
 *
 * Formula: A-Res sampling (Efraimidis and Spirakis): key = U^(1/score), the k largest keys; compared as ln(U)/score,
 * which does not underflow. Score ≤ 0 → key 0, behind all others; all ≤ 0 → a uniform draw.
 * Parameters: `maxNumOfEndpoints` (1).
 */
import { definePlugin } from "../definition.ts";
import { takeBest } from "../order.ts";
import { pickerParams } from "./params.ts";
import { pickUniform } from "./random_picker.ts";

export const weightedRandomPicker = definePlugin({
  type: "weighted-random-picker",
  kinds: ["picker"],
  summary: "chance in proportion to the score",
  params: pickerParams,
  create(name, { maxNumOfEndpoints }, { table }) {
    const keys = new Float64Array(table.capacity);
    return {
      type: "weighted-random-picker",
      name,
      picksMax: maxNumOfEndpoints,
      pick(ctx, slots, n, scores, k, out) {
        let positive = 0;
        for (let i = 0; i < n; i++) {
          // 1 − U lies in (0, 1], so the logarithm is finite.
          keys[i] = scores[i] > 0 ? Math.log(1 - ctx.rng.float()) / scores[i] : -Infinity;
          if (scores[i] > 0) positive++;
        }
        return positive > 0 ? takeBest(slots, n, keys, ctx.pickedAt, k, out) : pickUniform(ctx.rng, slots, n, k, out);
      },
    };
  },
});
