import { z } from "zod";

type Labels = Readonly<Record<string, string>>;

const requirement = z.strictObject({
  key: z.string().min(1, "must be a label key"),
  operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist"], "must be In, NotIn, Exists or DoesNotExist"),
  values: z.array(z.string()).default([]),
}).superRefine(({ operator, values }, check) => {
  const wants = operator === "In" || operator === "NotIn";
  if (wants !== values.length > 0) {
    const message = wants
      ? `must be a non-empty list for operator ${operator}`
      : `must be absent for operator ${operator}`;
    check.addIssue({ code: "custom", path: ["values"], message });
  }
});

/** A Kubernetes label selector. */
export const labelSelector = z.strictObject({
  matchLabels: z.record(z.string(), z.string()).default({}),
  matchExpressions: z.array(requirement).default([]),
});
export type LabelSelector = z.output<typeof labelSelector>;

/** All parts must hold; an empty selector matches everything. `NotIn` holds where the label is absent, as in Kubernetes. */
export function selects(selector: LabelSelector, labels: Labels): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels)) if (labels[key] !== value) return false;
  return selector.matchExpressions.every(({ key, operator, values }) => {
    const value = labels[key];
    if (operator === "Exists") return value !== undefined;
    if (operator === "DoesNotExist") return value === undefined;
    const listed = value !== undefined && values.includes(value);
    return operator === "In" ? listed : !listed;
  });
}

/** The label that says which legs of a request an endpoint takes. */
export const roleLabel = "llm-d.ai/role";
