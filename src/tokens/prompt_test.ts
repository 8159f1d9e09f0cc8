import { deepStrictEqual, equal } from "node:assert/strict";
import type { Api } from "../core/mod.ts";
import { ChatTemplate } from "./chat_template.ts";
import { NotExactError } from "./not_exact.ts";
import { type ChatRules, parseBody, type Prompt, promptOf } from "./prompt.ts";

/** Shows all that a message may hold. */
const shown = "{% for m in messages %}{{ m | tojson }}\n{% endfor %}{{ tools | tojson }}{{ documents | tojson }}" +
  "{{ reasoning_effort }}{{ enable_thinking }}";

function rulesOf(source: string): ChatRules {
  const template = new ChatTemplate(source, {}, () => 0);
  return { withTools: template, withoutTools: template, contentFormat: "auto", variables: new Map() };
}

const rules = rulesOf(shown);

function promptFor(api: Api, body: unknown, own = rules, engine: "vllm" | "sglang" = "vllm"): Prompt {
  const bytes = new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
  return promptOf(api, parseBody(bytes), own, engine);
}

function textOf(api: Api, body: unknown, own = rules): string {
  const prompt = promptFor(api, body, own);
  return "text" in prompt ? prompt.text : JSON.stringify([...prompt.ids]);
}

function reasonOf(api: Api, body: unknown, own = rules, engine: "vllm" | "sglang" = "vllm"): string {
  try {
    promptFor(api, body, own, engine);
  } catch (error) {
    if (error instanceof NotExactError) return error.reason;
    throw error;
  }
  return "exact";
}

const hi = [{ role: "user", content: "hi" }];

Deno.test("promptOf() flattens content to lines, and leaves out empty and null parts", () => {
  const content = [{ type: "text", text: "a" }, { type: "text", text: "" }, { type: "text", text: null }, "b", {
    type: "refusal",
    refusal: "no",
  }];
  equal(
    textOf("chat", { messages: [{ role: "user", content }] }),
    '{"role": "user", "content": "a\\nb\\nno"}\nnullnull',
  );
});

Deno.test("promptOf() makes parts for templates that loop over them, but one text of a tool's answer", () => {
  const messages = [{ role: "user", content: "a" }, {
    role: "tool",
    content: [{ type: "text", text: "b" }, { type: "text", text: "" }],
  }];
  const own = rulesOf(
    "{% for m in messages %}{% if m.content is string %}{{ m.content | tojson }}{% else %}" +
      "{% for c in m.content %}{{ c | tojson }}{% endfor %}{% endif %}{% endfor %}",
  );
  equal(textOf("chat", { messages }, own), '{"type": "text", "text": "a"}"b\\n"');
  equal(textOf("chat", { messages }, { ...own, contentFormat: "string" }), '"a""b"');
});

Deno.test("promptOf() gives tools vLLM's members in vLLM's order", () => {
  const tools = [{ function: { strict: true, parameters: { type: "object" }, name: "f" } }];
  const text = textOf("chat", { messages: [], tools });
  equal(
    text,
    '[{"type": "function", "function": {"name": "f", "description": null, "parameters": {"type": "object"}, "strict": true}}]null',
  );
});

Deno.test("promptOf() makes objects of a call's arguments, and an empty one of what is no JSON", () => {
  const call = (given: unknown) => ({ id: "1", type: "function", function: { name: "f", arguments: given } });
  const messages = [{
    role: "assistant",
    content: null,
    tool_calls: [call('{"b": 1.0, "a": 2}'), call("{oops"), call(null)],
  }];
  const shownCall = (inner: string) =>
    `{"id": "1", "function": {"arguments": ${inner}, "name": "f"}, "type": "function"}`;
  equal(
    textOf("chat", { messages }),
    `{"role": "assistant", "content": "", "tool_calls": [${
      ['{"b": 1.0, "a": 2}', "{}", "{}"].map(shownCall).join(", ")
    }]}\nnullnull`,
  );
  equal(reasonOf("chat", { messages: [{ role: "assistant", tool_calls: [call('{"a": NaN}')] }] }), "request-option");
});

