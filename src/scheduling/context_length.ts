import type { EndpointMeta } from "../core/mod.ts";

/** Range of prompt lengths in tokens an endpoint is meant for; "none" without the label, "malformed" when unreadable. */
export type LengthRange = { readonly min: number; readonly max: number } | "none" | "malformed";

/** Reads `min-max`, both inclusive, from a label. */
export function lengthRange(meta: EndpointMeta, label: string): LengthRange {
  const text = meta.labels[label];
  if (text === undefined) return "none";
  const match = /^\s*(\d+)\s*-\s*(\d+)\s*$/.exec(text);
  if (!match) return "malformed";
  const min = Number(match[1]), max = Number(match[2]);
  return min <= max ? { min, max } : "malformed";
}
