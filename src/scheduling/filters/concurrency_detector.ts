/**
 * `concurrency-detector`: as a filter, keeps endpoints below a limit of our own work in flight; may leave none. As the
 * saturation detector of flow control, the limits are what makes an endpoint full.
 *
 * Keep rule: requests mode `requests < maxConcurrency × (1 + headroom)`; tokens mode
 * `tokens < maxTokenConcurrency × (1 + headroom)`; hybrid both.
 * Parameters: `maxConcurrency` (100), `headroom` (0, filter only), `concurrencyMode` requests|tokens|hybrid (requests),
 * `maxTokenConcurrency` (1000000), `inFlightLoadProducerName`.
 * Inputs: our requests and tokens in flight.
 */
import { z } from "zod";
import { concurrencyDefaults, type SaturationConfig } from "../../config/mod.ts";
import { definePlugin } from "../definition.ts";
import { inflightProducerName, inflightTokens, inflightTokensKind } from "../inflight.ts";

const { maxConcurrency, mode, maxTokenConcurrency } = concurrencyDefaults;

const params = z.strictObject({
  maxConcurrency: z.number().int().positive("must be greater than 0").default(maxConcurrency),
  headroom: z.number().nonnegative("must be at least 0").default(0),
  concurrencyMode: z.enum(["requests", "tokens", "hybrid"], "must be requests, tokens or hybrid").default(mode),
  maxTokenConcurrency: z.number().int().positive("must be greater than 0").default(maxTokenConcurrency),
  inFlightLoadProducerName: inflightProducerName,
});

export type ConcurrencyParams = z.output<typeof params>;

/** The same parameters as flow control takes them. */
export function concurrencySaturation(params: ConcurrencyParams): SaturationConfig {
  const { concurrencyMode: mode, maxConcurrency, maxTokenConcurrency } = params;
  return { detector: "concurrency", mode, maxConcurrency, maxTokenConcurrency };
}

export const concurrencyDetector = definePlugin({
  type: "concurrency-detector",
  kinds: ["filter", "saturation-detector"],
  summary: "our requests or tokens in flight below a limit",
  params,
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
