/**
 * `label-selector-filter`: keeps endpoints whose labels match a Kubernetes selector. `by-label-selector` is its old name.
 *
 * Parameters: `matchLabels` ({}), `matchExpressions` ([]) of `{key, operator In|NotIn|Exists|DoesNotExist, values}`.
 * Inputs: endpoint labels. Limits: verdicts are kept until the endpoint table's metadata changes.
 */
import { definePlugin } from "../definition.ts";
import { DerivedColumn, keepWhere } from "../derived.ts";
import { labelSelector, selects } from "../labels.ts";
import type { LabelSelector } from "../labels.ts";
import type { Filter, PluginEnv } from "../types.ts";

function labelSelectorType(type: string, deprecated?: string) {
  return definePlugin({
    type,
    kinds: ["filter"],
    summary: "labels match a Kubernetes selector",
    deprecated,
    params: labelSelector,
    create(name: string, selector: LabelSelector, { table }: PluginEnv): Filter {
      const verdicts = new DerivedColumn(table, (meta) => selects(selector, meta.labels));
      return { type, name, keep: (_, slots, n) => keepWhere(verdicts, slots, n) };
    },
  });
}

export const labelSelectorFilter = labelSelectorType("label-selector-filter");
export const byLabelSelector = labelSelectorType("by-label-selector", "label-selector-filter");
