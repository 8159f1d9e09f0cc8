/**
 * `header-label-affinity-scorer`: 1 where a label equals a request header, else 0; without the header 0 for all.
 *
 * Parameters: `headerName` and `labelKey` (both required). Inputs: request headers, endpoint labels.
 */
import { z } from "zod";
import { definePlugin, headerName } from "../definition.ts";

export const headerLabelAffinityScorer = definePlugin({
  type: "header-label-affinity-scorer",
  kinds: ["scorer"],
  summary: "a label equals a request header",
  params: z.strictObject({ headerName, labelKey: z.string().min(1, "must be a label key") }),
  create: (name, { headerName, labelKey }) => ({
    type: "header-label-affinity-scorer",
    name,
    category: "affinity",
    score(ctx, slots, n, out) {
      const wanted = ctx.view.headers.get(headerName) || undefined;
      for (let i = 0; i < n; i++) {
        out[i] = wanted !== undefined && ctx.table.meta(slots[i]).labels[labelKey] === wanted ? 1 : 0;
      }
    },
  }),
});
