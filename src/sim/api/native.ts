import type { Context } from "hono";
import { z } from "zod";
import { ApiError } from "../api_error.ts";
import type { RequestTimes } from "../engine_types.ts";
import type { ModelServer } from "../model_server.ts";
import { detokenize, tokenize, tokenizeChat } from "../tokenizer.ts";
import {
  type AnswerJob,
  answerJobs,
  type Call,
  completeJobs,
  modelFields,
  parseBody,
  readCall,
  streamJobs,
  tokenIds,
  tokenLimit,
} from "./call.ts";
import { chatPrompt, turnsOf } from "./chat.ts";
import { promptsOf } from "./completions.ts";

const generateSchema = z.looseObject({
  ...modelFields,
  token_ids: tokenIds.min(1),
  sampling_params: z.looseObject({
    max_tokens: tokenLimit,
    n: z.int().min(1).max(128).nullish(),
    ignore_eos: z.boolean().nullish(),
  })
    .nullish(),
  stream: z.boolean().nullish(),
});

/** `POST /inference/v1/generate`: vLLM's token-in, token-out API. */
export async function generate(server: ModelServer, c: Context): Promise<Response> {
  const call = await readCall(server, c, generateSchema);
  const { token_ids, sampling_params, stream } = call.body;
  const jobs = answerJobs(call, [{ ids: Uint32Array.from(token_ids) }], {
    tokensMax: sampling_params?.max_tokens ?? 16,
    param: "sampling_params.max_tokens",
    n: sampling_params?.n,
    ignoreEos: sampling_params?.ignore_eos,
  });
  const choice = ({ answer }: AnswerJob, index: number, from: number, to: number) => ({
    index,
    token_ids: [...answer.ids.subarray(from, to)],
    logprobs: null,
    finish_reason: to === answer.ids.length ? answer.finishReason : null,
  });
  if (stream) {
    return streamJobs(call, jobs, {
      token: (job, index) =>
        `data: ${JSON.stringify({ request_id: call.id, choices: [choice(jobs[job], job, index, index + 1)] })}\n\n`,
      end: () => "data: [DONE]\n\n",
    });
  }
  await completeJobs(call, jobs);
  return c.json({
    request_id: call.id,
    choices: jobs.map((job, index) => choice(job, index, 0, job.answer.ids.length)),
    prompt_logprobs: null,
    kv_transfer_params: null,
  });
}

const sglangSchema = z.looseObject({
  text: z.union([z.string(), z.array(z.string()).min(1)]).nullish(),
  input_ids: z.union([tokenIds.min(1), z.array(tokenIds).min(1)]).nullish(),
  sampling_params: z.looseObject({
    max_new_tokens: tokenLimit,
    n: z.int().min(1).max(128).nullish(),
    ignore_eos: z.boolean().nullish(),
  }).nullish(),
  stream: z.boolean().nullish(),
  extra_key: z.string().nullish(),
  lora_path: z.string().nullish(),
});

/** SGLang's limit where the request names none. */
const sglangTokensDefault = 128;

/** `POST /generate`: SGLang's own API. One prompt gives an object, several give a list. */
export async function sglangGenerate(server: ModelServer, c: Context): Promise<Response> {
  const read = await readCall(server, c, sglangSchema);
  const { text, input_ids, sampling_params, stream, extra_key, lora_path } = read.body;
  const input = input_ids ?? text;
  if (input === null || input === undefined) {
    throw ApiError.badRequest("Either text or input_ids must be given", "text");
  }
  const { adapter } = server.resolve(lora_path);
  const call = { ...read, context: { ...read.context, adapter, salt: extra_key ?? undefined } };
  const single = typeof input === "string" || typeof input[0] === "number";
  const jobs = answerJobs(
    call,
    promptsOf(input),
    {
      tokensMax: sampling_params?.max_new_tokens ?? sglangTokensDefault,
      param: "sampling_params.max_new_tokens",
      n: sampling_params?.n,
      ignoreEos: sampling_params?.ignore_eos,
    },
  );
  if (stream) return sglangStream(call, jobs);
  const times = await completeJobs(call, jobs);
  const results = jobs.map((job, i) => sglangResult(call, job, i, job.answer.ids.length, times[i]));
  return c.json(jobs.length === 1 && single ? results[0] : results);
}

/** The answer after `count` tokens. */
function sglangResult(call: Call<unknown>, job: AnswerJob, index: number, count: number, times?: RequestTimes) {
  const { ids, finishReason } = job.answer;
  const ended = finishReason === "length"
    ? { type: "length", length: ids.length }
    : { type: "stop", matched: ids.at(-1) };
  const output = ids.subarray(0, count);
  return {
    text: detokenize(output),
    output_ids: [...output],
    meta_info: {
      id: index === 0 ? call.id : `${call.id}-${index}`,
      finish_reason: count === ids.length ? ended : null,
      prompt_tokens: job.ids.length,
      completion_tokens: count,
      ...(times && {
        cached_tokens: times.cachedTokens,
        e2e_latency: (times.finishedMs - times.arrivedMs) / 1000,
      }),
      weight_version: "default",
    },
  };
}

/**
 * Each event holds the whole text so far, as SGLang's do. The last event of a prompt comes when it has ended, as only
 * then its cached tokens are known.
 */
function sglangStream(call: Call<unknown>, jobs: AnswerJob[]): Response {
  const frame = (job: number, count: number, times?: RequestTimes) => {
    const result = sglangResult(call, jobs[job], job, count, times);
    return `data: ${JSON.stringify(jobs.length > 1 ? { index: job, ...result } : result)}\n\n`;
  };
  return streamJobs(call, jobs, {
    token: (job, index) => index === jobs[job].answer.ids.length - 1 ? "" : frame(job, index + 1),
    end: (times) => jobs.map((job, i) => frame(i, job.answer.ids.length, times[i])).join("") + "data: [DONE]\n\n",
  });
}

const tokenizeSchema = z.union([
  z.looseObject({ ...modelFields, prompt: z.string() }),
  z.looseObject({ ...modelFields, ...chatPrompt }),
]);

/** `POST /tokenize`: of a prompt or of chat messages. */
export async function tokenizeText(server: ModelServer, c: Context): Promise<Response> {
  const { body } = await readCall(server, c, tokenizeSchema);
  const ids = "prompt" in body && typeof body.prompt === "string"
    ? tokenize(body.prompt)
    : tokenizeChat(turnsOf((body as z.infer<typeof tokenizeSchema.options[1]>).messages), body.tools).ids;
  return c.json({ count: ids.length, max_model_len: server.options.maxModelLen, tokens: [...ids], token_strs: null });
}

const detokenizeSchema = z.looseObject({ tokens: tokenIds });

/** `POST /detokenize` */
export async function detokenizeIds(_server: ModelServer, c: Context): Promise<Response> {
  const { tokens } = parseBody(await c.req.text(), detokenizeSchema);
  return c.json({ prompt: detokenize(tokens) });
}
