import type { Context } from "hono";
import { z } from "zod";
import type { ModelServer } from "../model_server.ts";
import { detokenize, tokenize, type TokenizedPrompt } from "../tokenizer.ts";
import {
  type AnswerJob,
  answerJobs,
  type Call,
  completeJobs,
  modelFields,
  readCall,
  streamJobs,
  tokenIds,
  usageOf,
} from "./call.ts";
import { chunkHead, streamFields } from "./chat.ts";

/** Text or token ids, one or several: what completions and embeddings take. */
export const promptInput = z.union([z.string(), z.array(z.string()).min(1), tokenIds.min(1), z.array(tokenIds).min(1)]);

const schema = z.looseObject({ ...modelFields, ...streamFields, prompt: promptInput });

/** vLLM's limit where the request names none. */
const tokensDefault = 16;

/** Token ids of each prompt. */
export function promptsOf(input: z.infer<typeof promptInput>): TokenizedPrompt[] {
  const items = typeof input === "string" || typeof input[0] === "number" ? [input] : input;
  return (items as (string | number[])[]).map((item) => ({
    ids: typeof item === "string" ? tokenize(item) : Uint32Array.from(item),
  }));
}

/** `POST /v1/completions` */
export async function completions(server: ModelServer, c: Context): Promise<Response> {
  const call = await readCall(server, c, schema);
  const { prompt, max_tokens, n, ignore_eos, stream } = call.body;
  const jobs = answerJobs(call, promptsOf(prompt), {
    tokensMax: max_tokens ?? tokensDefault,
    param: "max_tokens",
    n,
    ignoreEos: ignore_eos,
  });
  return stream ? streamed(call, jobs) : c.json(await whole(call, jobs));
}

async function whole(call: Call<z.infer<typeof schema>>, jobs: AnswerJob[]): Promise<Record<string, unknown>> {
  const times = await completeJobs(call, jobs);
  return {
    id: `cmpl-${call.id}`,
    object: "text_completion",
    created: call.createdS,
    model: call.model,
    choices: jobs.map(({ answer }, index) => ({
      index,
      text: detokenize(answer.ids),
      logprobs: null,
      finish_reason: answer.finishReason,
      stop_reason: null,
      prompt_logprobs: null,
    })),
    service_tier: null,
    system_fingerprint: null,
    usage: usageOf(jobs, times, call.body.n ?? 1),
    kv_transfer_params: null,
  };
}

function streamed(call: Call<z.infer<typeof schema>>, jobs: AnswerJob[]): Response {
  const head = chunkHead(`cmpl-${call.id}`, "text_completion", call.createdS, call.model);
  return streamJobs(call, jobs, {
    token(job, index) {
      const { ids, finishReason } = jobs[job].answer;
      const text = JSON.stringify(detokenize(ids.subarray(index, index + 1)));
      const finish = index === ids.length - 1 ? `"${finishReason}"` : "null";
      return `${head}{"index":${job},"text":${text},"logprobs":null,"finish_reason":${finish},"stop_reason":null}]}\n\n`;
    },
    end(times) {
      if (!call.body.stream_options?.include_usage) return "data: [DONE]\n\n";
      return `${head}],"usage":${JSON.stringify(usageOf(jobs, times, call.body.n ?? 1))}}\n\ndata: [DONE]\n\n`;
    },
  });
}
