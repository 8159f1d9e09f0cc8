import type { Api } from "../core/mod.ts";
import { type ChatTemplate, TemplateError } from "./chat_template.ts";
import { chatInput, listOf } from "./conversation.ts";
import { fromAnthropic, fromResponses } from "./dialects.ts";
import { NotExactError } from "./not_exact.ts";
import { isSet, parsePythonJson, type PyObject, type PyValue } from "./python_json.ts";

/** What a request's prompt is made of, before tokenization. */
export type Prompt = {
  readonly cacheSalt?: string;
} & ({ readonly ids: Uint32Array } | { readonly text: string; readonly addSpecialTokens: boolean });

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Parses a body; a `NotExactError` where it is no JSON object. */
export function parseBody(bytes: Uint8Array): PyObject {
  try {
    const body = parsePythonJson(decoder.decode(bytes));
    if (body instanceof Map) return body;
  } catch (error) {
    throw new NotExactError("body", { cause: error });
  }
  throw new NotExactError("body");
}

/** The chat completion that `body` amounts to under `api`; undefined where the API takes a plain prompt. */
export function chatBody(api: Api, body: PyObject): PyObject | undefined {
  switch (api) {
    case "chat":
      return body;
    case "messages":
    case "count-tokens":
      return fromAnthropic(body);
    case "responses":
      return fromResponses(body);
    case "completions":
    case "generate":
    case "sglang-generate":
      return undefined;
    default:
      throw new NotExactError("api");
  }
}

/** Refuses options under which the engine computes something else than the prompt as it is written. */
export function refuseTruncation(body: PyObject): void {
  if (isSet(body.get("truncate_prompt_tokens")) || body.get("truncation") === "auto") {
    throw new NotExactError("truncation");
  }
}

/** The ids that the request itself brings; undefined when it brings text or messages. */
export function givenIds(api: Api, body: PyObject): Uint32Array | undefined {
  if (api === "completions") return idsOf(body.get("prompt"));
  if (api === "generate") return idsOf(body.get("token_ids"));
  if (api === "sglang-generate") return idsOf(body.get("input_ids"));
  return undefined;
}

function idsOf(value: PyValue | undefined): Uint32Array | undefined {
  if (!Array.isArray(value)) return undefined;
  if (Array.isArray(value[0])) return idsOf(single(value));
  if (typeof value[0] !== "number") return undefined;
  const ids = new Uint32Array(value.length);
  for (let i = 0; i < ids.length; i++) {
    const id = value[i];
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id > 0xffffffff) throw new NotExactError("body");
    ids[i] = id;
  }
  return ids;
}

function single(list: readonly PyValue[]): PyValue {
  if (list.length === 0) throw new NotExactError("body");
  if (list.length > 1) throw new NotExactError("several-prompts");
  return list[0];
}

/** How chat requests of a model become text. */
export interface ChatRules {
  readonly withTools?: ChatTemplate;
  readonly withoutTools?: ChatTemplate;
  readonly contentFormat: "auto" | "string" | "openai";
  readonly variables: ReadonlyMap<string, PyValue>;
}

/** The prompt of a request; throws a `NotExactError`. */
export function promptOf(api: Api, body: PyObject, rules: ChatRules, engine: "vllm" | "sglang"): Prompt {
  refuseTruncation(body);
  const ids = givenIds(api, body);
  const chat = ids ? undefined : chatBody(api, body);
  const salt = body.get("cache_salt");
  const cacheSalt = typeof salt === "string" ? salt : undefined;
  if (ids) return { ids, cacheSalt };
  if (chat) {
    const text = chatText(chat, rules, engine);
    return { text, addSpecialTokens: chat.get("add_special_tokens") === true, cacheSalt };
  }
  return { ...plainPrompt(api, body), cacheSalt };
}

function chatText(chat: PyObject, rules: ChatRules, engine: "vllm" | "sglang"): string {
  const hasTools = (listOf(chat.get("tools")) ?? []).length > 0;
  // SGLang gives its templates tools of another shape.
  if (hasTools && engine === "sglang") throw new NotExactError("request-option");
  const template = hasTools ? rules.withTools : rules.withoutTools;
  if (!template) throw new NotExactError("template");
  const format = rules.contentFormat === "auto" ? template.contentFormat : rules.contentFormat;
  const input = chatInput(chat, format, rules.variables);
  try {
    return template.render(input);
  } catch (error) {
    if (error instanceof TemplateError) throw new NotExactError("template", { cause: error });
    throw error;
  }
}

function plainPrompt(api: Api, body: PyObject): { text: string; addSpecialTokens: boolean } {
  if (isSet(body.get("prompt_embeds")) || isSet(body.get("image_data")) || isSet(body.get("input_embeds"))) {
    throw new NotExactError("multimodal");
  }
  const given = body.get(api === "sglang-generate" ? "text" : "prompt");
  const text = Array.isArray(given) ? single(given) : given;
  if (typeof text !== "string") throw new NotExactError("body");
  return { text, addSpecialTokens: body.get("add_special_tokens") !== false };
}
