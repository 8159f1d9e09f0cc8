/**
 * `by-label` (deprecated by llm-d: `label-selector-filter`): keeps endpoints whose label has one of the given values.
 *
 * Parameters: `label` (required), `validValues` ([]), `allowsNoLabel` (false: an endpoint without the label is dropped).
 * Inputs: endpoint labels.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { DerivedColumn, keepWhere } from "../derived.ts";

export const byLabel = definePlugin({
  type: "by-label",
  kinds: ["filter"],
  summary: "one label has one of the given values",
  deprecated: "label-selector-filter",
  params: z.strictObject({
    label: z.string().min(1, "must be a label key"),
    validValues: z.array(z.string()).default([]),
    allowsNoLabel: z.boolean().default(false),
  }).refine((params) => params.validValues.length > 0 || params.allowsNoLabel, {
    path: ["validValues"],
    message: "must not be empty unless allowsNoLabel is true",
  }),
  create(name, { label, validValues, allowsNoLabel }, { table }) {
    const verdicts = new DerivedColumn(table, (meta) => {
      const value = meta.labels[label];
      return value === undefined ? allowsNoLabel : validValues.includes(value);
    });
    return { type: "by-label", name, keep: (_, slots, n) => keepWhere(verdicts, slots, n) };
  },
});
