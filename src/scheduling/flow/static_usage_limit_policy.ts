/**
 * `static-usage-limit-policy`: an endpoint may be as full for every priority. Parameters: `threshold` (1), above 0 and at
 * most 1: the share of its capacity.
 */
import { z } from "zod";
import type { CeilingConfig } from "../../config/mod.ts";
import { definePlugin } from "../definition.ts";

export const staticUsageLimitPolicy = definePlugin({
  type: "static-usage-limit-policy",
  kinds: ["usage-limit-policy"],
  summary: "the same share of an endpoint for every priority",
  params: z.strictObject({
    threshold: z.number().positive("must be greater than 0").max(1, "must be at most 1").default(1),
  }),
  resolve: ({ threshold }): CeilingConfig => ({ policy: "static", threshold }),
});
