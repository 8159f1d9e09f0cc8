/**
 * `token-producer` (alias `tokenizer`): how prompt length and token ids are known.
 *
 * Parameters: `modelName`; `estimate` ({}), llm-d's default: length from the text, no ids; `vllm{url, timeout 5s, mmTimeout
 * 30s}`: ids from a server's render requests. `url` defaults to `http://localhost:8000` as in llm-d. `mmTimeout` has no
 * effect, one timeout holds for all requests. A media `estimate` and `udsTokenizerConfig` are refused.
 */
import { z } from "zod";
import { definePlugin, durationMs } from "../definition.ts";

/** What the tokens room needs to ask a server for token ids. */
export interface RenderParams {
  /** Model whose prompts the server renders; absent: all. */
  readonly modelName?: string;
  readonly url: string;
  readonly timeoutMs: number;
}

/** `render` is absent with the estimate. */
export interface TokenParams {
  readonly render?: RenderParams;
}

const vllm = z.strictObject({
  url: z.string().regex(/^https?:\/\//, "must be an http(s) URL").default("http://localhost:8000"),
  timeout: durationMs.default(5000),
  mmTimeout: durationMs.optional(),
});

function tokenProducerType(type: string, deprecated?: string) {
  return definePlugin({
    type,
    kinds: ["producer"],
    summary: "prompt length by estimate, or token ids from a render server",
    deprecated,
    params: z.strictObject({
      modelName: z.string().optional(),
      estimate: z.record(z.string(), z.unknown()).optional(),
      vllm: vllm.optional(),
      udsTokenizerConfig: z.unknown().optional(),
    }),
    resolve(params, context): TokenParams {
      if (params.udsTokenizerConfig !== undefined) {
        throw context.fail("udsTokenizerConfig", "must be absent: use vllm, or tokenizer files by tokens.models");
      }
      const media = Object.keys(params.estimate ?? {})[0];
      if (media !== undefined) throw context.fail("estimate", `estimate.${media} is not supported yet, must be empty`);
      const { modelName, vllm } = params;
      if (vllm?.mmTimeout !== undefined) context.warn("mmTimeout has no effect, timeout holds for all requests");
      return { render: vllm && { modelName, url: vllm.url, timeoutMs: vllm.timeout } };
    },
  });
}

export const tokenProducer = tokenProducerType("token-producer");
export const tokenizer = tokenProducerType("tokenizer", "token-producer");
