/**
 * `inflight-load-producer`: what a request adds to an endpoint's in-flight load.
 *
 * Parameters: `addEstimatedOutputTokens` (false), `outputRatio` (1.5 output tokens a prompt token),
 * `maxEstimatedOutputTokens` (no cap), `prefixMatchInfoProducerName`, `syncCrossReplicaState` (true, no effect: there
 * is nothing to synchronise with).
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { prefixProducerName, producerWeights } from "../prefix.ts";

/** What the pipeline needs to reserve load. */
export interface InflightLoadParams {
  readonly addEstimatedOutputTokens: boolean;
  readonly outputRatio: number;
  readonly maxEstimatedOutputTokens?: number;
}

export const inflightLoadProducer = definePlugin({
  type: "inflight-load-producer",
  kinds: ["producer"],
  summary: "our requests and tokens in flight",
  params: z.strictObject({
    addEstimatedOutputTokens: z.boolean().default(false),
    outputRatio: z.number().nonnegative("must be at least 0").default(1.5),
    maxEstimatedOutputTokens: z.number().int().positive("must be greater than 0").optional(),
    prefixMatchInfoProducerName: prefixProducerName,
    syncCrossReplicaState: z.boolean().default(true),
  }),
  resolve(params, context): InflightLoadParams {
    producerWeights(params.prefixMatchInfoProducerName, context);
    const { addEstimatedOutputTokens, outputRatio, maxEstimatedOutputTokens } = params;
    return { addEstimatedOutputTokens, outputRatio, maxEstimatedOutputTokens };
  },
});
