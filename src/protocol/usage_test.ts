import { deepStrictEqual, equal } from "node:assert/strict";
import { textOf } from "./http1/mod.ts";
import { mergeUsage, readFinishReason, readUsage, type Usage } from "./usage.ts";

Deno.test("readUsage() reads every vendor's spelling", () => {
  deepStrictEqual(
    readUsage('{"usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}'),
    { promptTokens: 7, completionTokens: 2, cachedTokens: 4 },
  );
  deepStrictEqual(
    readUsage('{"usage": {"input_tokens":"7","output_tokens":2,"input_tokens_details":{"cached_tokens":1}}}'),
    { promptTokens: 7, completionTokens: 2, cachedTokens: 1 },
  );
  deepStrictEqual(readUsage('{"usage":{"input_tokens":7,"output_tokens":2,"cache_read_input_tokens":5}}'), {
    promptTokens: 7,
    completionTokens: 2,
    cachedTokens: 5,
  });
  deepStrictEqual(
    readUsage('{"text":"x","meta_info":{"prompt_tokens":3,"completion_tokens":1,"cached_tokens":0}}'),
    { promptTokens: 3, completionTokens: 1, cachedTokens: 0 },
  );
});

Deno.test("readUsage() takes the last object of a tail and survives what is not one", () => {
  deepStrictEqual(
    readUsage('"usage":{"prompt_tokens":1}} data: {"usage":{"prompt_tokens":9}}')?.promptTokens,
    9,
  );
  for (const text of ["", "usage", '"usage":null', '"usage":{"prompt_tokens":', '"usage":{"a":tru}', '"usage":5']) {
    equal(readUsage(text), undefined);
  }
});

Deno.test("mergeUsage() lets what came later win, field by field", () => {
  const usage: Usage = {};
  mergeUsage(usage, { promptTokens: 10, cachedTokens: 4 });
  mergeUsage(usage, { completionTokens: 5, promptTokens: 0 });
  deepStrictEqual(usage, { promptTokens: 10, cachedTokens: 4, completionTokens: 5 });
});

Deno.test("mergeUsage() tells a reported zero from what was not said", () => {
  const usage: Usage = {};
  mergeUsage(usage, { cachedTokens: 0 });
  mergeUsage(usage, { promptTokens: 3 });
  deepStrictEqual(usage, { promptTokens: 3, completionTokens: undefined, cachedTokens: 0 });
});

Deno.test("readFinishReason() gives the last reason that is a string", () => {
  equal(readFinishReason('{"finish_reason":null}{"finish_reason":"length"}'), "length");
  equal(readFinishReason('{"delta":{"stop_reason":"end_turn"}}'), "end_turn");
  equal(readFinishReason('{"finish_reason":null}'), undefined);
});

Deno.test("readUsage() reads a tail that begins inside a character", () => {
  const bytes = new TextEncoder().encode('é日本 {"usage":{"prompt_tokens":4}}');
  for (let cut = 0; cut < 9; cut++) equal(readUsage(textOf(bytes.subarray(cut)))?.promptTokens, 4);
});
