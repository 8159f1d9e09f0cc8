/**
 * `utilization-detector`: as a filter, keeps endpoints with room; when none has room, keeps all. As the saturation
 * detector of flow control, the thresholds are what makes an endpoint full.
 *
 * Keep rule: fresh and `waiting < queueDepthThreshold × (1 + headroom)` and
 * `kv usage < kvCacheUtilThreshold × (1 + headroom)`.
 * Parameters: `queueDepthThreshold` (5), `kvCacheUtilThreshold` (0.8), `metricsStalenessThreshold` (200ms), `headroom`
 * (0, filter only), `stalenessPolicy` saturated|ignore (saturated, detector only).
 * Inputs: effective load, sample age, our requests in flight.
 * Limits: idle endpoints are sampled rarely here, so one without a request of ours counts as fresh while its sample
 * is within the plan's `staleAfterMs`.
 */
import { z } from "zod";
import { type SaturationConfig, utilizationDefaults } from "../../config/mod.ts";
import { definePlugin, durationMs } from "../definition.ts";

const { queueDepthThreshold, kvCacheUtilThreshold, stalenessMs, stalenessPolicy } = utilizationDefaults;

const params = z.strictObject({
  queueDepthThreshold: z.number().positive("must be greater than 0").default(queueDepthThreshold),
  kvCacheUtilThreshold: z.number().positive("must be greater than 0").max(1, "must be at most 1")
    .default(kvCacheUtilThreshold),
  metricsStalenessThreshold: durationMs.refine((ms) => ms > 0, "must be greater than 0").default(stalenessMs),
  headroom: z.number().nonnegative("must be at least 0").default(0),
  stalenessPolicy: z.enum(["saturated", "ignore"], "must be saturated or ignore").default(stalenessPolicy),
});

export type UtilizationParams = z.output<typeof params>;

/** The same parameters as flow control takes them. */
export function utilizationSaturation(params: UtilizationParams): SaturationConfig {
  const { queueDepthThreshold, kvCacheUtilThreshold, metricsStalenessThreshold, stalenessPolicy } = params;
  return {
    detector: "utilization",
    queueDepthThreshold,
    kvCacheUtilThreshold,
    stalenessMs: metricsStalenessThreshold,
    stalenessPolicy,
  };
}

export const utilizationDetector = definePlugin({
  type: "utilization-detector",
  kinds: ["filter", "saturation-detector"],
  summary: "queue and KV usage below thresholds, all when none is",
  params,
  create(name, params, { table }) {
    const queueLimit = params.queueDepthThreshold * (1 + params.headroom);
    const kvLimit = params.kvCacheUtilThreshold * (1 + params.headroom);
    const kept = new Uint16Array(table.capacity);
    return {
      type: "utilization-detector",
      name,
      transient: true,
      keep(ctx, slots, n) {
        let count = 0;
        for (let i = 0; i < n; i++) {
          const slot = slots[i];
          const fresh = ctx.table.sampleAgeMs(slot, ctx.nowMs) <= params.metricsStalenessThreshold ||
            (ctx.table.requests[slot] === 0 && ctx.load.fresh[slot] === 1);
          if (fresh && ctx.load.waiting[slot] < queueLimit && ctx.load.kvUsage[slot] < kvLimit) kept[count++] = slot;
        }
        if (count === 0) return n;
        for (let i = 0; i < count; i++) slots[i] = kept[i];
        return count;
      },
    };
  },
});
