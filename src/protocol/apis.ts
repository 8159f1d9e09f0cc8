import type { Api } from "../core/mod.ts";

/** The POST paths with a known body; everything else passes through. */
export const apiPaths: Readonly<Record<string, Api>> = {
  "/v1/chat/completions": "chat",
  "/v1/completions": "completions",
  "/v1/responses": "responses",
  "/v1/embeddings": "embeddings",
  "/v1/messages": "messages",
  "/v1/messages/count_tokens": "count-tokens",
  "/inference/v1/generate": "generate",
  "/generate": "sglang-generate",
  "/tokenize": "tokenize",
  "/v1/rerank": "rerank",
  "/rerank": "rerank",
  "/v2/rerank": "rerank",
  "/v1/score": "score",
  "/score": "score",
};

/** Whose error body a path's clients read. */
export type ErrorShape = "openai" | "anthropic";

export function errorShape(path: string): ErrorShape {
  return path === "/v1/messages" || path.startsWith("/v1/messages/") ? "anthropic" : "openai";
}

/** APIs whose `stream_options.include_usage` the engines understand. */
export function hasStreamOptions(api: Api): boolean {
  return api === "chat" || api === "completions";
}

/** APIs that generate tokens: the others end with the prompt. */
export function generates(api: Api): boolean {
  return api === "chat" || api === "completions" || api === "responses" || api === "messages" || api === "generate" ||
    api === "sglang-generate";
}
