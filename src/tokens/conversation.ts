import type { ContentFormat, TemplateInput } from "./chat_template.ts";
import { NotExactError } from "./not_exact.ts";
import { isSet, parsePythonJson, type PyObject, type PyValue } from "./python_json.ts";

export function textOf(value: PyValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** A member that is an object; undefined when it is null or absent; a `NotExactError` when it is something else. */
export function objectOf(value: PyValue | undefined): PyObject | undefined {
  if (value === undefined || value === null) return undefined;
  if (value instanceof Map) return value;
  throw new NotExactError("body");
}

export function listOf(value: PyValue | undefined): PyValue[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (Array.isArray(value)) return value;
  throw new NotExactError("body");
}

function isTrue(value: PyValue | undefined): boolean {
  return value === true;
}

/** Template arguments that a request cannot set through `chat_template_kwargs`. */
const reservedArguments = ["chat_template", "tokenize", "messages", "conversation", "tools", "documents"];

/**
 * What vLLM renders the chat template with for the chat completion `body`.
 *
 * Messages keep only the members that vLLM passes on, content is flattened to one string or made a list of text parts
 * as the template wants it, arguments of tool calls become objects, tools get the members that vLLM's models give them.
 */
export function chatInput(
  body: PyObject,
  format: ContentFormat,
  defaults: ReadonlyMap<string, PyValue>,
): TemplateInput {
  const messages = listOf(body.get("messages"));
  if (!messages) throw new NotExactError("body");
  if (isSet(body.get("chat_template"))) throw new NotExactError("request-template");
  const variables = new Map(defaults);
  for (const [name, value] of objectOf(body.get("chat_template_kwargs")) ?? []) {
    if (reservedArguments.includes(name)) throw new NotExactError("request-option");
    variables.set(name, value);
  }
  const effort = body.get("reasoning_effort");
  // Newer versions turn "none" into `enable_thinking: false`.
  if (effort === "none") throw new NotExactError("request-option");
  if (isSet(effort)) variables.set("reasoning_effort", effort);
  const continueFinalMessage = isTrue(body.get("continue_final_message"));
  const addGenerationPrompt = body.get("add_generation_prompt") !== false;
  if (continueFinalMessage && addGenerationPrompt) throw new NotExactError("body");
  return {
    messages: messages.map((message) => messageOf(message, format)),
    tools: listOf(body.get("tools"))?.map(toolOf) ?? null,
    documents: listOf(body.get("documents")) ?? null,
    addGenerationPrompt,
    continueFinalMessage,
    variables,
  };
}

function messageOf(value: PyValue, format: ContentFormat): PyObject {
  const message = objectOf(value);
  const role = textOf(message?.get("role"));
  if (!message || role === undefined) throw new NotExactError("body");
  const parts = partsOf(message.get("content"));
  const asText = format === "string" || role === "tool";
  const texts = parts.map((part) => part.text);
  const result: PyObject = new Map<string, PyValue>([
    ["role", role],
    ["content", asText ? joined(texts, format) : texts.map(textPart)],
  ]);
  if (role === "assistant") addAssistantMembers(message, result);
  else if (role === "tool" && message.has("tool_call_id")) result.set("tool_call_id", message.get("tool_call_id")!);
  const name = textOf(message.get("name"));
  if (name !== undefined) result.set("name", name);
  if (role === "developer") result.set("tools", message.get("tools") ?? null);
  return result;
}

function textPart(text: string): PyValue {
  return new Map([["type", "text"], ["text", text]]);
}

/** Empty texts are left out where content is flattened, and kept where a list of parts is joined. */
function joined(texts: readonly string[], format: ContentFormat): string {
  return (format === "string" ? texts.filter((text) => text !== "") : texts).join("\n");
}

/** The text parts of a message's content. */
function partsOf(content: PyValue | undefined): { text: string }[] {
  if (content === undefined || content === null) return [];
  if (typeof content === "string") return [{ text: content }];
  const parts: { text: string }[] = [];
  for (const value of listOf(content)!) {
    if (typeof value === "string") {
      parts.push({ text: value });
      continue;
    }
    const part = objectOf(value);
    const type = textOf(part?.get("type"));
    if (!part || isSet(part.get("uuid"))) throw new NotExactError("multimodal");
    const member = type === undefined ? undefined : textMembers[type];
    if (member === undefined) throw new NotExactError("multimodal");
    const text = part.get(member);
    // vLLM skips these two kinds when they hold nothing.
    if (!isSet(text) && (type === "text" || type === "refusal")) continue;
    if (typeof text !== "string") throw new NotExactError("body");
    parts.push({ text });
  }
  return parts;
}

/** Kinds of parts that are text, and the member that holds it. */
const textMembers: Readonly<Record<string, string>> = {
  text: "text",
  input_text: "text",
  output_text: "text",
  refusal: "refusal",
  thinking: "thinking",
};

function addAssistantMembers(message: PyObject, result: PyObject): void {
  const calls = listOf(message.get("tool_calls"));
  if (calls && calls.length > 0) result.set("tool_calls", calls.map(toolCallOf));
  const reasoning = message.get("reasoning") ?? message.get("reasoning_content");
  if (!isSet(reasoning)) return;
  result.set("reasoning", reasoning);
  result.set("reasoning_content", reasoning);
}

function toolCallOf(value: PyValue): PyValue {
  const call = objectOf(value);
  const called = objectOf(call?.get("function"));
  if (!call || !called) throw new NotExactError("body");
  const inner: PyObject = new Map<string, PyValue>([["arguments", argumentsOf(called.get("arguments"))]]);
  if (called.has("name")) inner.set("name", called.get("name")!);
  const result: PyObject = new Map();
  if (call.has("id")) result.set("id", call.get("id")!);
  result.set("function", inner);
  result.set("type", call.get("type") ?? "function");
  return result;
}

/** Arguments arrive as JSON text and are rendered as an object; what is no JSON becomes an empty one. */
function argumentsOf(value: PyValue | undefined): PyValue {
  if (value instanceof Map || Array.isArray(value)) return value;
  if (typeof value !== "string") return new Map();
  // Python takes these words for numbers; what a template makes of them is not followed here.
  if (/\b(?:NaN|Infinity)\b/.test(value)) throw new NotExactError("request-option");
  try {
    return parsePythonJson(value);
  } catch {
    return new Map();
  }
}

/** The members of a tool in vLLM's order, with null for those absent; unknown ones of the function follow. */
function toolOf(value: PyValue): PyValue {
  const tool = objectOf(value);
  const described = objectOf(tool?.get("function"));
  const name = textOf(described?.get("name"));
  if (!tool || !described || name === undefined || (tool.get("type") ?? "function") !== "function") {
    throw new NotExactError("body");
  }
  // Deferred loading exists in some versions only.
  if (isSet(tool.get("defer_loading")) || isSet(described.get("defer_loading"))) {
    throw new NotExactError("request-option");
  }
  const known = ["name", "description", "parameters"];
  const inner: PyObject = new Map(known.map((member) => [member, described.get(member) ?? null]));
  for (const [member, extra] of described) if (!known.includes(member)) inner.set(member, extra);
  return new Map<string, PyValue>([["type", "function"], ["function", inner]]);
}
