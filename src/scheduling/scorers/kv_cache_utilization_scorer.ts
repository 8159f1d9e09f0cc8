/**
 * `kv-cache-utilization-scorer`: more free KV cache scores higher.
 *
 * Formula: `1 − usage`. Parameters: none. Inputs: effective KV usage (see LoadView).
 */
import { definePlugin, noParams } from "../definition.ts";

export const kvCacheUtilizationScorer = definePlugin({
  type: "kv-cache-utilization-scorer",
  kinds: ["scorer"],
  summary: "most KV cache free",
  params: noParams,
  create: (name) => ({
    type: "kv-cache-utilization-scorer",
    name,
    category: "distribution",
    score(ctx, slots, n, out) {
      for (let i = 0; i < n; i++) out[i] = 1 - ctx.load.kvUsage[slots[i]];
    },
  }),
});
