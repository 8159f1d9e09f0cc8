/**
 * Which tenant of a priority is served next, for policies without parameters:
 *   global-strict-fairness-policy  the best request of all by the band's order; no tenants
 *   round-robin-fairness-policy    tenants in turn, one request each
 */
import type { FairnessConfig } from "../../config/mod.ts";
import { definePlugin, noParams } from "../definition.ts";

export const globalStrictFairnessPolicy = definePlugin<Record<string, never>, FairnessConfig>({
  type: "global-strict-fairness-policy",
  kinds: ["fairness-policy"],
  summary: "the best request of all tenants by the band's order",
  params: noParams,
  resolve: () => ({ policy: "global-strict" }),
});

export const roundRobinFairnessPolicy = definePlugin<Record<string, never>, FairnessConfig>({
  type: "round-robin-fairness-policy",
  kinds: ["fairness-policy"],
  summary: "tenants in turn, one request each",
  params: noParams,
  resolve: () => ({ policy: "round-robin" }),
});
