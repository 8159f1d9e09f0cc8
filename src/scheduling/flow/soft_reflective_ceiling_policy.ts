/**
 * `soft-reflective-ceiling-policy`: the fuller the endpoints, the more often lower priorities pause; the highest never
 * does. Parameters: none.
 *
 * Formula for the i-th of N priorities at saturation s: open while `s < 1 - i s / (N - 1)`, closed from `s = 1` on, between
 * them open on one of `max(1, round(s / (1 - s)))` turns.
 */
import type { CeilingConfig } from "../../config/mod.ts";
import { definePlugin, noParams } from "../definition.ts";

export const softReflectiveCeilingPolicy = definePlugin<Record<string, never>, CeilingConfig>({
  type: "soft-reflective-ceiling-policy",
  kinds: ["usage-limit-policy"],
  summary: "lower priorities pause the more often the fuller the endpoints are",
  params: noParams,
  resolve: () => ({ policy: "soft-reflective" }),
});
