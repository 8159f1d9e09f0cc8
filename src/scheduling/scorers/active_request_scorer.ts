/**
 * `active-request-scorer`: fewer of our own requests in flight score higher.
 *
 * Formula: count ≤ `idleThreshold` → 1; else `(max − count)/max × maxBusyScore`, max over the candidates.
 * Parameters: `idleThreshold` (0), `maxBusyScore` (1.0), `inFlightLoadProducerName`. Inputs: our requests in flight.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { checkInflightProducer, inflightProducerName } from "../inflight.ts";

export const activeRequestScorer = definePlugin({
  type: "active-request-scorer",
  kinds: ["scorer"],
  summary: "fewest of our requests in flight",
  params: z.strictObject({
    idleThreshold: z.number().int().nonnegative("must be at least 0").default(0),
    maxBusyScore: z.number().min(0, "must be at least 0").max(1, "must be at most 1").default(1),
    inFlightLoadProducerName: inflightProducerName,
  }),
  resolve(params, context) {
    checkInflightProducer(params.inFlightLoadProducerName, context);
    return params;
  },
  create: (name, { idleThreshold, maxBusyScore }) => ({
    type: "active-request-scorer",
    name,
    category: "distribution",
    score({ table }, slots, n, out) {
      let max = 0;
      for (let i = 0; i < n; i++) max = Math.max(max, table.requests[slots[i]]);
      for (let i = 0; i < n; i++) {
        const count = table.requests[slots[i]];
        out[i] = count <= idleThreshold ? 1 : (max - count) / max * maxBusyScore;
      }
    },
  }),
});
