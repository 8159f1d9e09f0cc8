import type { Context } from "hono";
import { z } from "zod";
import type { RequestTimes } from "../engine_types.ts";
import type { ModelServer } from "../model_server.ts";
import { type ChatTurn, detokenize, tokenizeChat, type TokenizedPrompt } from "../tokenizer.ts";
import { type AnswerJob, answerJobs, type Call, completeJobs, modelFields, readCall, streamJobs } from "./call.ts";
import { chatMessages } from "./chat.ts";

const promptFields = {
  ...modelFields,
  messages: chatMessages,
  system: z.union([z.string(), z.array(z.looseObject({ text: z.string() }))]).nullish(),
  tools: z.array(z.unknown()).nullish(),
};

const countSchema = z.looseObject(promptFields);
const schema = z.looseObject({ ...promptFields, max_tokens: z.int().min(1), stream: z.boolean().nullish() });

function promptOf({ messages, system, tools }: z.infer<typeof countSchema>): TokenizedPrompt {
  const turns: ChatTurn[] = system ? [{ role: "system", content: system }] : [];
  for (const { role, content } of messages) turns.push({ role, content });
  return tokenizeChat(turns, tools);
}

/** `POST /v1/messages/count_tokens` */
export async function countTokens(server: ModelServer, c: Context): Promise<Response> {
  const { body } = await readCall(server, c, countSchema);
  return c.json({ input_tokens: promptOf(body).ids.length });
}

/**
 * `POST /v1/messages`. As in vLLM, `input_tokens` counts the whole prompt; `cache_read_input_tokens` says how much of it
 * came from the cache.
 */
export async function messages(server: ModelServer, c: Context): Promise<Response> {
  const call = await readCall(server, c, schema);
  const [job] = answerJobs(call, [promptOf(call.body)], { tokensMax: call.body.max_tokens, param: "max_tokens" });
  if (call.body.stream) return streamed(call, job);
  const [times] = await completeJobs(call, [job]);
  return c.json({
    ...messageObject(call),
    content: [{ type: "text", text: detokenize(job.answer.ids), citations: null }],
    stop_reason: stopReason(job),
    usage: usage(job, times),
  });
}

function messageObject(call: Call<unknown>): Record<string, unknown> {
  return {
    id: `msg_${call.id}`,
    type: "message",
    role: "assistant",
    model: call.model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
  };
}

function stopReason({ answer }: AnswerJob): string {
  return answer.finishReason === "length" ? "max_tokens" : "end_turn";
}

function usage({ ids, answer }: AnswerJob, times: RequestTimes): Record<string, unknown> {
  return {
    input_tokens: ids.length,
    cache_creation_input_tokens: null,
    cache_read_input_tokens: times.cachedTokens,
    output_tokens: answer.ids.length,
  };
}

function frame(type: string, fields: Record<string, unknown>): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...fields })}\n\n`;
}

function streamed(call: Call<unknown>, job: AnswerJob): Response {
  return streamJobs(call, [job], {
    token(_, index) {
      const opening = index > 0 ? "" : frame("message_start", {
        message: { ...messageObject(call), usage: { input_tokens: job.ids.length, output_tokens: 0 } },
      }) + frame("content_block_start", { index: 0, content_block: { type: "text", text: "" } });
      const text = detokenize(job.answer.ids.subarray(index, index + 1));
      return opening + frame("content_block_delta", { index: 0, delta: { type: "text_delta", text } });
    },
    end([times]) {
      return frame("content_block_stop", { index: 0 }) +
        frame("message_delta", {
          delta: { stop_reason: stopReason(job), stop_sequence: null },
          usage: usage(job, times),
        }) +
        frame("message_stop", {});
    },
  });
}