Deno.test("promptOf() passes reasoning on under both names, and only members that vLLM passes", () => {
  const messages = [{ role: "assistant", content: "x", reasoning_content: "r", name: "n", extra: 1, tool_calls: [] }];
  equal(
    textOf("chat", { messages }),
    '{"role": "assistant", "content": "x", "reasoning": "r", "reasoning_content": "r", "name": "n"}\nnullnull',
  );
});

Deno.test("promptOf() adds special tokens to plain prompts unless told otherwise, and to chats only when told", () => {
  const added = (api: Api, body: unknown) => {
    const prompt = promptFor(api, body);
    return "text" in prompt && prompt.addSpecialTokens;
  };
  equal(added("completions", { prompt: "a" }), true);
  equal(added("completions", { prompt: "a", add_special_tokens: false }), false);
  equal(added("sglang-generate", { text: "a" }), true);
  equal(added("chat", { messages: hi }), false);
  equal(added("chat", { messages: hi, add_special_tokens: true }), true);
});

Deno.test("promptOf() takes ids and single prompts as they are", () => {
  equal(textOf("completions", { prompt: [1, 2, 3] }), "[1,2,3]");
  equal(textOf("completions", { prompt: [[1, 2]] }), "[1,2]");
  equal(textOf("completions", { prompt: ["one"] }), "one");
  equal(textOf("generate", { token_ids: [7] }), "[7]");
  equal(textOf("sglang-generate", { input_ids: [[7, 8]] }), "[7,8]");
  equal(textOf("sglang-generate", { text: "t" }), "t");
});

Deno.test("promptOf() says why a prompt is not known", () => {
  const image = { role: "user", content: [{ type: "image_url", image_url: { url: "data:" } }] };
  const cases: [Api, unknown, string][] = [
    ["completions", { prompt: ["a", "b"] }, "several-prompts"],
    ["completions", { prompt: [[1], [2]] }, "several-prompts"],
    ["completions", { prompt: [] }, "body"],
    ["completions", { prompt: [-1] }, "body"],
    ["completions", { prompt: [1.5] }, "body"],
    ["completions", {}, "body"],
    ["completions", { prompt: "a", truncate_prompt_tokens: 10 }, "truncation"],
    ["completions", { prompt: [1], truncate_prompt_tokens: 10 }, "truncation"],
    ["completions", { prompt_embeds: "x" }, "multimodal"],
    ["sglang-generate", { text: "t", image_data: "x" }, "multimodal"],
    ["chat", { messages: [image] }, "multimodal"],
    ["chat", { messages: [{ role: "user", content: [{ type: "text", text: "a", uuid: "1" }] }] }, "multimodal"],
    ["chat", { messages: hi, chat_template: "x" }, "request-template"],
    ["chat", { messages: hi, chat_template_kwargs: { tools: [] } }, "request-option"],
    ["chat", { messages: hi, reasoning_effort: "none" }, "request-option"],
    ["chat", { messages: hi, tools: [{ defer_loading: true, function: { name: "f" } }] }, "request-option"],
    ["chat", { messages: hi, tools: [{ function: {} }] }, "body"],
    ["chat", { messages: [{ content: "x" }] }, "body"],
    ["chat", { messages: "x" }, "body"],
    ["chat", {}, "body"],
    ["chat", { messages: hi, continue_final_message: true }, "body"],
    ["chat", "[]", "body"],
    ["chat", "{", "body"],
    ["embeddings", { input: "x" }, "api"],
    ["rerank", { query: "x" }, "api"],
    ["generate", { prompt: 1 }, "body"],
  ];
  for (const [api, body, reason] of cases) equal(reasonOf(api, body), reason, JSON.stringify(body));
  equal(reasonOf("chat", { messages: hi, tools: [{ function: { name: "f" } }] }, rules, "sglang"), "request-option");
  equal(reasonOf("chat", { messages: hi }, { contentFormat: "auto", variables: new Map() }), "template");
  equal(reasonOf("chat", { messages: hi }, rulesOf("{{ raise_exception('no') }}")), "template");
});

