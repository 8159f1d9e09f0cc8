/** Requests for token ids to model servers, and their answers. Pure: the caller carries them. */
import type { Api } from "../core/mod.ts";
import { listOf, objectOf } from "./conversation.ts";
import { NotExactError } from "./not_exact.ts";
import { chatBody, givenIds, parseBody, refuseTruncation } from "./prompt.ts";
import { isSet, type PyObject, type PyValue, toJsonText } from "./python_json.ts";
import type { MediaSpan, PromptExtras, PromptTokens, Unavailable } from "./types.ts";

/**
 * Which of an engine's interfaces is asked: vLLM's render endpoints (`/v1/chat/completions/render`,
 * `/v1/completions/render`: exact in every respect), or `/tokenize` (vLLM and SGLang; SGLang's takes text only).
 */
export type EngineMethod = "render" | "tokenize";

/** A request to an engine. */
export interface EngineRequest {
  readonly path: string;
  readonly body: string;
  readonly cacheSalt?: string;
}

/** Members of a chat completion that change nothing of the prompt, and that a renderer may refuse. */
const notOfThePrompt = ["stream", "stream_options", "request_id", "n", "use_beam_search", "kv_transfer_params"];

/** Members of a chat completion that `/tokenize` knows. */
const tokenizeMembers = [
  "messages",
  "tools",
  "add_generation_prompt",
  "continue_final_message",
  "add_special_tokens",
  "chat_template",
  "chat_template_kwargs",
];

/** What to ask for the prompt of a request; the answer itself when the request brings its ids, or why neither. */
export function engineRequest(
  method: EngineMethod,
  { api, body, model, engine }: { api: Api; body: Uint8Array; model: string; engine: "vllm" | "sglang" },
): EngineRequest | PromptTokens | Unavailable {
  try {
    const parsed = parseBody(body);
    const cacheSalt = isSet(parsed.get("cache_salt")) ? String(parsed.get("cache_salt")) : undefined;
    const ids = givenIds(api, parsed);
    if (ids) {
      refuseTruncation(parsed);
      return { tokens: ids, source: "ids", extras: extrasOf([], cacheSalt), cachedTokens: 0 };
    }
    const chat = chatBody(api, parsed);
    if (engine === "sglang" && (method === "render" || chat)) return { reason: "api" };
    const request = method === "render"
      ? renderRequest(api, chat ?? parsed, chat !== undefined)
      : tokenizeRequest(api, chat ?? parsed, chat !== undefined);
    request.members.set("model", model);
    return { path: request.path, body: toJsonText(request.members), cacheSalt };
  } catch (error) {
    if (error instanceof NotExactError) return { reason: error.reason };
    throw error;
  }
}

interface Members {
  readonly path: string;
  readonly members: PyObject;
}

function renderRequest(api: Api, body: PyObject, isChat: boolean): Members {
  if (!isChat && api !== "completions") throw new NotExactError("api");
  const members = new Map(body);
  for (const name of notOfThePrompt) members.delete(name);
  if (isChat) members.set("return_mm_kwargs", false);
  else if (Array.isArray(body.get("prompt"))) oneOf(body.get("prompt")!);
  return { path: isChat ? "/v1/chat/completions/render" : "/v1/completions/render", members };
}

function tokenizeRequest(api: Api, body: PyObject, isChat: boolean): Members {
  refuseTruncation(body);
  if (isChat) {
    if (isSet(body.get("reasoning_effort")) || isSet(body.get("documents"))) throw new NotExactError("request-option");
    for (const message of listOf(body.get("messages")) ?? []) refuseMedia(message);
    return { path: "/tokenize", members: new Map([...body].filter(([name]) => tokenizeMembers.includes(name))) };
  }
  const given = body.get(api === "sglang-generate" ? "text" : "prompt");
  const prompt = Array.isArray(given) ? oneOf(given) : given;
  if (typeof prompt !== "string") throw new NotExactError("body");
  const addSpecialTokens = body.get("add_special_tokens") !== false;
  return {
    path: "/tokenize",
    members: new Map<string, PyValue>([["prompt", prompt], ["add_special_tokens", addSpecialTokens]]),
  };
}

function oneOf(list: PyValue): PyValue {
  const items = listOf(list)!;
  if (items.length !== 1) throw new NotExactError(items.length === 0 ? "body" : "several-prompts");
  return items[0];
}

/** `/tokenize` gives placeholders of media, not the tokens of their content nor its hash. */
function refuseMedia(message: PyValue): void {
  const content = objectOf(message)?.get("content");
  if (!Array.isArray(content)) return;
  for (const part of content) {
    if (part instanceof Map && !/^(text|input_text|output_text|refusal|thinking)$/.test(String(part.get("type")))) {
      throw new NotExactError("multimodal");
    }
  }
}

function extrasOf(media: readonly MediaSpan[], cacheSalt: string | undefined): PromptExtras | undefined {
  return media.length > 0 || cacheSalt !== undefined ? { media, cacheSalt } : undefined;
}

/** What a render endpoint answers for one prompt; `/tokenize` calls the ids `tokens`. */
interface EngineAnswer {
  readonly token_ids?: unknown;
  readonly tokens?: unknown;
  readonly features?: {
    readonly mm_hashes?: Readonly<Record<string, readonly string[]>>;
    readonly mm_placeholders?: Readonly<
      Record<string, readonly { readonly offset: number; readonly length: number }[]>
    >;
  } | null;
}

/** Reads an answer of status 200; reason `engine` where it is not what was asked for. */
export function readEngineAnswer(
  method: EngineMethod,
  bytes: Uint8Array,
  cacheSalt: string | undefined,
): PromptTokens | Unavailable {
  try {
    const parsed = JSON.parse(new TextDecoder().decode(bytes)) as EngineAnswer | readonly EngineAnswer[];
    const answer = Array.isArray(parsed) ? parsed[0] as EngineAnswer : parsed as EngineAnswer;
    const tokens = idsOf(method === "render" ? answer.token_ids : answer.tokens);
    const media = mediaOf(answer);
    if (!tokens || !media || (Array.isArray(parsed) && parsed.length !== 1)) return { reason: "engine" };
    return { tokens, source: method, extras: extrasOf(media, cacheSalt), cachedTokens: 0 };
  } catch {
    return { reason: "engine" };
  }
}

function idsOf(value: unknown): Uint32Array | undefined {
  if (!Array.isArray(value) || value.length === 0) return undefined;
  return value.every((id) => Number.isInteger(id) && id >= 0) ? Uint32Array.from(value) : undefined;
}

/** Hashes and places of the media, ascending by place; undefined where the two do not fit together. */
function mediaOf({ features }: EngineAnswer): MediaSpan[] | undefined {
  const spans: MediaSpan[] = [];
  for (const [modality, hashes] of Object.entries(features?.mm_hashes ?? {})) {
    const places = features?.mm_placeholders?.[modality] ?? [];
    if (places.length !== hashes.length) return undefined;
    hashes.forEach((hash, i) => spans.push({ hash, offset: places[i].offset, length: places[i].length }));
  }
  return spans.sort((a, b) => a.offset - b.offset);
}
