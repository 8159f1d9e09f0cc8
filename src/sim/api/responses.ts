import type { Context } from "hono";
import { z } from "zod";
import type { RequestTimes } from "../engine_types.ts";
import type { ModelServer } from "../model_server.ts";
import { type ChatTurn, detokenize, tokenizeChat } from "../tokenizer.ts";
import {
  type AnswerJob,
  answerJobs,
  type Call,
  completeJobs,
  modelFields,
  readCall,
  streamJobs,
  tokenLimit,
} from "./call.ts";

const schema = z.looseObject({
  ...modelFields,
  input: z.union([z.string(), z.array(z.looseObject({}))]),
  instructions: z.string().nullish(),
  tools: z.array(z.unknown()).nullish(),
  max_output_tokens: tokenLimit,
  stream: z.boolean().nullish(),
  temperature: z.number().nullish(),
  top_p: z.number().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
});

type ResponsesCall = Call<z.infer<typeof schema>>;

function turnsOf({ input, instructions }: z.infer<typeof schema>): ChatTurn[] {
  const turns: ChatTurn[] = instructions ? [{ role: "system", content: instructions }] : [];
  if (typeof input === "string") return [...turns, { role: "user", content: input }];
  for (const item of input) {
    const { role, content } = item as { role?: unknown; content?: unknown };
    turns.push(typeof role === "string" ? { role, content } : { role: "tool", content: JSON.stringify(item) });
  }
  return turns;
}

/** `POST /v1/responses` */
export async function responses(server: ModelServer, c: Context): Promise<Response> {
  const call = await readCall(server, c, schema);
  const { tools, max_output_tokens, stream } = call.body;
  const [job] = answerJobs(call, [tokenizeChat(turnsOf(call.body), tools)], {
    tokensMax: max_output_tokens,
    param: "max_output_tokens",
  });
  if (stream) return streamed(call, job);
  const [times] = await completeJobs(call, [job]);
  return c.json(finished(call, job, times));
}

/** The response object; `more` are the fields that change in the course of a stream. */
function responseObject(call: ResponsesCall, more: Record<string, unknown>): Record<string, unknown> {
  const { instructions, tools, max_output_tokens, temperature, top_p, metadata } = call.body;
  return {
    id: `resp_${call.id}`,
    object: "response",
    created_at: call.createdS,
    status: "in_progress",
    background: false,
    error: null,
    incomplete_details: null,
    instructions: instructions ?? null,
    max_output_tokens: max_output_tokens ?? null,
    max_tool_calls: null,
    metadata: metadata ?? null,
    model: call.model,
    output: [],
    parallel_tool_calls: true,
    previous_response_id: null,
    prompt: null,
    reasoning: null,
    service_tier: "auto",
    temperature: temperature ?? 1,
    text: null,
    tool_choice: "auto",
    tools: tools ?? [],
    top_logprobs: null,
    top_p: top_p ?? 1,
    truncation: "disabled",
    usage: null,
    user: null,
    ...more,
  };
}

function textPart(text: string): Record<string, unknown> {
  return { type: "output_text", text, annotations: [], logprobs: null };
}

function message(call: ResponsesCall, status: string, content: unknown[]): Record<string, unknown> {
  return { id: `msg_${call.id}`, type: "message", role: "assistant", status, content };
}

function finished(call: ResponsesCall, { ids, answer }: AnswerJob, times: RequestTimes): Record<string, unknown> {
  const cut = answer.finishReason === "length";
  const status = cut ? "incomplete" : "completed";
  return responseObject(call, {
    status,
    incomplete_details: cut ? { reason: "max_output_tokens" } : null,
    output: [message(call, status, [textPart(detokenize(answer.ids))])],
    usage: {
      input_tokens: ids.length,
      input_tokens_details: { cached_tokens: times.cachedTokens },
      output_tokens: answer.ids.length,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: ids.length + answer.ids.length,
    },
  });
}

/** As vLLM, the last event is `response.completed` also where `status` says that the answer is incomplete. */
function streamed(call: ResponsesCall, job: AnswerJob): Response {
  let sequence = 0;
  const frame = (type: string, fields: Record<string, unknown>) =>
    `event: ${type}\ndata: ${JSON.stringify({ type, sequence_number: sequence++, ...fields })}\n\n`;
  const place = { item_id: `msg_${call.id}`, output_index: 0, content_index: 0 };
  return streamJobs(call, [job], {
    begin: () =>
      frame("response.created", { response: responseObject(call, {}) }) +
      frame("response.in_progress", { response: responseObject(call, {}) }),
    token(_, index) {
      const opening = index > 0 ? "" : frame("response.output_item.added", {
        output_index: 0,
        item: message(call, "in_progress", []),
      }) + frame("response.content_part.added", { ...place, part: textPart("") });
      const delta = detokenize(job.answer.ids.subarray(index, index + 1));
      return opening + frame("response.output_text.delta", { ...place, delta, logprobs: [] });
    },
    end([times]) {
      const text = detokenize(job.answer.ids);
      const response = finished(call, job, times);
      const [item] = response.output as unknown[];
      return frame("response.output_text.done", { ...place, text, logprobs: [] }) +
        frame("response.content_part.done", { ...place, part: textPart(text) }) +
        frame("response.output_item.done", { output_index: 0, item }) +
        frame("response.completed", { response });
    },
  });
}
