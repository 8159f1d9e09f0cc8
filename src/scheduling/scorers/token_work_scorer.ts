/**
 * `token-work-scorer`: the endpoint where this request waits least and costs others least scores 1. Warmpath's own.
 *
 * Formula, per candidate, in prompt tokens to compute:
 * - ahead = what is left to compute of our requests' prompts there, + `requestTokens` × (requests running + waiting at the
 *   engine). Where the endpoint's feed is LIVE, what it told as stored is done; elsewhere the uncached tokens of a prompt
 *   count in full until its first byte;
 * - own = prompt tokens of this request the endpoint would have to compute, those it has off the GPU by the tier's load
 *   share;
 * - cost = `requestTokens` + ahead + own × (`computeWeight` + (ahead + own) / `arrivalTokens`);
 * - score = least cost / cost, in (0, 1].
 * An engine computes prompts in order of arrival, so the request waits for ahead + own. While that work lasts further
 * requests arrive, one in every `arrivalTokens`, and each waits longer by own. Computing weighs more than waiting, as it
 * stalls what decodes at the endpoint and displaces as many cached tokens, which others would have found. An endpoint with
 * the prompt in cache is thus left only for one with a much shorter queue, and a cached prefix that everyone shares still
 * spreads over the pool.
 * Parameters: `requestTokens` (1024): what a running or waiting request holds up the queue besides its prompt;
 * `computeWeight` (12); `arrivalTokens` (10000): tokens an endpoint computes from one arrival to the next, which is the
 * uncached length of a prompt where there is load. All only have to be of the right order: bench/RESULTS.md has hit rate
 * and TTFT for other values. `tierLoadShares` {cpu 0.05, disk 0.25, shared 0.25}: time to load a token's KV from a tier
 * over the time to compute it. Published times for a 120B mixture-of-experts model on one H200 that pulls KV over the
 * network are 57 of 250 ms for 8k tokens and 235 of 1,988 ms for 48k: 0.23 falling to 0.12, so storage is taken at the
 * upper end; host memory is read some five times as fast as a network. At 1 and above a tier counts as not held.
 * Inputs: prefix match, our prefill tokens in flight, effective load (see LoadView).
 * Limits: prompts that other routers sent count by their number only.
 */
import { z } from "zod";
import { promptTokensAhead, tierLoadSharesDefault, workTokens } from "../../core/mod.ts";
import { definePlugin } from "../definition.ts";
import type { DecisionContext } from "../types.ts";

const share = z.number().nonnegative("must be at least 0");

const positive = z.number().positive("must be greater than 0");

export const tokenWorkParams = z.strictObject({
  requestTokens: positive.default(1024),
  computeWeight: positive.default(12),
  arrivalTokens: positive.default(10_000),
  tierLoadShares: z.strictObject({
    cpu: share.default(tierLoadSharesDefault.cpu),
    disk: share.default(tierLoadSharesDefault.disk),
    shared: share.default(tierLoadSharesDefault.shared),
  }).prefault({}),
});
export type TokenWorkParams = z.output<typeof tokenWorkParams>;

/** Writes the scores of the formula above. */
export function scoreTokenWork(
  { requestTokens, computeWeight, arrivalTokens, tierLoadShares }: TokenWorkParams,
  { view, match, table, load }: DecisionContext,
  slots: Uint16Array,
  n: number,
  out: Float64Array,
): void {
  let least = Infinity;
  for (let i = 0; i < n; i++) {
    const slot = slots[i];
    const requests = load.running[slot] + load.waiting[slot];
    const ahead = promptTokensAhead(table, match, slot) + requestTokens * requests;
    const own = workTokens(view, match, slot, tierLoadShares);
    out[i] = requestTokens + ahead + own * (computeWeight + (ahead + own) / arrivalTokens);
    if (out[i] < least) least = out[i];
  }
  for (let i = 0; i < n; i++) out[i] = least / out[i];
}

export const tokenWorkScorer = definePlugin({
  type: "token-work-scorer",
  kinds: ["scorer"],
  summary: "least work ahead and least work brought (Warmpath's own)",
  params: tokenWorkParams,
  create: (name, params) => ({
    type: "token-work-scorer",
    name,
    category: "balance",
    score: (ctx, slots, n, out) => scoreTokenWork(params, ctx, slots, n, out),
  }),
});
