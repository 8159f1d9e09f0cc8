/**
 * `token-work-scorer`: the endpoint where this request waits least and costs others least scores 1. Warmpath's own.
 *
 * Formula, per candidate:
 * - ahead = prompt tokens of our requests there that have no first byte yet, uncached ones,
 *           + `requestTokens` × (requests running + waiting at the engine);
 * - own = prompt tokens of this request the endpoint would have to compute + `requestTokens`;
 * - cost = (ahead + `computeWeight` × own) × own;
 * - score = least cost / cost, in (0, 1].
 * An engine computes prompts in order of arrival, so the request waits for ahead + own. Until that work is done further
 * requests arrive, the more the longer it takes, and each of them waits longer by own: the product is the delay of others,
 * beside which the request's own wait is small wherever there is load. Computing weighs more than waiting, as it also
 * stalls what decodes at the endpoint and displaces as many cached tokens. An endpoint with the prompt in cache is thus
 * left only for one with a much shorter queue, and a cached prefix that everyone shares still spreads over the pool.
 * Parameters: `requestTokens` (2048): what a request costs besides its prompt, in prompt tokens: some 500 output tokens at
 * about four prompt tokens each; `computeWeight` (6). Both only have to be of the right order: bench/RESULTS.md has hit
 * rate and TTFT for other values.
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
    requestTokens: z.number().positive("must be greater than 0").default(2048),
    computeWeight: z.number().positive("must be greater than 0").default(6),
  }),
  create: (name, { requestTokens, computeWeight }) => ({
    type: "token-work-scorer",
    name,
    category: "balance",
    score({ view, match, table, load }, slots, n, out) {
      let least = Infinity;
      for (let i = 0; i < n; i++) {
        const slot = slots[i];
        const ahead = table.prefillTokens[slot] + requestTokens * (load.running[slot] + load.waiting[slot]);
        const own = uncachedTokens(view, match, slot) + requestTokens;
        out[i] = (ahead + computeWeight * own) * own;
        if (out[i] < least) least = out[i];
      }
      for (let i = 0; i < n; i++) out[i] = least / out[i];
    },
  }),
});
