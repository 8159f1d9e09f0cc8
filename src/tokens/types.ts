/** What travels through the door of this room. */
import type { Api } from "../core/mod.ts";

/** Why there are no exact ids: a closed set, used as a metric's label. */
export const unavailableReasons = [
  /** Nothing says how to tokenize for this model. */
  "no-source",
  /** The tokenizer is being loaded. */
  "loading",
  /** Its files could not be read or hold something unknown. */
  "load-failed",
  /** As many prompts wait as may. */
  "busy",
  /** The isolate that worked on it died. */
  "worker-lost",
  /** Requests of this API have no prompt that a prefix cache holds, or it cannot be known from the request. */
  "api",
  /** The body is not what the API takes; the engine will refuse it. */
  "body",
  "several-prompts",
  /** The engine will cut the prompt. */
  "truncation",
  /** The request brings its own chat template, which is not run here. */
  "request-template",
  /** An option whose effect on the prompt depends on the engine's version. */
  "request-option",
  /** Images, audio, embeddings: only the engine's processor knows their tokens. */
  "multimodal",
  /** There is no chat template, or it cannot be rendered with these messages. */
  "template",
  /** Files disagree about the tokens that are added around a prompt. */
  "special-tokens",
  /** A character that Unicode's versions treat differently. */
  "unicode",
  /** The tokenizer is of a kind that must agree with the engine once before it is used. */
  "unproven",
  /** The tokenizer disagreed with the engine, and the engine could not be asked. */
  "mismatch",
  /** A word without any boundary that is longer than the bound. */
  "too-long",
  /** The engine was asked and gave no ids. */
  "engine",
  /** No endpoint of the model could be asked. */
  "no-endpoint",
  "cancelled",
  /** A defect of this process. */
  "internal",
  "closed",
] as const;

export type UnavailableReason = (typeof unavailableReasons)[number];

/** There are no exact ids for this request. */
export interface Unavailable {
  readonly reason: UnavailableReason;
}

/** Media of the prompt, as the engine's processor names and places it. */
export interface MediaSpan {
  /** Hash of the content: an extra string of every block the span touches. */
  readonly hash: string;
  /** First token and number of tokens of the placeholder. */
  readonly offset: number;
  readonly length: number;
}

/** What enters the block hashes besides tokens. */
export interface PromptExtras {
  /** Ascending by offset. */
  readonly media: readonly MediaSpan[];
  /** Extra string of the first block. */
  readonly cacheSalt?: string;
}

/** Where ids came from: the request itself, the tokenizer in process, or the engine. */
export type PromptSource = "ids" | "tokenizer" | "render" | "tokenize";

/** The exact token ids of a prompt. */
export interface PromptTokens {
  /** Not to be written to: the cache may hold the same array. */
  readonly tokens: Uint32Array;
  readonly source: PromptSource;
  /** Absent when nothing but tokens enters the hashes. */
  readonly extras?: PromptExtras;
  /** How many of the tokens came from the token cache. */
  readonly cachedTokens: number;
  /**
   * Equal for requests with the same ids in the life of this process, within one model; absent when not known. A caller
   * may keep under it what it derives from the ids alone.
   */
  readonly key?: string;
}

/** One request whose prompt is wanted. */
export interface PromptRequest {
  /** The model as the endpoint serves it: a base model's name also for an adapter of it. */
  readonly model: string;
  readonly api: Api;
  /** The kind of server; absent: vLLM. Others render tools in their own ways. */
  readonly engine?: "vllm" | "sglang";
  /** The JSON body as it goes to the endpoint. Must not change until the answer is there. */
  readonly body: Uint8Array;
}

export function isUnavailable(value: PromptTokens | Unavailable): value is Unavailable {
  return "reason" in value;
}
