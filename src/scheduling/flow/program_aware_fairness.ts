/**
 * `program-aware-fairness`: the tenant with the least attained service is served next, weighed with how long its first
 * request waits.
 *
 * Formula: `lasWeightService * (1 - service) + lasWeightHeadWait * wait`, both scaled to 0 to 1 over the waiting tenants;
 * service is `prompt tokens + 2 * output tokens`, halved every half-life.
 * Parameters: `strategy` las, `lasWeightService` (0.8), `lasWeightHeadWait` (0.2), `lasHalfLifeSeconds` (60; 0: never
 * forgotten). `evictionTtlSeconds` (at least 0) and `evictionSweepSeconds` (above 0) have no effect: what is known of idle
 * tenants is bounded without them.
 * Inputs: tokens of each tenant's requests, waits.
 */
import { z } from "zod";
import { type FairnessConfig, programAwareDefaults } from "../../config/mod.ts";
import { definePlugin, type LoadContext } from "../definition.ts";

const weight = z.number().nonnegative("must be at least 0");
const unused = ["evictionTtlSeconds", "evictionSweepSeconds"] as const;

const params = z.strictObject({
  strategy: z.literal("las", "must be las").default("las"),
  lasWeightService: weight.default(programAwareDefaults.weightService),
  lasWeightHeadWait: weight.default(programAwareDefaults.weightHeadWait),
  lasHalfLifeSeconds: z.number().nonnegative("must be at least 0").default(programAwareDefaults.halfLifeMs / 1000),
  evictionTtlSeconds: z.number().nonnegative("must be at least 0").optional(),
  evictionSweepSeconds: z.number().positive("must be greater than 0").optional(),
});

function resolve(raw: z.output<typeof params>, context: LoadContext): FairnessConfig {
  for (const key of unused) {
    if (raw[key] !== undefined) context.warn(`${key} has no effect, what is known of idle tenants is bounded`);
  }
  return {
    policy: "program-aware",
    weightService: raw.lasWeightService,
    weightHeadWait: raw.lasWeightHeadWait,
    halfLifeMs: raw.lasHalfLifeSeconds * 1000,
  };
}

export const programAwareFairness = definePlugin({
  type: "program-aware-fairness",
  kinds: ["fairness-policy"],
  summary: "the tenant with the least attained service, weighed with its first request's wait",
  params,
  resolve,
});
