/** The request that has another engine go on with an answer. */
import type { Api } from "../core/mod.ts";
import { type BodyEditSpan, spliceBody } from "../hotpath/mod.ts";

/** What has been answered so far. */
export interface AnsweredSoFar {
  readonly text: string;
  readonly tokens: number;
}

type Fields = Readonly<Record<string, unknown>>;

const decoder = new TextDecoder();

/** What engines take where a request for a text completion names no limit. */
const completionTokensDefault = 16;

/** Fields of which another value than none makes an answer of more than text, or one that depends on its own beginning. */
const beyondText = [
  "logprobs",
  "top_logprobs",
  "prompt_logprobs",
  "echo",
  "suffix",
  "use_beam_search",
  "continue_final_message",
  "functions",
  "audio",
  "modalities",
  "return_token_ids",
  "kv_transfer_params",
  // Output that must fit a grammar: the engine would begin it anew.
  "guided_json",
  "guided_regex",
  "guided_choice",
  "guided_grammar",
  "structured_outputs",
  "json_schema",
  "regex",
  "ebnf",
];

/** `body` with the answer so far put where the engine goes on with it; why that is not possible, where it is not. */
export function resumedBody(
  body: Uint8Array,
  api: Api,
  so: AnsweredSoFar,
): { readonly body: Uint8Array } | { readonly impossible: string } {
  const fields = JSON.parse(decoder.decode(body)) as Fields;
  const impossible = whyNot(fields, api);
  if (impossible !== undefined) return { impossible };
  if (so.text === "") return { body };
  const members = topLevelMembers(body);
  const edits: BodyEditSpan[] = [];
  const open = body.indexOf(0x7b) + 1;
  const set = (key: string, value: unknown) => {
    const span = members.get(key);
    const text = JSON.stringify(value);
    edits.push(span ? { ...span, text } : { start: open, end: open, text: `${JSON.stringify(key)}:${text},` });
  };
  if (api === "chat") {
    const end = members.get("messages")!.end - 1;
    const message = JSON.stringify({ role: "assistant", content: so.text });
    edits.push({ start: end, end, text: `,${message}` });
    set("continue_final_message", true);
    set("add_generation_prompt", false);
  } else {
    const { prompt } = fields;
    set("prompt", Array.isArray(prompt) ? [prompt[0] + so.text] : prompt + so.text);
    if (isNothing(fields.max_tokens)) set("max_tokens", completionTokensDefault - so.tokens);
  }
  for (const key of ["max_tokens", "max_completion_tokens"]) {
    const limit = fields[key];
    if (typeof limit !== "number") continue;
    if (limit <= so.tokens) return { impossible: "all its tokens were generated" };
    set(key, limit - so.tokens);
  }
  if (typeof fields.min_tokens === "number") set("min_tokens", Math.max(0, fields.min_tokens - so.tokens));
  return { body: spliceBody(body, edits) };
}

function whyNot(fields: Fields, api: Api): string | undefined {
  if (Number(fields.n ?? 1) !== 1 || Number(fields.best_of ?? 1) !== 1) return "it asks for more than one answer";
  const more = beyondText.find((key) => !isNothing(fields[key]));
  if (more !== undefined) return `it asks for \`${more}\``;
  const format = fields.response_format as { type?: unknown } | null | undefined;
  if (format && format.type !== "text") return "it asks for structured output";
  if (!isNothing(fields.tools) && fields.tool_choice !== "none") return "it offers tools";
  if (api === "chat") {
    const last = (fields.messages as readonly { role?: unknown }[]).at(-1);
    return last?.role === "assistant" ? "its last message is the assistant's" : undefined;
  }
  const { prompt } = fields;
  const text = Array.isArray(prompt) && prompt.length === 1 ? prompt[0] : prompt;
  return typeof text === "string" ? undefined : "its prompt is not one text";
}

function isNothing(value: unknown): boolean {
  return value === undefined || value === null || value === false || (Array.isArray(value) && value.length === 0);
}

/**
 * Where the values of the members of a JSON object lie; of a name that occurs twice the last, which counts. `body` must be
 * valid. Read byte by byte, since parsed and written again large integers would not be what they were.
 */
export function topLevelMembers(body: Uint8Array): Map<string, { readonly start: number; readonly end: number }> {
  const members = new Map<string, { start: number; end: number }>();
  let depth = 0, key: string | undefined, start = -1, last = 0;
  const close = () => {
    if (key !== undefined && start >= 0) members.set(key, { start, end: last });
    key = undefined;
    start = -1;
  };
  for (let i = 0; i < body.length; i++) {
    const byte = body[i];
    if (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) continue;
    if (byte === 0x22) {
      const end = stringEnd(body, i);
      if (depth === 1 && key === undefined) key = JSON.parse(decoder.decode(body.subarray(i, end)));
      else if (depth === 1 && start < 0) start = i;
      i = end - 1;
    } else if (byte === 0x7b || byte === 0x5b) {
      if (depth === 1 && start < 0) start = i;
      depth++;
    } else if (byte === 0x7d || byte === 0x5d) {
      if (--depth === 0) close();
    } else if (byte === 0x2c && depth === 1) {
      close();
      continue;
    } else if (byte !== 0x3a && depth === 1 && start < 0) start = i;
    last = i + 1;
  }
  return members;
}

/** End of the string that begins at `from`, its quote included. */
function stringEnd(body: Uint8Array, from: number): number {
  let i = from + 1;
  while (body[i] !== 0x22) i += body[i] === 0x5c ? 2 : 1;
  return i + 1;
}
