/**
 * `token-work-scorer`: the endpoint where this request waits least and costs others least scores 1. Warmpath's own.
 *
 * Formula, per candidate:
 * - ahead = prompt tokens of our requests there that have no first byte yet, uncached ones,
 *           + `requestTokens` × (requests running + waiting at the engine);
 * - own = prompt tokens of this request the endpoint would have to compute, those it has off the GPU by the tier's load
 *   share, + `requestTokens`;
 * - cost = (ahead + `computeWeight` × own) × own;
 * - score = least cost / cost, in (0, 1].
 * An engine computes prompts in order of arrival, so the request waits for ahead + own. Until that work is done further
 * requests arrive, the more the longer it takes, and each of them waits longer by own: the product is the delay of others,
 * beside which the request's own wait is small wherever there is load. Computing weighs more than waiting, as it also
 * stalls what decodes at the endpoint and displaces as many cached tokens. An endpoint with the prompt in cache is thus
 * left only for one with a much shorter queue, and a cached prefix that everyone shares still spreads over the pool.
 * Parameters: `requestTokens` (2048): what a request costs besides its prompt, in prompt tokens: some 500 output tokens at
 * about four prompt tokens each; `computeWeight` (6). Both only have to be of the right order: bench/RESULTS.md has hit
 * rate and TTFT for other values. `tierLoadShares` {cpu 0.05, disk 0.25, shared 0.25}: time to load a token's KV from a
 * tier over the time to compute it. Published times for a 120B mixture-of-experts model on one H200 that pulls KV over
 * the network are 57 of 250 ms for 8k tokens and 235 of 1,988 ms for 48k: 0.23 falling to 0.12, so storage is taken at
 * the upper end; host memory is read some five times as fast as a network. At 1 and above a tier counts as not held.
 * Inputs: prefix match, our prefill tokens in flight, effective load (see LoadView).
 * Limits: prompts that other routers sent count by their number only; a prompt counts as ahead in full until its first
 * byte, however much of it is computed.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { workTokens } from "../prefix.ts";

const share = z.number().nonnegative("must be at least 0");

export const tokenWorkScorer = definePlugin({
  type: "token-work-scorer",
  kinds: ["scorer"],
  summary: "least work ahead and least work brought (Warmpath's own)",
  params: z.strictObject({
    requestTokens: z.number().positive("must be greater than 0").default(2048),
    computeWeight: z.number().positive("must be greater than 0").default(6),
    tierLoadShares: z.strictObject({
      cpu: share.default(0.05),
      disk: share.default(0.25),
      shared: share.default(0.25),
    }).prefault({}),
  }),
  create: (name, { requestTokens, computeWeight, tierLoadShares }) => ({
    type: "token-work-scorer",
    name,
    category: "balance",
    score({ view, match, table, load }, slots, n, out) {
      let least = Infinity;
      for (let i = 0; i < n; i++) {
        const slot = slots[i];
        const ahead = table.prefillTokens[slot] + requestTokens * (load.running[slot] + load.waiting[slot]);
        const own = workTokens(view, match, slot, tierLoadShares) + requestTokens;
        out[i] = (ahead + computeWeight * own) * own;
        if (out[i] < least) least = out[i];
      }
      for (let i = 0; i < n; i++) out[i] = least / out[i];
    },
  }),
});
