import { equal } from "node:assert/strict";
import fc from "fast-check";
import { type BodyEdit, ModelNameRestorer, UsageEventRemoval } from "./response_edits.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Runs an edit over a text cut into pieces of the given sizes. */
function edited(edit: BodyEdit, text: string, sizes: number[]): string {
  const bytes = encoder.encode(text);
  const out: Uint8Array[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const n = sizes[i % sizes.length];
    out.push(edit.push(bytes.slice(at, at + n)).slice());
    at += n;
  }
  out.push(edit.end());
  return decoder.decode(Uint8Array.from(out.flatMap((part) => [...part])));
}

const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 6 });
const json = (value: unknown) => JSON.stringify(value);

Deno.test("ModelNameRestorer puts the asked name at the top level, however the body is cut", () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ maxDepth: 3 }),
      fc.string({ minLength: 1, maxLength: 20 }),
      fc.string({ maxLength: 20 }),
      sizes,
      (extra, served, asked, cuts) => {
        const body = (model: string) =>
          json({
            id: 'a"model":',
            choices: [{ model: served, extra }],
            model,
            nested: { model: served, response: { model: served } },
            text: `"model":"${served}"`,
          });
        equal(edited(new ModelNameRestorer(served, asked), body(served), cuts), body(asked));
      },
    ),
    { numRuns: 400 },
  );
});

Deno.test("ModelNameRestorer follows events and the two nested places", () => {
  const stream = (model: string) =>
    `event: response.created\ndata: ${json({ type: "response.created", response: { id: "r", model } })}\n\n` +
    `data: ${json({ model, choices: [{ delta: { content: '{"model":"base"} \\" x' } }] })}\n\n: comment "quoted\n\n` +
    `data: ${json({ type: "message_start", message: { content: [{ model: "base" }], model } })}\n\ndata: [DONE]\n\n`;
  for (const size of [1, 2, 3, 7, 1000]) {
    equal(edited(new ModelNameRestorer("base", "alias"), stream("base"), [size]), stream("alias"));
  }
});

Deno.test("ModelNameRestorer leaves other names, values that are no strings and cut bodies alone", () => {
  for (
    const text of [
      '{"model":"other"}',
      '{"model":null,"x":"base"}',
      '{"model":{"model":"base"}}',
      '{"x":"model","y":"base"}',
      '{"model":"ba',
      '["model","base"]',
      `{"model":"${"z".repeat(2000)}"}`,
    ]
  ) {
    equal(edited(new ModelNameRestorer("base", "alias"), text, [5]), text);
  }
  equal(
    edited(new ModelNameRestorer("base", "alias"), '{"mod\\u0065l" : "b\\u0061se"}', [4]),
    '{"mod\\u0065l" : "alias"}',
  );
});

Deno.test("UsageEventRemoval takes out the usage-only event and nothing else", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ maxLength: 30 }), { maxLength: 6 }),
      sizes,
      fc.constantFrom("\n\n", "\r\n\r\n"),
      (texts, cuts, end) => {
        const events = texts.map((content) =>
          `data: ${json({ choices: [{ delta: { content } }], usage: null })}${end}`
        );
        const usage = `data: ${json({ choices: [], usage: { prompt_tokens: 3 } })}${end}`;
        const removal = new UsageEventRemoval();
        equal(
          edited(removal, `${events.join("")}${usage}data: [DONE]${end}`, cuts),
          `${events.join("")}data: [DONE]${end}`,
        );
        equal(decoder.decode(removal.removed), usage);
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("UsageEventRemoval gives an unfinished last event back at the end", () => {
  equal(
    edited(new UsageEventRemoval(), 'data: {"choices":[{}]}\n\ndata: {"cho', [9]),
    'data: {"choices":[{}]}\n\ndata: {"cho',
  );
});
