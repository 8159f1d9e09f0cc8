/**
 * `token-producer` (alias `tokenizer`): how prompt length is known. Only llm-d's default backend, the estimate, is
 * supported; a `vllm`, `udsTokenizerConfig` or media `estimate` section is refused.
 *
 * Parameters: `modelName` (accepted, the estimate needs no model), `estimate` ({}).
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";

function tokenProducerType(type: string, deprecated?: string) {
  return definePlugin({
    type,
    kinds: ["producer"],
    summary: "prompt length by estimate",
    deprecated,
    params: z.strictObject({
      modelName: z.string().optional(),
      estimate: z.record(z.string(), z.unknown()).optional(),
      vllm: z.unknown().optional(),
      udsTokenizerConfig: z.unknown().optional(),
    }),
    resolve(params, context) {
      for (const key of ["vllm", "udsTokenizerConfig"] as const) {
        if (params[key] !== undefined) throw context.fail(key, "is not supported yet, only the estimate backend is");
      }
      const media = Object.keys(params.estimate ?? {})[0];
      if (media !== undefined) throw context.fail("estimate", `estimate.${media} is not supported yet, must be empty`);
      return { modelName: params.modelName };
    },
  });
}

export const tokenProducer = tokenProducerType("token-producer");
export const tokenizer = tokenProducerType("tokenizer", "token-producer");
