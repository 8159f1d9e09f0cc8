/**
 * `lora-affinity-scorer`: prefers engines where the adapter already runs, then those with a free adapter slot.
 *
 * Formula: adapter running 1.0; else running + waiting adapters below the engine's maximum 0.8; else adapter waiting
 * 0.6; else 0. Parameters: none. Inputs: requested model, adapters the engine reports.
 * Limits: a base model is in no adapter set, so its requests get 0.8 or 0 by free slots; engines list only adapters
 * with requests in flight, an idle resident one looks absent.
 */
import { definePlugin, noParams } from "../definition.ts";

export const loraAffinityScorer = definePlugin({
  type: "lora-affinity-scorer",
  kinds: ["scorer"],
  summary: "adapter running, or a free adapter slot",
  params: noParams,
  create: (name) => ({
    type: "lora-affinity-scorer",
    name,
    category: "affinity",
    score(ctx, slots, n, out) {
      const model = ctx.view.model;
      for (let i = 0; i < n; i++) {
        const { running, waiting, max } = ctx.table.meta(slots[i]).adapters;
        if (running.has(model)) out[i] = 1;
        else if (running.size + waiting.size < max) out[i] = 0.8;
        else out[i] = waiting.has(model) ? 0.6 : 0;
      }
    },
  }),
});
