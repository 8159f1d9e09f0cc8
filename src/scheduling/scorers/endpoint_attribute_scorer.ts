/**
 * `endpoint-attribute-scorer`: a number from a custom metric, mapped to 0–1 on a line.
 *
 * Formula: `(v − min)/(max − min)` for linear_higher_is_better, `(max − v)/(max − min)` for linear_lower_is_better;
 * min and max are given (fixedRange) or those of the candidates (adaptiveRange). Missing → 0; a range of 0 → 1.
 * Parameters: `attributeKey` (required), `producer` (omitted: core-metrics-extractor, "": any),
 * `algorithm.type`, `algorithm.normalization` with exactly one of `fixedRange{min, max}` and `adaptiveRange{}`.
 * Inputs: custom metrics of the core-metrics-extractor. Limits: an attribute whose sample is stale counts as missing.
 */
import { z } from "zod";
import { attributeOf, attributeProducer, checkAttribute } from "../attribute.ts";
import { definePlugin } from "../definition.ts";

export const endpointAttributeScorer = definePlugin({
  type: "endpoint-attribute-scorer",
  kinds: ["scorer"],
  summary: "a custom metric on a linear scale",
  params: z.strictObject({
    attributeKey: z.string().min(1, "must be an attribute key"),
    producer: attributeProducer,
    algorithm: z.strictObject({
      type: z.enum(
        ["linear_lower_is_better", "linear_higher_is_better"],
        "must be linear_lower_is_better or linear_higher_is_better",
      ),
      normalization: z.strictObject({
        fixedRange: z.strictObject({ min: z.number(), max: z.number() })
          .refine((range) => range.min <= range.max, "min must be at most max").optional(),
        adaptiveRange: z.strictObject({}).optional(),
      }).refine((n) => (n.fixedRange === undefined) !== (n.adaptiveRange === undefined), {
        message: "must have exactly one of fixedRange and adaptiveRange",
      }),
    }),
  }),
  resolve(params, context) {
    checkAttribute("attributeKey", params.attributeKey, params.producer, context);
    return params;
  },
  create: (name, { attributeKey, algorithm: { type, normalization } }) => ({
    type: "endpoint-attribute-scorer",
    name,
    category: "distribution",
    score(ctx, slots, n, out) {
      for (let i = 0; i < n; i++) out[i] = attributeOf(ctx, slots[i], attributeKey);
      const { min, max } = normalization.fixedRange ?? rangeOf(out, n);
      for (let i = 0; i < n; i++) {
        if (Number.isNaN(out[i])) out[i] = 0;
        else if (max === min) out[i] = 1;
        else out[i] = (type === "linear_higher_is_better" ? out[i] - min : max - out[i]) / (max - min);
      }
    },
  }),
});

function rangeOf(values: Float64Array, n: number): { min: number; max: number } {
  let min = Infinity, max = -Infinity;
  for (let i = 0; i < n; i++) {
    if (values[i] < min) min = values[i];
    if (values[i] > max) max = values[i];
  }
  return { min, max };
}
