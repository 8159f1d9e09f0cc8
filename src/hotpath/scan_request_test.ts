import { deepStrictEqual, equal, ok } from "node:assert/strict";
import type { Api } from "../core/mod.ts";
import { instantiate } from "./load.ts";
import { Scanner } from "./scan.ts";
import type { RequestScan, ScanFailure } from "./scan_result.ts";

const scanner = new Scanner(
  await instantiate({ endpoints: 8, blockTreeBytes: 65_536, bodyBytesMax: 4096, prefixTokensMax: 1024 }, 64),
);
const utf8 = (text: string) => new TextEncoder().encode(text);

function scanned(text: string, api: Api = "chat"): RequestScan {
  const result = scanner.scan(utf8(text), api);
  if (!result.ok) throw new Error(result.message);
  return result;
}

function refused(text: string, api: Api = "chat"): ScanFailure {
  const result = scanner.scan(utf8(text), api);
  if (result.ok) throw new Error("accepted");
  return result;
}

Deno.test("scan() reads the fields that routing needs", () => {
  const text =
    '{"mod\\u0065l" : "m\\n", "stream":true,"stream_options":{"x":1,"include_usage":false},"n":2,"user":"u",' +
    '"max_tokens":9,"max_completion_tokens":7,"cache_salt":"s","previous_response_id":"r","messages":[{}]}';
  const scan = scanned(text);
  equal(scan.model, "m\n");
  equal(text.slice(scan.modelSpan!.start, scan.modelSpan!.end), '"m\\n"');
  equal(text.slice(scan.streamOptionsSpan!.start, scan.streamOptionsSpan!.end), '{"x":1,"include_usage":false}');
  equal(text.slice(scan.includeUsageSpan!.start, scan.includeUsageSpan!.end), "false");
  const { stream, includeUsage, n, user, maxOutputTokens, salt, previousResponseId, open, empty } = scan;
  deepStrictEqual(
    { stream, includeUsage, n, user, maxOutputTokens, salt, previousResponseId, open, empty },
    {
      stream: true,
      includeUsage: false,
      n: 2,
      user: "u",
      maxOutputTokens: 7,
      salt: "s",
      previousResponseId: "r",
      open: 1,
      empty: false,
    },
  );
});

Deno.test("scan() takes each dialect's own cap, salt and adapter", () => {
  equal(scanned('{"messages":[{}],"max_completion_tokens":null,"max_tokens":5}').maxOutputTokens, 5);
  equal(scanned('{"prompt":"p","max_tokens":1e2,"max_completion_tokens":5}', "completions").maxOutputTokens, 100);
  equal(scanned('{"input":"p","max_output_tokens":0}', "responses").maxOutputTokens, 0);
  equal(scanned('{"token_ids":[1],"sampling_params":{"max_tokens":3,"n":2}}', "generate").maxOutputTokens, 3);
  const sglang = scanned(
    '{"text":"t","extra_key":"k","lora_path":"l","sampling_params":{"max_new_tokens":4}}',
    "sglang-generate",
  );
  deepStrictEqual([sglang.maxOutputTokens, sglang.salt, sglang.adapter], [4, "k", "l"]);
  equal(scanned('{"text":"t","lora_path":["a",null]}', "sglang-generate").adapter, undefined);
});

Deno.test("scan() names the field that is missing or of the wrong type", () => {
  const cases: [Api, string, string, string][] = [
    ["chat", '{"messages":[{}],"model":""}', "model", 'model must be a non-empty string: current value is ""'],
    ["chat", '{"messages":[{}],"model":["m"]}', "model", 'model must be a non-empty string: current value is ["m"]'],
    ["chat", '{"messages":[{}],"stream":1}', "stream", "stream must be true or false: current value is 1"],
    [
      "chat",
      '{"messages":[{}],"max_tokens":-1}',
      "max_tokens",
      "max_tokens must be a non-negative integer: current value is -1",
    ],
    ["chat", '{"messages":[{}],"n":1.5}', "n", "n must be a non-negative integer: current value is 1.5"],
    [
      "chat",
      '{"messages":[{}],"stream_options":{"include_usage":1}}',
      "stream_options.include_usage",
      "stream_options.include_usage must be true or false: current value is 1",
    ],
    [
      "chat",
      '{"messages":[{}],"stream_options":[]}',
      "stream_options",
      "stream_options must be an object: current value is []",
    ],
    ["chat", "{}", "messages", "messages must be a list of at least one message: it is missing"],
    ["chat", '{"messages":null}', "messages", "messages must be a list of at least one message: it is missing"],
    [
      "messages",
      '{"messages":[ ]}',
      "messages",
      "messages must be a list of at least one message: current value is [ ]",
    ],
    [
      "chat",
      '{"messages":[{},"hi"]}',
      "messages",
      "every element of messages must be an object: byte 16 is the start of another value",
    ],
    ["responses", '{"input":7}', "input", "input must be a string or a list of items: current value is 7"],
    [
      "completions",
      '{"prompt":""}',
      "prompt",
      'prompt must be a non-empty string, or a list of strings, of token ids or of lists of token ids: current value is ""',
    ],
    [
      "generate",
      '{"token_ids":["a"]}',
      "token_ids",
      'token_ids must be a non-empty list of token ids: current value is ["a"]',
    ],
    [
      "generate",
      '{"token_ids":[1,4294967295]}',
      "token_ids",
      "token_ids must hold token ids from 0 to 4294967294: byte 16 is the start of another value",
    ],
    [
      "sglang-generate",
      "{}",
      "input_ids",
      "input_ids must be a non-empty list of token ids or of lists of token ids, " +
      "or text must be a string or a list of strings: none of them is given",
    ],
    ["rerank", '{"query":"q"}', "documents", "documents must be a list of strings or objects: it is missing"],
    [
      "score",
      '{"text_1":"q","text_2":1}',
      "text_2",
      "text_2 must be a string, an object or a list of these: current value is 1",
    ],
  ];
  for (const [api, text, param, message] of cases) {
    const failure = refused(text, api);
    deepStrictEqual([failure.param, failure.message], [param, `Cannot read the request as ${message}`], text);
  }
  const long = refused(`{"messages":"${"x".repeat(100)}"}`);
  ok(long.message.endsWith(`current value is "${"x".repeat(39)}…`), long.message);
});

Deno.test("scan() leaves what it does not know about passed-through bodies to the engine", () => {
  const scan = scanned('{"model":5,"stream":"yes","n":-1,"messages":7,"stream_options":3}', "passthrough");
  deepStrictEqual([scan.model, scan.modelSpan, scan.stream, scan.promptTokens], [undefined, undefined, false, 0]);
  equal(scanned('{"model":"m","stream":true}', "passthrough").model, "m");
});
