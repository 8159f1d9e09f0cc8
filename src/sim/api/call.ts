import type { Context } from "hono";
import { z } from "zod";
import { ApiError } from "../api_error.ts";
import type { RequestTimes } from "../engine_types.ts";
import { type Answer, answerTo } from "../generation.ts";
import type { Job, JobContext, ModelServer } from "../model_server.ts";
import type { TokenizedPrompt } from "../tokenizer.ts";

/** One request on its way: the parsed body and what every dialect needs beside it. */
export interface Call<B> {
  readonly server: ModelServer;
  readonly body: B;
  /** The model's name as it is reported back. */
  readonly model: string;
  readonly context: JobContext;
  /** `x-request-id` of the client, or a new one. */
  readonly id: string;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
  /** Unix seconds. */
  readonly createdS: number;
}

/** Fields of every dialect that names a model. */
export const modelFields = {
  model: z.string().nullish(),
  cache_salt: z.string().nullish(),
};

/** A count of tokens of which there must be some. */
export const tokenLimit = z.int().min(1).nullish();

/** A token id or a list of ids. */
export const tokenIds = z.array(z.int().min(0).max(0xffff_ffff));

/** Reads and checks the body and finds the model; throws ApiError. */
export async function readCall<S extends z.ZodType>(
  server: ModelServer,
  c: Context,
  schema: S,
): Promise<Call<z.infer<S>>> {
  const body = parseBody(await c.req.text(), schema);
  const { model, cache_salt } = body as { model?: string | null; cache_salt?: string | null };
  const { name, adapter } = server.resolve(model);
  return {
    server,
    body,
    model: name,
    context: { adapter, salt: cache_salt ?? undefined, rank: rankOf(server, c.req.header("x-data-parallel-rank")) },
    id: c.req.header("x-request-id") || crypto.randomUUID().replaceAll("-", ""),
    signal: c.req.raw.signal,
    createdS: Math.floor(server.clock.wallMs() / 1000),
  };
}

/** The body as `schema` describes it; throws ApiError 400 naming the first field at fault. */
export function parseBody<S extends z.ZodType>(text: string, schema: S): z.infer<S> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw ApiError.badRequest("The body is not valid JSON");
  }
  const { data, error } = schema.safeParse(json);
  if (error === undefined) return data;
  const [{ path, message }] = error.issues;
  throw ApiError.badRequest(`${path.join(".") || "body"}: ${message}`, path.join(".") || null);
}

function rankOf(server: ModelServer, header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const rank = Number(header);
  if (Number.isInteger(rank) && rank >= 0 && rank < server.ranks.length) return rank;
  throw ApiError.badRequest(`There is no data-parallel rank ${header}`);
}

/** What decides the length of answers. */
export interface OutputLimits {
  /** The client's limit; absent leaves it to the server. */
  readonly tokensMax: number | null | undefined;
  /** The name of the client's field, for error messages. */
  readonly param: string;
  /** Answers wanted of each prompt. */
  readonly n?: number | null;
  readonly ignoreEos?: boolean | null;
  /** Tokens at the end of each prompt that are the answer's own beginning. */
  readonly begun?: number;
}

/** A sequence for an engine whose answer is known. */
export type AnswerJob = Job & { readonly answer: Answer };

/** The sequences of a call, `n` for each prompt in turn; throws 400 for a prompt that is empty or too long. */
export function answerJobs(
  call: Call<unknown>,
  prompts: readonly TokenizedPrompt[],
  limits: OutputLimits,
): AnswerJob[] {
  const { options } = call.server;
  const jobs: AnswerJob[] = [];
  for (const { ids, media } of prompts) {
    checkLength(call.server, ids, limits.tokensMax ?? 1, limits.param);
    const { begun = 0 } = limits;
    const room = options.maxModelLen - ids.length + begun;
    const tokensMax = limits.tokensMax ?? Math.max(1, Math.min(room, options.defaultOutputTokensMax) - begun);
    const mayStop = !limits.ignoreEos && (options.outputLength === "random" || typeof limits.tokensMax !== "number");
    for (let choice = 0; choice < (limits.n ?? 1); choice++) {
      jobs.push({ ids, media, answer: answerTo(ids, choice, options.seed, { tokensMax, mayStop, begun }) });
    }
  }
  return jobs;
}

/** Throws 400 unless `ids` and `outputTokens` more fit in the model's context. */
export function checkLength(server: ModelServer, ids: Uint32Array, outputTokens: number, param: string | null): void {
  if (ids.length === 0) throw ApiError.badRequest("The prompt is empty", param);
  const { maxModelLen } = server.options;
  if (ids.length + outputTokens <= maxModelLen) return;
  throw ApiError.badRequest(
    `The model's context length is ${maxModelLen} tokens, and the request needs ${
      ids.length + outputTokens
    }: ${ids.length} of prompt and ${outputTokens} of output`,
    param,
  );
}

/** Runs jobs to their end; rejects, freeing the engine, when the client goes. */
export function completeJobs(call: Call<unknown>, jobs: readonly Job[]): Promise<RequestTimes[]> {
  return new Promise((resolve, reject) => {
    const { signal } = call;
    const times: RequestTimes[] = [];
    let left = jobs.length;
    const stop = call.server.start(jobs, call.context, {
      onEnd(job, its) {
        times[job] = its;
        if (--left > 0) return;
        signal.removeEventListener("abort", gone);
        resolve(times);
      },
    });
    const gone = () => {
      stop();
      reject(signal.reason);
    };
    if (signal.aborted) gone();
    else signal.addEventListener("abort", gone, { once: true });
  });
}

/** How a dialect writes a stream; each function returns whole SSE frames. */
export interface StreamShape {
  /** Sent before anything is computed. */
  begin?(): string;
  token(job: number, index: number): string;
  /** After the last token of the last job. */
  end(times: readonly RequestTimes[]): string;
}

const encoder = new TextEncoder();

/** Runs jobs as an event stream; a client that goes frees the engine. A slow client buffers its own answer at most. */
export function streamJobs(call: Call<unknown>, jobs: readonly Job[], shape: StreamShape): Response {
  const times: RequestTimes[] = [];
  let left = jobs.length;
  let stop: (() => void) | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      const send = (text: string) => controller.enqueue(encoder.encode(text));
      stop = call.server.start(jobs, call.context, {
        onToken: (job, index) => send(shape.token(job, index)),
        onEnd(job, its) {
          times[job] = its;
          if (--left > 0) return;
          send(shape.end(times));
          controller.close();
        },
      });
      if (shape.begin) send(shape.begin());
    },
    cancel: () => stop?.(),
  });
  return new Response(body, {
    headers: { "content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache" },
  });
}

/** Token counts in OpenAI's form: `prompts` are counted once each, however many answers they got. */
export function usageOf(jobs: readonly Job[], times: readonly RequestTimes[], n = 1): Record<string, unknown> {
  let prompt = 0, cached = 0, completion = 0;
  jobs.forEach(({ ids, answer }, i) => {
    completion += answer?.ids.length ?? 0;
    if (i % n !== 0) return;
    prompt += ids.length;
    cached += times[i].cachedTokens;
  });
  return {
    prompt_tokens: prompt,
    total_tokens: prompt + completion,
    completion_tokens: completion,
    prompt_tokens_details: { cached_tokens: cached },
  };
}
