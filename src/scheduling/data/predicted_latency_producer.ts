/**
 * `predicted-latency-producer`: how latencies are predicted.
 *
 * Parameters: `sloBufferFactor` (1): TPOT targets are multiplied by it before they are compared; `predictInProduce` (true;
 * false: samples are gathered and trained on, and nothing is predicted); `endpointRoleLabel` (""): label whose value
 * `prefill` or `decode` is a feature. Without effect: `streamingMode`, as each request tells whether it streams; `contextTTL`
 * (5m), as nothing outlives its request; `useEncoderCacheFeatures`, as encoder caches are not known; `samplingMean`,
 * `maxDecodeTokenSamplesForPrediction`, as in llm-d. `prefixMatchInfoProducerName`, `inFlightLoadProducerName` and
 * `encoderCacheMatchInfoProducerName` must be plugins that are listed. Limits: one such producer.
 */
import { z } from "zod";
import { definePlugin, durationMs } from "../definition.ts";
import { checkInflightProducer, inflightProducerName } from "../inflight.ts";
import { prefixProducerName, producerWeights } from "../prefix.ts";

/** What the latency room is told. */
export interface PredictedLatencyParams {
  /** Absent: as configured elsewhere. */
  readonly tpotBufferFactor?: number;
  /** False: trains alone. */
  readonly predicts: boolean;
  /** Endpoint label that holds the role; absent: no endpoint has one. */
  readonly roleLabel?: string;
}

export const predictedLatencyProducer = definePlugin({
  type: "predicted-latency-producer",
  kinds: ["producer"],
  summary: "latencies predicted from past requests",
  params: z.strictObject({
    streamingMode: z.boolean().optional(),
    sloBufferFactor: z.number().positive("must be greater than 0").optional(),
    // Go's JSON has a duration as a number of nanoseconds.
    contextTTL: z.union([z.int(), durationMs], "must be a duration such as 5m").optional(),
    endpointRoleLabel: z.string().default(""),
    predictInProduce: z.boolean().default(true),
    useEncoderCacheFeatures: z.boolean().default(false),
    samplingMean: z.number().optional(),
    maxDecodeTokenSamplesForPrediction: z.number().optional(),
    prefixMatchInfoProducerName: prefixProducerName,
    inFlightLoadProducerName: inflightProducerName,
    encoderCacheMatchInfoProducerName: z.string().optional(),
  }),
  resolve(params, context): PredictedLatencyParams {
    producerWeights(params.prefixMatchInfoProducerName, context);
    checkInflightProducer(params.inFlightLoadProducerName, context);
    const encoders = "encoderCacheMatchInfoProducerName";
    context.find(["mm-embeddings-cache-producer"], encoders, params[encoders]);
    if (params.streamingMode === false) {
      context.warn("streamingMode has no effect, each request tells whether it streams");
    }
    if (params.useEncoderCacheFeatures) {
      context.warn("useEncoderCacheFeatures has no effect, encoder caches are not known");
    }
    for (const key of ["contextTTL", "samplingMean", "maxDecodeTokenSamplesForPrediction"] as const) {
      if (params[key] !== undefined) context.warn(`${key} has no effect`);
    }
    return {
      ...(params.sloBufferFactor !== undefined && { tpotBufferFactor: params.sloBufferFactor }),
      predicts: params.predictInProduce,
      ...(params.endpointRoleLabel !== "" && { roleLabel: params.endpointRoleLabel }),
    };
  },
});
