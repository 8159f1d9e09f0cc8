/**
 * `endpoint-attribute-filter`: keeps endpoints whose number from a custom metric satisfies a comparison.
 *
 * Parameters: `attribute` (required); `producer` (omitted: core-metrics-extractor, "": any); `onMissing` Pass|Fail (Pass);
 * `fallbackOnEmpty` (false: when nothing is left the profile has no candidate; true: all are kept);
 * `algorithm.type` threshold; `algorithm.threshold.operator` LessThan|LessThanOrEqual|GreaterThan|GreaterThanOrEqual|
 * Equal|NotEqual and `.value`. Inputs: custom metrics of the core-metrics-extractor.
 * Limits: an attribute whose load sample is stale counts as missing.
 */
import { z } from "zod";
import { attributeOf, attributeProducer, checkAttribute } from "../attribute.ts";
import { definePlugin } from "../definition.ts";

const compare: Record<string, (a: number, b: number) => boolean> = {
  LessThan: (a, b) => a < b,
  LessThanOrEqual: (a, b) => a <= b,
  GreaterThan: (a, b) => a > b,
  GreaterThanOrEqual: (a, b) => a >= b,
  Equal: (a, b) => a === b,
  NotEqual: (a, b) => a !== b,
};

export const endpointAttributeFilter = definePlugin({
  type: "endpoint-attribute-filter",
  kinds: ["filter"],
  summary: "a custom metric satisfies a comparison",
  params: z.strictObject({
    attribute: z.string().min(1, "must be an attribute key"),
    producer: attributeProducer,
    onMissing: z.enum(["Pass", "Fail"], "must be Pass or Fail").default("Pass"),
    fallbackOnEmpty: z.boolean().default(false),
    algorithm: z.strictObject({
      type: z.literal("threshold", 'must be "threshold"'),
      threshold: z.strictObject({
        operator: z.enum(Object.keys(compare), `must be one of ${Object.keys(compare).join(", ")}`),
        value: z.number(),
      }),
    }),
  }),
  resolve(params, context) {
    checkAttribute("attribute", params.attribute, params.producer, context);
    return params;
  },
  create(name, { attribute, onMissing, fallbackOnEmpty, algorithm: { threshold } }, { table }) {
    const holds = compare[threshold.operator];
    const missingStays = onMissing === "Pass";
    const kept = new Uint16Array(table.capacity);
    return {
      type: "endpoint-attribute-filter",
      name,
      keep(ctx, slots, n) {
        let count = 0;
        for (let i = 0; i < n; i++) {
          const value = attributeOf(ctx, slots[i], attribute);
          if (Number.isNaN(value) ? missingStays : holds(value, threshold.value)) kept[count++] = slots[i];
        }
        if (count === 0 && fallbackOnEmpty) return n;
        for (let i = 0; i < count; i++) slots[i] = kept[i];
        return count;
      },
    };
  },
});
