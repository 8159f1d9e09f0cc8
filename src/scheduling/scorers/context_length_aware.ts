/**
 * `context-length-aware`: sends prompts to endpoints meant for their length; a scorer, and a filter when asked.
 *
 * Formula, with the endpoint's range min–max from its label and the prompt length len, both in tokens: in range
 * `0.3 + 0.7 × (0.7/(1 + width/10000) + 0.3 × (max − len)/width)`, width = max − min, 1.0 when width is 0; out of range
 * `0.3/(1 + distance/1000)`; no label 0.5; unreadable label 0.
 * Keep rule with `enableFiltering`: the range contains the length, or there is no label.
 * Parameters: `label` (`llm-d.ai/context-length-range`), `enableFiltering` (false).
 * Inputs: labels, prompt length (estimated unless token ids were given).
 */
import { z } from "zod";
import { type LengthRange, lengthRange } from "../context_length.ts";
import { definePlugin } from "../definition.ts";
import { DerivedColumn } from "../derived.ts";

function scoreRange(range: LengthRange, tokens: number): number {
  if (range === "none") return 0.5;
  if (range === "malformed") return 0;
  const { min, max } = range;
  if (tokens < min) return 0.3 / (1 + (min - tokens) / 1000);
  if (tokens > max) return 0.3 / (1 + (tokens - max) / 1000);
  const width = max - min;
  if (width === 0) return 1;
  return 0.3 + 0.7 * (0.7 / (1 + width / 10_000) + 0.3 * (max - tokens) / width);
}

export const contextLengthAware = definePlugin({
  type: "context-length-aware",
  kinds: ["filter", "scorer"],
  summary: "meant for prompts of this length",
  params: z.strictObject({
    label: z.string().min(1, "must be a label key").default("llm-d.ai/context-length-range"),
    enableFiltering: z.boolean().default(false),
  }),
  create(name, { label, enableFiltering }, { table }) {
    const ranges = new DerivedColumn(table, (meta) => lengthRange(meta, label));
    return {
      type: "context-length-aware",
      name,
      category: "affinity" as const,
      keep(ctx, slots, n) {
        if (!enableFiltering) return n;
        const tokens = ctx.view.promptTokens;
        let kept = 0;
        for (let i = 0; i < n; i++) {
          const range = ranges.get(slots[i]);
          const fits = range === "none" || (range !== "malformed" && range.min <= tokens && tokens <= range.max);
          if (fits) slots[kept++] = slots[i];
        }
        return kept;
      },
      score(ctx, slots, n, out) {
        for (let i = 0; i < n; i++) out[i] = scoreRange(ranges.get(slots[i]), ctx.view.promptTokens);
      },
    };
  },
});
