import { equal } from "node:assert/strict";
import { FirstTokenGate } from "./first_token.ts";

const encoder = new TextEncoder();

/** After which of the parts the gate opens; -1 for none. */
function opens(...parts: string[]): number {
  const gate = new FirstTokenGate();
  return parts.findIndex((part) => gate.push(encoder.encode(part)));
}

const chat = (delta: unknown, finish: string | null = null) =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta, logprobs: null, finish_reason: finish }] })}\n\n`;

Deno.test("FirstTokenGate holds back roles and empty pieces, and opens for the first that says something", () => {
  const role = chat({ role: "assistant", content: "" });
  equal(opens(role, chat({ content: "" }), chat({ content: "a" })), 2);
  equal(opens("\n\n", role, ": ping\n\n"), 2);
  equal(opens(role + chat({ content: "a" })), 0);
  equal(opens(role, chat({ content: null, reasoning_content: "hm" })), 1);
  equal(opens(role, chat({ tool_calls: [] }), chat({ tool_calls: [{ index: 0 }] })), 2);
  equal(opens(role, chat({}, "stop")), 1);
  equal(opens('data: {"choices":[{"index":0,"text":""}]}\r\n\r\n', 'data: {"choices":[{"text":"a"}]}\r\n\r\n'), 1);
  equal(opens('data: {"choices":[],"usage":{}}\n\n', role, role), -1);
});

Deno.test("FirstTokenGate waits for the end of an event and opens for what it does not know", () => {
  const event = chat({ content: "a" });
  equal(opens(event.slice(0, 20), event.slice(20, -1), "\n"), 2);
  equal(opens("data: [DONE]\n\n"), 0);
  equal(opens('data: {"error":{"message":"x"}}\n\n'), 0);
  equal(opens("data: null\n\n"), 0);
  equal(opens(":".repeat(70_000)), 0);
});
