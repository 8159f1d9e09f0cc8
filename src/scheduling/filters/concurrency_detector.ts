/**
 * `concurrency-detector` as a filter: keeps endpoints below a limit of our own work in flight; may leave none.
 *
 * Keep rule: requests mode `requests < maxConcurrency × (1 + headroom)`; tokens mode
 * `tokens < maxTokenConcurrency × (1 + headroom)`; hybrid both.
 * Parameters: `maxConcurrency` (100), `headroom` (0), `concurrencyMode` requests|tokens|hybrid (requests),
 * `maxTokenConcurrency` (1000000), `inFlightLoadProducerName`.
 * Inputs: our requests and tokens in flight. Limits: its use as saturation detector belongs to flow control.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { inflightProducerName, inflightTokens, inflightTokensKind } from "../inflight.ts";

export const concurrencyDetector = definePlugin({
  type: "concurrency-detector",
  kinds: ["filter"],
  summary: "our requests or tokens in flight below a limit",
  params: z.strictObject({
    maxConcurrency: z.number().int().positive("must be greater than 0").default(100),
    headroom: z.number().nonnegative("must be at least 0").default(0),
    concurrencyMode: z.enum(["requests", "tokens", "hybrid"], "must be requests, tokens or hybrid").default("requests"),
    maxTokenConcurrency: z.number().int().positive("must be greater than 0").default(1_000_000),
    inFlightLoadProducerName: inflightProducerName,
  }),
  resolve: (params, context) => ({ ...params, tokens: inflightTokensKind(params.inFlightLoadProducerName, context) }),
  create(name, { maxConcurrency, headroom, concurrencyMode, maxTokenConcurrency, tokens }) {
    const requestsLimit = concurrencyMode === "tokens" ? Infinity : maxConcurrency * (1 + headroom);
    const tokensLimit = concurrencyMode === "requests" ? Infinity : maxTokenConcurrency * (1 + headroom);
    return {
      type: "concurrency-detector",
      name,
      transient: true,
      keep(ctx, slots, n) {
        let kept = 0;
        for (let i = 0; i < n; i++) {
          const slot = slots[i];
          if (ctx.table.requests[slot] < requestsLimit && inflightTokens(ctx, slot, tokens) < tokensLimit) {
            slots[kept++] = slot;
          }
        }
        return kept;
      },
    };
  },
});
