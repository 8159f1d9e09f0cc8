/** Other APIs' requests as chat completions, the way vLLM turns them. */
import { listOf, objectOf, textOf } from "./conversation.ts";
import { NotExactError } from "./not_exact.ts";
import { isSet, type PyObject, type PyValue } from "./python_json.ts";

/** A system block that begins so is dropped: it changes with every request. */
const billingHeader = "x-anthropic-billing-header";

/** An Anthropic Messages request as a chat completion. */
export function fromAnthropic(body: PyObject): PyObject {
  const messages: PyValue[] = [];
  const given = (listOf(body.get("messages")) ?? []).map((message) => objectOf(message) ?? fail());
  const system = systemText(body, given);
  if (system !== undefined) messages.push(object({ role: "system", content: system }));
  for (const message of given) if (message.get("role") !== "system") addMessages(message, messages);
  const chat = object({ messages });
  const tools = listOf(body.get("tools"));
  if (tools) chat.set("tools", tools.map(anthropicTool));
  for (const name of ["chat_template_kwargs", "cache_salt"]) {
    if (body.has(name)) chat.set(name, body.get(name)!);
  }
  const effort = objectOf(body.get("output_config"))?.get("effort");
  if (isSet(effort)) chat.set("reasoning_effort", effort);
  return chat;
}

function object(members: Readonly<Record<string, PyValue>>): PyObject {
  return new Map(Object.entries(members));
}

function fail(): never {
  throw new NotExactError("body");
}

/** The top-level system prompt, then system messages, joined without a separator; undefined when there is none. */
function systemText(body: PyObject, messages: readonly PyObject[]): string | undefined {
  const parts: string[] = [];
  const add = (content: PyValue | undefined, isTop: boolean) => {
    if (typeof content === "string") {
      if (content !== "" || !isTop) parts.push(content);
      return;
    }
    for (const value of listOf(content) ?? []) {
      const block = objectOf(value);
      const text = textOf(block?.get("text"));
      if (block?.get("type") === "text" && text && !text.startsWith(billingHeader)) parts.push(text);
    }
  };
  add(body.get("system"), true);
  for (const message of messages) if (message.get("role") === "system") add(message.get("content"), false);
  return parts.length > 0 ? parts.join("") : undefined;
}

/** One message: results of tools become messages of their own and come first. */
function addMessages(message: PyObject, into: PyValue[]): void {
  const role = textOf(message.get("role")) ?? fail();
  const content = message.get("content");
  if (typeof content === "string") return void into.push(object({ role, content }));
  const texts: PyValue[] = [];
  const calls: PyValue[] = [];
  const thoughts: string[] = [];
  for (const value of listOf(content) ?? fail()) {
    const block = objectOf(value) ?? fail();
    switch (block.get("type")) {
      case "text":
        if (block.get("text")) texts.push(object({ type: "text", text: block.get("text")! }));
        break;
      case "thinking":
        if (isSet(block.get("thinking"))) thoughts.push(textOf(block.get("thinking")) ?? fail());
        break;
      case "redacted_thinking":
        break;
      case "tool_use":
        calls.push(toolUse(block));
        break;
      case "tool_result":
        if (role !== "user") throw new NotExactError("request-option");
        into.push(toolResult(block));
        break;
      default:
        throw new NotExactError("multimodal");
    }
  }
  const result = object({ role });
  if (thoughts.length > 0) result.set("reasoning", thoughts.join(""));
  if (calls.length > 0) result.set("tool_calls", calls);
  if (texts.length === 1) result.set("content", (texts[0] as PyObject).get("text")!);
  else if (texts.length > 1) result.set("content", texts);
  if (role !== "user" || result.has("content")) into.push(result);
}

function toolUse(block: PyObject): PyValue {
  const called = object({ name: block.get("name") ?? "", arguments: objectOf(block.get("input")) ?? new Map() });
  return object({ id: block.get("id") ?? "", type: "function", function: called });
}

function toolResult(block: PyObject): PyValue {
  const content = block.get("content");
  const texts = typeof content === "string" ? [content] : (listOf(content) ?? []).map((value) => {
    const part = objectOf(value);
    if (part?.get("type") !== "text") throw new NotExactError("multimodal");
    return textOf(part.get("text") ?? "") ?? fail();
  });
  return object({ role: "tool", tool_call_id: block.get("tool_use_id") ?? "", content: texts.join("\n") });
}

function anthropicTool(value: PyValue): PyValue {
  const tool = objectOf(value) ?? fail();
  // Tools that the server itself runs have a type and no schema; engines treat them differently.
  if (!isSet(tool.get("input_schema"))) throw new NotExactError("request-option");
  const described = object({ name: tool.get("name") ?? fail() });
  described.set("description", tool.get("description") ?? null);
  described.set("parameters", tool.get("input_schema")!);
  if (isSet(tool.get("defer_loading"))) described.set("defer_loading", tool.get("defer_loading")!);
  return object({ type: "function", function: described });
}

/** A Responses request of plain messages as a chat completion; anything else depends on what the engine keeps. */
export function fromResponses(body: PyObject): PyObject {
  if (["previous_response_id", "prompt", "conversation"].some((name) => isSet(body.get(name)))) {
    throw new NotExactError("api");
  }
  if ((listOf(body.get("tools")) ?? []).length > 0 || isSet(objectOf(body.get("reasoning"))?.get("effort"))) {
    throw new NotExactError("request-option");
  }
  const messages: PyValue[] = [];
  const instructions = body.get("instructions");
  if (isSet(instructions) && instructions !== "") {
    messages.push(object({ role: "system", content: textOf(instructions) ?? fail() }));
  }
  const input = body.get("input");
  if (typeof input === "string") messages.push(object({ role: "user", content: input }));
  else {
    for (const value of listOf(input) ?? fail()) {
      const item = objectOf(value) ?? fail();
      if ((item.get("type") ?? "message") !== "message" || !item.has("role")) throw new NotExactError("request-option");
      messages.push(object({ role: item.get("role")!, content: item.get("content") ?? null }));
    }
  }
  const chat = object({ messages });
  if (body.has("cache_salt")) chat.set("cache_salt", body.get("cache_salt")!);
  return chat;
}
