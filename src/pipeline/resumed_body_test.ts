import { deepStrictEqual, equal, match, ok } from "node:assert/strict";
import fc from "fast-check";
import type { Api } from "../core/mod.ts";
import { resumedBody, topLevelMembers } from "./resumed_body.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function resume(body: string | object, api: Api, text = " and so", tokens = 3): string {
  const bytes = encoder.encode(typeof body === "string" ? body : JSON.stringify(body));
  const resumed = resumedBody(bytes, api, { text, tokens });
  return "impossible" in resumed ? `impossible: ${resumed.impossible}` : decoder.decode(resumed.body);
}

const messages = [{ role: "user", content: "x" }];

Deno.test("a chat goes on with its answer as the final message, everything else byte for byte as it was", () => {
  const body = '{ "seed": 12345678901234567890, "messages":[{"role":"user","content":"]}\\""}] ,"max_tokens":10}';
  equal(
    resume(body, "chat"),
    '{"continue_final_message":true,"add_generation_prompt":false, "seed": 12345678901234567890, ' +
      '"messages":[{"role":"user","content":"]}\\""},{"role":"assistant","content":" and so"}] ,"max_tokens":7}',
  );
  const limits = JSON.parse(resume({ messages, max_completion_tokens: 8, min_tokens: 2 }, "chat"));
  deepStrictEqual([limits.max_completion_tokens, limits.min_tokens, "max_tokens" in limits], [5, 0, false]);
});

Deno.test("a text completion goes on with its prompt and its answer, within the limit that engines take by default", () => {
  deepStrictEqual(JSON.parse(resume({ prompt: "Once", stream: true }, "completions")), {
    prompt: "Once and so",
    stream: true,
    max_tokens: 13,
  });
  deepStrictEqual(JSON.parse(resume({ prompt: ["Once"], max_tokens: 4 }, "completions")).prompt, ["Once and so"]);
});

Deno.test("a request that was answered nothing of goes out as it was", () => {
  const body = JSON.stringify({ messages, max_tokens: 3 });
  equal(resume(body, "chat", "", 0), body);
});

Deno.test("what another engine cannot go on with is said", () => {
  const chats: [object, RegExp][] = [
    [{ n: 2 }, /more than one answer/],
    [{ logprobs: true }, /logprobs/],
    [{ response_format: { type: "json_object" } }, /structured/],
    [{ guided_json: {} }, /guided_json/],
    [{ tools: [{}] }, /tools/],
    [{ continue_final_message: true }, /continue_final_message/],
    [{ messages: [...messages, { role: "assistant", content: "a" }] }, /assistant's/],
    [{ max_tokens: 3 }, /all its tokens/],
  ];
  for (const [more, reason] of chats) match(resume({ messages, ...more }, "chat"), reason);
  ok(
    !resume({ messages, n: 1, logprobs: false, tools: [], response_format: { type: "text" } }, "chat").startsWith("im"),
  );
  ok(!resume({ messages, tools: [{}], tool_choice: "none" }, "chat").startsWith("im"));
  match(resume({ prompt: [1, 2, 3] }, "completions"), /not one text/);
  match(resume({ prompt: ["a", "b"] }, "completions"), /not one text/);
  match(resume({ prompt: "a", logprobs: 0 }, "completions"), /logprobs/);
  match(resume({ prompt: "a", echo: true }, "completions"), /echo/);
});

Deno.test("topLevelMembers() finds each value of any JSON object, whitespace or not", () => {
  fc.assert(fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(3), (object, indent) => {
    const text = JSON.stringify(object, undefined, indent);
    const bytes = encoder.encode(text);
    const members = topLevelMembers(bytes);
    deepStrictEqual([...members.keys()].sort(), Object.keys(object).sort());
    for (const [key, { start, end }] of members) {
      deepStrictEqual(JSON.parse(decoder.decode(bytes.subarray(start, end))), JSON.parse(JSON.stringify(object[key])));
    }
  }));
});
