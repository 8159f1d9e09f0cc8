/**
 * `token-work-scorer`: the endpoint where this request waits least and makes others wait least scores 1. Warmpath's own.
 *
 * Formula, per candidate:
 * - ahead = prompt tokens of our requests there that have no first byte yet, uncached ones,
 *           + `loadTokens` × (requests running + waiting at the engine);
 * - own = prompt tokens of this request the endpoint would have to compute + expected output, which is the request's
 *         own limit but at most `outputTokens`;
 * - cost = (ahead + own) × own;
 * - score = least cost / cost, in (0, 1].
 * An engine computes prompts in order of arrival, so the request waits for ahead + own. Until that work is done, further
 * requests arrive, the more the longer it takes, and each of them waits longer by own. The product is this delay of
 * others; the request's own wait is small beside it wherever there is any load. Waiting in a queue for a cached prefix is
 * thus preferred to computing it again up to (own uncached / own cached) times the wait.
 * Parameters: `loadTokens` (1024): what a running request's decoding costs, in prompt tokens: about 300 output tokens,
 * at a few prompt tokens each; `outputTokens` (256). Both only have to be of the right order: hit rate and TTFT of the
 * replay benchmark differ by 2 % from 256 to 2,048 `loadTokens`.
 * Inputs: prefix match, our prefill tokens in flight, effective load (see LoadView).
 * Limits: prompts that other routers sent count by their number only; a prompt counts as ahead in full until its first
 * byte, however much of it is computed.
 */
import { z } from "zod";
import { uncachedTokens } from "../../core/mod.ts";
import { definePlugin } from "../definition.ts";

export const tokenWorkScorer = definePlugin({
  type: "token-work-scorer",
  kinds: ["scorer"],
  summary: "least work ahead and least work brought (Warmpath's own)",
  params: z.strictObject({
    loadTokens: z.number().positive("must be greater than 0").default(1024),
    outputTokens: z.number().positive("must be greater than 0").default(256),
  }),
  create: (name, { loadTokens, outputTokens }) => ({
    type: "token-work-scorer",
    name,
    category: "balance",
    score({ view, match, table, load }, slots, n, out) {
      const output = Math.min(view.maxOutputTokens ?? outputTokens, outputTokens);
      let least = Infinity;
      for (let i = 0; i < n; i++) {
        const slot = slots[i];
        const ahead = table.prefillTokens[slot] + loadTokens * (load.running[slot] + load.waiting[slot]);
        // At least one token, so that load still tells endpoints apart when there is nothing to compute.
        const own = Math.max(1, uncachedTokens(view, match, slot) + output);
        out[i] = (ahead + own) * own;
        if (out[i] < least) least = out[i];
      }
      for (let i = 0; i < n; i++) out[i] = least / out[i];
    },
  }),
});