Deno.test("promptOf() passes arguments of the template on, the request's before the operator's", () => {
  const own = { ...rules, variables: new Map([["enable_thinking", true]]) };
  const text = (body: Record<string, unknown>) => textOf("chat", { messages: [], ...body }, own);
  equal(text({}), "nullnullTrue");
  equal(text({ chat_template_kwargs: { enable_thinking: false }, reasoning_effort: "high" }), "nullnullhighFalse");
  equal(text({ documents: [{ title: "t" }] }), 'null[{"title": "t"}]True');
});

Deno.test("promptOf() keeps the cache's salt", () => {
  deepStrictEqual(promptFor("completions", { prompt: [1], cache_salt: "s" }).cacheSalt, "s");
  equal(promptFor("completions", { prompt: [1] }).cacheSalt, undefined);
});

Deno.test("an Anthropic request becomes the chat that vLLM makes of it", () => {
  const body = {
    system: [{ type: "text", text: "You " }, { type: "text", text: "x-anthropic-billing-header: 1" }, {
      type: "text",
      text: "are.",
    }],
    messages: [
      { role: "user", content: "q" },
      {
        role: "assistant",
        content: [{ type: "thinking", thinking: "t" }, { type: "text", text: "a" }, {
          type: "tool_use",
          id: "u",
          name: "f",
          input: { "z": 1.0, "a": 2 },
        }],
      },
      {
        role: "user",
        content: [{ type: "text", text: "more" }, {
          type: "tool_result",
          tool_use_id: "u",
          content: [{ type: "text", text: "r1" }, { type: "text", text: "r2" }],
        }],
      },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "u", content: "only" }] },
    ],
    tools: [{ name: "f", input_schema: { type: "object", properties: { "2": {}, "1": {} } } }],
  };
  // 1.0 reads as an integer where JavaScript writes the body.
  const text = textOf(
    "messages",
    JSON.stringify(body).replace('"z":1', '"z":1.0').replace('{"1":{},"2":{}}', '{"2":{},"1":{}}'),
  );
  equal(
    text.split("\n").join("\n"),
    [
      '{"role": "system", "content": "You are."}',
      '{"role": "user", "content": "q"}',
      '{"role": "assistant", "content": "a", "tool_calls": [{"id": "u", "function": {"arguments": {"z": 1.0, "a": 2}, "name": "f"}, "type": "function"}], "reasoning": "t", "reasoning_content": "t"}',
      '{"role": "tool", "content": "r1\\nr2", "tool_call_id": "u"}',
      '{"role": "user", "content": "more"}',
      '{"role": "tool", "content": "only", "tool_call_id": "u"}',
      '[{"type": "function", "function": {"name": "f", "description": null, "parameters": {"type": "object", "properties": {"2": {}, "1": {}}}}}]null',
    ].join("\n"),
  );
});

Deno.test("an Anthropic request with media or tools of the server is not known", () => {
  equal(reasonOf("messages", { messages: [{ role: "user", content: [{ type: "image", source: {} }] }] }), "multimodal");
  equal(reasonOf("messages", { messages: hi, tools: [{ type: "web_search", name: "w" }] }), "request-option");
  equal(reasonOf("messages", { messages: [{ role: "user", content: 1 }] }), "body");
});

Deno.test("a Responses request of plain messages becomes a chat, and any other is not known", () => {
  equal(
    textOf("responses", { instructions: "be", input: "q" }),
    '{"role": "system", "content": "be"}\n{"role": "user", "content": "q"}\nnullnull',
  );
  const input = [{ role: "user", content: [{ type: "input_text", text: "a" }] }, {
    type: "message",
    role: "assistant",
    content: "b",
  }];
  equal(
    textOf("responses", { input }),
    '{"role": "user", "content": "a"}\n{"role": "assistant", "content": "b"}\nnullnull',
  );
  equal(reasonOf("responses", { input: "q", previous_response_id: "r" }), "api");
  equal(reasonOf("responses", { input: [{ type: "function_call_output", output: "" }] }), "request-option");
  equal(reasonOf("responses", { input: "q", tools: [{ type: "function" }] }), "request-option");
  equal(reasonOf("responses", {}), "body");
});
