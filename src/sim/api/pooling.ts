import type { Context } from "hono";
import { z } from "zod";
import { ApiError } from "../api_error.ts";
import { embeddingOf, relevanceOf } from "../generation.ts";
import type { Job, ModelServer } from "../model_server.ts";
import { tokenize } from "../tokenizer.ts";
import { type Call, checkLength, completeJobs, modelFields, readCall } from "./call.ts";
import { promptInput, promptsOf } from "./completions.ts";

const embeddingSchema = z.looseObject({
  ...modelFields,
  input: promptInput,
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).max(16_384).nullish(),
});

/** `POST /v1/embeddings` */
export async function embeddings(server: ModelServer, c: Context): Promise<Response> {
  const call = await readCall(server, c, embeddingSchema);
  const { input, encoding_format, dimensions } = call.body;
  const prompts = promptsOf(input);
  const tokens = await pool(call, prompts);
  const { embeddingDimensions, seed } = server.options;
  return c.json({
    id: `embd-${call.id}`,
    object: "list",
    created: call.createdS,
    model: call.model,
    data: prompts.map(({ ids }, index) => {
      const vector = embeddingOf(ids, dimensions ?? embeddingDimensions, seed);
      return { index, object: "embedding", embedding: encoding_format === "base64" ? base64(vector) : [...vector] };
    }),
    usage: poolingUsage(tokens),
  });
}

/** Runs prompts without output; returns their tokens. */
async function pool(call: Call<unknown>, jobs: readonly Job[]): Promise<number> {
  for (const { ids } of jobs) checkLength(call.server, ids, 0, "input");
  await completeJobs(call, jobs);
  return jobs.reduce((sum, { ids }) => sum + ids.length, 0);
}

function poolingUsage(tokens: number): Record<string, unknown> {
  return { prompt_tokens: tokens, total_tokens: tokens, completion_tokens: 0, prompt_tokens_details: null };
}

/** Little-endian 32-bit floats, as OpenAI's clients expect. */
function base64(vector: Float32Array): string {
  const view = new DataView(new ArrayBuffer(vector.length * 4));
  vector.forEach((value, i) => view.setFloat32(i * 4, value, true));
  return new Uint8Array(view.buffer).toBase64();
}

const text = z.union([z.string(), z.looseObject({ text: z.string() })]);

const rerankSchema = z.looseObject({
  ...modelFields,
  query: z.string(),
  documents: z.array(text).min(1),
  top_n: z.int().min(0).nullish(),
});

const plain = (item: z.infer<typeof text>) => typeof item === "string" ? item : item.text;

/** A query and a document, the way a cross-encoder sees them. */
async function relevances(call: Call<unknown>, pairs: (readonly [string, string])[]) {
  const ids = pairs.map(([query, document]) => [tokenize(query), tokenize(document)] as const);
  const tokens = await pool(call, ids.map(([query, document]) => ({ ids: joined(query, document) })));
  const { seed } = call.server.options;
  return { tokens, scores: ids.map(([query, document]) => relevanceOf(query, document, seed)) };
}

/** `POST /v1/rerank` */
export async function rerank(server: ModelServer, c: Context): Promise<Response> {
  const call = await readCall(server, c, rerankSchema);
  const { query, documents, top_n } = call.body;
  const { tokens, scores } = await relevances(call, documents.map((document) => [query, plain(document)]));
  const results = scores
    .map((relevance_score, index) => ({ index, document: { text: plain(documents[index]) }, relevance_score }))
    .sort((a, b) => b.relevance_score - a.relevance_score);
  return c.json({
    id: `rerank-${call.id}`,
    model: call.model,
    usage: { total_tokens: tokens },
    results: top_n ? results.slice(0, top_n) : results,
  });
}

const scoreSchema = z.looseObject({
  ...modelFields,
  text_1: z.union([z.string(), z.array(z.string()).min(1)]),
  text_2: z.union([z.string(), z.array(z.string()).min(1)]),
});

/** `POST /v1/score`: one text against each of a list, or two lists pairwise. */
export async function score(server: ModelServer, c: Context): Promise<Response> {
  const call = await readCall(server, c, scoreSchema);
  const left = [call.body.text_1].flat(), right = [call.body.text_2].flat();
  const queries = left.length === 1 ? right.map(() => left[0]) : left;
  if (queries.length !== right.length) throw unequal(left.length, right.length);
  const { tokens, scores } = await relevances(call, right.map((document, i) => [queries[i], document]));
  return c.json({
    id: `score-${call.id}`,
    object: "list",
    created: call.createdS,
    model: call.model,
    data: scores.map((value, index) => ({ index, object: "score", score: value })),
    usage: poolingUsage(tokens),
  });
}

function unequal(left: number, right: number): ApiError {
  return ApiError.badRequest(`text_1 and text_2 must be equally long: there are ${left} and ${right}`, "text_1");
}

function joined(a: Uint32Array, b: Uint32Array): Uint32Array {
  const both = new Uint32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
