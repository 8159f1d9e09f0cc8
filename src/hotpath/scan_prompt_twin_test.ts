import { Buffer } from "node:buffer";
import { deepStrictEqual, equal } from "node:assert/strict";
import { LocatedJson } from "./json_twin.ts";
import { PromptTwin } from "./scan_prompt_twin.ts";

function message(text: string): PromptTwin {
  const json = new LocatedJson(new TextEncoder().encode(text), 512);
  const twin = new PromptTwin(json);
  twin.message(json.root);
  return twin;
}

const bytes = (twin: PromptTwin) => Buffer.from(twin.canonical).toString("latin1");

Deno.test("PromptTwin writes a message's fields in one order, each behind its byte", () => {
  const twin = message(
    '{"content":[{"text":"a\\u0000"},"b"],"tool_calls":[{"function":{"name":"f","arguments":{}}}],"role":"r"}',
  );
  equal(bytes(twin), "\xf7\xf8r\xf9a\0\xf9b\xfaf\xfb{}");
  deepStrictEqual([twin.promptBytes, twin.mediaParts, twin.tokens], [7, 0, 0]);
});

Deno.test("PromptTwin writes media as words of its content's hash", () => {
  const twin = message('{"content":[{"input_audio":{"data":"abc"}}]}');
  // XXH64 of "abc" with seed 0 is 44bc2cf5ad770999.
  equal(bytes(twin), "\xf7\xc0\0\0\x01\0\0\0\x99\x09\x77\xad");
  deepStrictEqual([twin.promptBytes, twin.mediaParts, twin.tokens], [0, 1, 1]);
});
