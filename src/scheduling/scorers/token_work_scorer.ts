/**
 * `token-work-scorer`: the endpoint with the least work before this request's first token scores 1. Warmpath's own.
 *
 * Formula, per candidate:
 * - ahead = uncached prompt tokens of our requests there that have no first byte yet;
 * - own = prompt tokens of this request the endpoint would have to compute;
 * - load = requests running and waiting at the engine;
 * - work = max(1, ahead + own) × (1 + load / `loadScale`);
 * - score = least work / work, in (0, 1].
 * With continuous batching a prompt is computed in chunks that share each step with the decoding of everything that
 * runs, so time to first token grows with the tokens to compute and with the batch they share; the product needs no
 * weights between cache and load. With `loadScale` 1 it is the product LMetric uses (prefill tokens × batch size).
 * Parameters: `loadScale` (1 request). Inputs: prefix match, our prefill tokens in flight, effective load (see LoadView).
 * Limits: prompts that other routers sent count only through the engine's queue and running numbers.
 */
import { z } from "zod";
import { uncachedTokens } from "../../core/mod.ts";
import { definePlugin } from "../definition.ts";

export const tokenWorkScorer = definePlugin({
  type: "token-work-scorer",
  kinds: ["scorer"],
  summary: "least work before the first token: uncached tokens × load (Warmpath's own)",
  params: z.strictObject({ loadScale: z.number().positive("must be greater than 0").default(1) }),
  create: (name, { loadScale }) => ({
    type: "token-work-scorer",
    name,
    category: "balance",
    score({ view, match, table, load }, slots, n, out) {
      let least = Infinity;
      for (let i = 0; i < n; i++) {
        const slot = slots[i];
        const tokens = Math.max(1, table.prefillTokens[slot] + uncachedTokens(view, match, slot));
        out[i] = tokens * (1 + (load.running[slot] + load.waiting[slot]) / loadScale);
        if (out[i] < least) least = out[i];
      }
      for (let i = 0; i < n; i++) out[i] = least / out[i];
    },
  }),
});
