/**
 * `utilization-filter`: keeps endpoints whose load is at most `maxValue` for every condition.
 *
 * Parameters: `conditions[]` of `{metric active-requests|running-requests|waiting-queue|kv-cache-utilization, maxValue}`
 * (at least one); `fallbackOnEmpty` (false; true keeps all when none is left); `inFlightLoadProducerName`.
 * Inputs: our requests in flight, effective load. Limits: a stale endpoint is judged by its effective load.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { checkInflightProducer, inflightProducerName } from "../inflight.ts";
import type { DecisionContext } from "../types.ts";

const metrics: Record<string, (ctx: DecisionContext, slot: number) => number> = {
  "active-requests": (ctx, slot) => ctx.table.requests[slot],
  "running-requests": (ctx, slot) => ctx.load.running[slot],
  "waiting-queue": (ctx, slot) => ctx.load.waiting[slot],
  "kv-cache-utilization": (ctx, slot) => ctx.load.kvUsage[slot],
};

export const utilizationFilter = definePlugin({
  type: "utilization-filter",
  kinds: ["filter"],
  summary: "load is at most the given values",
  params: z.strictObject({
    conditions: z.array(z.strictObject({
      metric: z.enum(Object.keys(metrics), `must be one of ${Object.keys(metrics).join(", ")}`),
      maxValue: z.number().nonnegative("must be at least 0"),
    })).min(1, "must have at least one condition"),
    fallbackOnEmpty: z.boolean().default(false),
    inFlightLoadProducerName: inflightProducerName,
  }),
  resolve(params, context) {
    checkInflightProducer(params.inFlightLoadProducerName, context);
    return params;
  },
  create(name, { conditions, fallbackOnEmpty }, { table }) {
    const checks = conditions.map(({ metric, maxValue }) => ({ value: metrics[metric], maxValue }));
    const kept = new Uint16Array(table.capacity);
    return {
      type: "utilization-filter",
      name,
      transient: true,
      keep(ctx, slots, n) {
        let count = 0;
        for (let i = 0; i < n; i++) {
          let ok = true;
          for (const check of checks) ok &&= check.value(ctx, slots[i]) <= check.maxValue;
          if (ok) kept[count++] = slots[i];
        }
        if (count === 0 && fallbackOnEmpty) return n;
        for (let i = 0; i < count; i++) slots[i] = kept[i];
        return count;
      },
    };
  },
});
