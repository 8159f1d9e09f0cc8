import type { Context } from "hono";
import { z } from "zod";
import type { ModelServer } from "../model_server.ts";
import { ApiError } from "../api_error.ts";
import { detokenize, tokenize, tokenizeChat } from "../tokenizer.ts";
import {
  type AnswerJob,
  answerJobs,
  type Call,
  completeJobs,
  modelFields,
  readCall,
  streamJobs,
  tokenLimit,
  usageOf,
} from "./call.ts";

/** Messages of a chat in any OpenAI form; contents are looked at by the tokenizer alone. */
export const chatMessages = z.array(z.looseObject({ role: z.string(), content: z.unknown().optional() })).min(1);

/** Fields of a chat that make its prompt. */
export const chatPrompt = { messages: chatMessages, tools: z.array(z.unknown()).nullish() };

/** Fields of streaming requests in OpenAI's form. */
export const streamFields = {
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  n: z.int().min(1).max(128).nullish(),
  ignore_eos: z.boolean().nullish(),
  max_tokens: tokenLimit,
};

const schema = z.looseObject({
  ...modelFields,
  ...chatPrompt,
  ...streamFields,
  max_completion_tokens: tokenLimit,
  add_generation_prompt: z.boolean().nullish(),
  continue_final_message: z.boolean().nullish(),
});

/** Message contents and tool calls as the tokenizer takes them. */
export function turnsOf(messages: z.infer<typeof chatMessages>): { role: string; content: unknown }[] {
  return messages.map(({ role, content, tool_calls }) => ({
    role,
    content: Array.isArray(tool_calls) && tool_calls.length > 0
      ? [content ?? "", JSON.stringify(tool_calls)].flat()
      : content,
  }));
}

/** `POST /v1/chat/completions` */
export async function chat(server: ModelServer, c: Context): Promise<Response> {
  const call = await readCall(server, c, schema);
  const { messages, tools, max_completion_tokens, max_tokens, n, ignore_eos, stream } = call.body;
  const begun = begunText(call.body);
  const jobs = answerJobs(call, [tokenizeChat(turnsOf(messages), tools, begun !== undefined)], {
    begun: begun === undefined ? 0 : tokenize(begun).length,
    tokensMax: max_completion_tokens ?? max_tokens,
    param: typeof max_completion_tokens === "number" ? "max_completion_tokens" : "max_tokens",
    n,
    ignoreEos: ignore_eos,
  });
  return stream ? streamed(call, jobs) : c.json(await whole(call, jobs));
}

/** The beginning of the answer that the last message gives; undefined where it gives none. Throws as vLLM does. */
function begunText({ messages, continue_final_message, add_generation_prompt }: z.infer<typeof schema>) {
  if (!continue_final_message) return undefined;
  if (add_generation_prompt !== false) {
    throw ApiError.badRequest("Cannot set both `continue_final_message` and `add_generation_prompt` to True.");
  }
  const { role, content } = messages[messages.length - 1];
  if (role === "assistant" && typeof content === "string") return content;
  throw ApiError.badRequest("The final message must be the assistant's, with text, to be continued", "messages");
}

async function whole(call: Call<z.infer<typeof schema>>, jobs: AnswerJob[]): Promise<Record<string, unknown>> {
  const times = await completeJobs(call, jobs);
  return {
    id: `chatcmpl-${call.id}`,
    object: "chat.completion",
    created: call.createdS,
    model: call.model,
    choices: jobs.map(({ answer }, index) => ({
      index,
      message: {
        role: "assistant",
        content: detokenize(answer.ids),
        refusal: null,
        annotations: null,
        audio: null,
        function_call: null,
        tool_calls: [],
        reasoning_content: null,
      },
      logprobs: null,
      finish_reason: answer.finishReason,
      stop_reason: null,
    })),
    service_tier: null,
    system_fingerprint: null,
    usage: usageOf(jobs, times, jobs.length),
    prompt_logprobs: null,
    kv_transfer_params: null,
  };
}

/** Beginning of every chunk of a stream, up to its choices. */
export function chunkHead(id: string, object: string, createdS: number, model: string): string {
  return `data: {"id":"${id}","object":"${object}","created":${createdS},"model":${JSON.stringify(model)},"choices":[`;
}

function streamed(call: Call<z.infer<typeof schema>>, jobs: AnswerJob[]): Response {
  const head = chunkHead(`chatcmpl-${call.id}`, "chat.completion.chunk", call.createdS, call.model);
  const open = '"logprobs":null,"finish_reason":null}]}\n\n';
  return streamJobs(call, jobs, {
    token(job, index) {
      const { ids, finishReason } = jobs[job].answer;
      const start = `${head}{"index":${job},"delta":`;
      const role = index === 0 ? `${start}{"role":"assistant","content":""},${open}` : "";
      const text = JSON.stringify(detokenize(ids.subarray(index, index + 1)));
      const last = `"logprobs":null,"finish_reason":"${finishReason}","stop_reason":null}]}\n\n`;
      return `${role}${start}{"content":${text}},${index === ids.length - 1 ? last : open}`;
    },
    end(times) {
      if (!call.body.stream_options?.include_usage) return "data: [DONE]\n\n";
      return `${head}],"usage":${JSON.stringify(usageOf(jobs, times, jobs.length))}}\n\ndata: [DONE]\n\n`;
    },
  });
}
