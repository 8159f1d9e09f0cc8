import { deepStrictEqual, equal, match } from "node:assert/strict";
import fc from "fast-check";
import { ResumableStream } from "./resumable_stream.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

const event = (value: unknown) => `data: ${JSON.stringify(value)}\n\n`;
const chat = (delta: unknown, more: object = {}, id = "one") =>
  event({ id, created: 1, model: "m", choices: [{ index: 0, delta, logprobs: null, finish_reason: null, ...more }] });
const push = (stream: ResumableStream, text: string) => decoder.decode(stream.push(encoder.encode(text)));

Deno.test("ResumableStream passes whole events on as they are and keeps their text and the count of tokens", () => {
  const parts = [
    chat({ role: "assistant", content: "" }),
    chat({ content: "é" }),
    ": ping\n\n",
    chat({ content: " b" }),
  ];
  const bytes = encoder.encode(parts.join(""));
  fc.assert(fc.property(fc.array(fc.nat(bytes.length), { maxLength: 8 }), (cuts) => {
    const stream = new ResumableStream();
    let out = "";
    [...cuts.sort((a, b) => a - b), bytes.length].reduce((from, to) => {
      const passed = stream.push(bytes.slice(from, to));
      out += decoder.decode(passed);
      equal(parts.join("").startsWith(out) && out.endsWith("\n\n") || out === "", true);
      return to;
    }, 0);
    equal(out, parts.join(""));
    deepStrictEqual([stream.text, stream.tokens, stream.finished, stream.done], ["é b", 2, false, false]);
  }));
});

Deno.test("ResumableStream holds the event that is cut and lets the next engine begin it anew", () => {
  const stream = new ResumableStream();
  equal(push(stream, chat({ content: "a" }) + chat({ content: "b" }).slice(0, -1)), chat({ content: "a" }));
  deepStrictEqual([stream.text, stream.tokens], ["a", 1]);
  stream.resume();
  const rest = chat({ role: "assistant", content: "" }, {}, "two") + chat({ content: "b" }, {}, "two") +
    chat({ content: "" }, { finish_reason: "stop" }, "two");
  const usage = {
    prompt_tokens: 11,
    completion_tokens: 2,
    total_tokens: 13,
    prompt_tokens_details: { cached_tokens: 8 },
  };
  const end = event({ id: "two", created: 9, model: "m", choices: [], usage }) + "data: [DONE]\n\n";
  const summed = { ...usage, prompt_tokens: 10, completion_tokens: 3 };
  equal(
    push(stream, rest + end),
    chat({ content: "b" }) + chat({ content: "" }, { finish_reason: "stop" }) +
      event({ id: "one", created: 1, model: "m", choices: [], usage: summed }) + "data: [DONE]\n\n",
  );
  deepStrictEqual([stream.text, stream.tokens, stream.finished, stream.done], ["ab", 2, true, true]);
});

Deno.test("ResumableStream leaves out the role of an event that has text as well, and reads text completions", () => {
  const stream = new ResumableStream();
  push(stream, event({ id: "one", choices: [{ index: 0, text: "a" }] }));
  stream.resume();
  const passed = push(
    stream,
    event({ id: "two", choices: [{ index: 0, text: "" }] }) +
      event({ id: "two", choices: [{ index: 0, text: "b" }] }),
  );
  equal(passed, event({ id: "one", choices: [{ index: 0, text: "b" }] }));
  const other = new ResumableStream();
  push(other, chat({ content: "a" }));
  other.resume();
  equal(push(other, chat({ role: "assistant", content: "b" }, {}, "two")), chat({ content: "b" }));
});

Deno.test("ResumableStream counts tokens without text once text follows, and as the engine does where it counts along", () => {
  const stream = new ResumableStream();
  push(stream, chat({ content: "a" }) + chat({ content: "" }) + chat({ content: "😀" }) + chat({ content: "" }));
  equal(stream.tokens, 3, "the last token told nothing and is generated anew");
  stream.resume();
  push(stream, event({ choices: [{ index: 0, delta: { content: "bc" } }], usage: { completion_tokens: 4 } }));
  equal(stream.tokens, 7);
});

Deno.test("ResumableStream says what makes going on impossible", () => {
  const cases: [string, RegExp][] = [
    [chat({ tool_calls: [{ index: 0 }] }), /tool_calls/],
    [chat({ reasoning_content: "hm" }), /reasoning_content/],
    [chat({ content: "a" }, { logprobs: { content: [] } }), /log probabilities/],
    [chat({ content: "a" }, { index: 1 }), /more than one choice/],
    [event({ type: "message_start" }), /no choices/],
    ["data: {\n\n", /not JSON/],
    [`data: ${"x".repeat(2 << 20)}`, /too long/],
  ];
  for (const [text, reason] of cases) {
    const stream = new ResumableStream();
    equal(push(stream, text), text);
    match(stream.impossible!, reason);
  }
});

Deno.test("ResumableStream keeps an engine's own failure to itself, and a client's mistake not", () => {
  const stream = new ResumableStream();
  const failure = event({ error: { message: "EngineCore died", code: 500 } });
  equal(push(stream, chat({ content: "a" }) + failure + "data: [DONE]\n\n"), chat({ content: "a" }));
  deepStrictEqual([stream.lost, stream.done], [true, false]);
  const other = new ResumableStream();
  const mistake = event({ error: { message: "no", code: 400 } });
  equal(push(other, mistake), mistake);
  equal(other.lost, false);
});
