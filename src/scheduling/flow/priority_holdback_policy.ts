/**
 * `priority-holdback-policy`: the lower a priority, the less of an endpoint it may fill.
 *
 * Formula, highest of N priorities first: by rank `max - i (max - min) / (N - 1)`; by value
 * `min + (p - lowest) / (highest - lowest) (max - min)`; a lone priority gets `max`.
 * Parameters: `minCeiling` (required, 0 to below 1), `maxCeiling` (1; above `minCeiling`, at most 1), `shape` linear,
 * `domain` rank|value (rank).
 */
import { z } from "zod";
import type { CeilingConfig } from "../../config/mod.ts";
import { definePlugin, type LoadContext } from "../definition.ts";

const params = z.strictObject({
  minCeiling: z.number("must be a number").nonnegative("must be at least 0").lt(1, "must be below 1"),
  maxCeiling: z.number().positive("must be greater than 0").max(1, "must be at most 1").default(1),
  shape: z.literal("linear", "must be linear").default("linear"),
  domain: z.enum(["rank", "value"], "must be rank or value").default("rank"),
});

function resolve({ minCeiling, maxCeiling, domain }: z.output<typeof params>, context: LoadContext): CeilingConfig {
  if (minCeiling >= maxCeiling) {
    throw context.fail("minCeiling", `must be below maxCeiling (${maxCeiling}): current value is ${minCeiling}`);
  }
  return { policy: "priority-holdback", minCeiling, maxCeiling, domain };
}

export const priorityHoldbackPolicy = definePlugin({
  type: "priority-holdback-policy",
  kinds: ["usage-limit-policy"],
  summary: "less of an endpoint with falling priority",
  params,
  resolve,
});
