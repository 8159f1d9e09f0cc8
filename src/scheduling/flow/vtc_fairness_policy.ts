/**
 * `vtc-fairness-policy`: the tenant that was given the fewest tokens by its weight is served next. Not one of llm-d's.
 *
 * Parameters: `inputWeight` (1), `outputWeight` (2): what a token counts.
 * Inputs: prompt and output tokens of each tenant's requests, weights of `flow.tenants`.
 */
import { z } from "zod";
import { type FairnessConfig, vtcDefaults } from "../../config/mod.ts";
import { definePlugin } from "../definition.ts";

const weight = z.number().nonnegative("must be at least 0");

export const vtcFairnessPolicy = definePlugin({
  type: "vtc-fairness-policy",
  kinds: ["fairness-policy"],
  summary: "the tenant that was given the fewest tokens by its weight",
  params: z.strictObject({
    inputWeight: weight.default(vtcDefaults.inputWeight),
    outputWeight: weight.default(vtcDefaults.outputWeight),
  }),
  resolve: (params): FairnessConfig => ({ policy: "vtc", ...params }),
});
