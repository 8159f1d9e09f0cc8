/** Bodies nobody should have to read: damaged JSON, wrong types, and what an honest judge says of each. */
import { type Api, Prng } from "../../src/core/mod.ts";
import { scanTwin } from "../../src/hotpath/scan_twin.ts";
import { apiPaths } from "../../src/protocol/mod.ts";

/** One request over HTTP that is well formed below its body. */
export interface BodyCase {
  readonly path: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
}

/** What must become of a case. */
export type Verdict =
  | { readonly forwarded: true }
  | { readonly forwarded: false; readonly status: number; readonly param?: string };

/** The model the pool serves. */
export const knownModel = "known";

const encoder = new TextEncoder();

/** A valid body for each dialect, with every field the router reads. */
const whole: Readonly<Record<Exclude<Api, "passthrough">, Readonly<Record<string, unknown>>>> = {
  "chat": {
    model: knownModel,
    stream: false,
    stream_options: { include_usage: true },
    max_completion_tokens: 5,
    n: 1,
    user: "u",
    cache_salt: "s",
    temperature: 0.5,
    tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
    messages: [
      { role: "system", content: 'Be "brief" \\ \u00e9\u4e16\ud83c\udf0d' },
      { role: "user", content: [{ type: "text", text: "see" }, { type: "image_url", image_url: { url: "data:," } }] },
    ],
  },
  "completions": { model: knownModel, prompt: ["a", "b"], max_tokens: 5, n: 2, stream: false, stream_options: {} },
  "responses": {
    model: knownModel,
    instructions: "i",
    input: [{ role: "user", content: "x" }],
    max_output_tokens: 7,
    previous_response_id: "r",
  },
  "embeddings": { model: knownModel, input: [[1, 2, 3], [4]], user: "u" },
  "messages": { model: knownModel, system: "s", max_tokens: 9, messages: [{ role: "user", content: "x" }] },
  "count-tokens": { model: knownModel, messages: [{ role: "user", content: "x" }] },
  "generate": { model: knownModel, token_ids: [1, 2, 3], sampling_params: { max_tokens: 4, n: 1 } },
  "sglang-generate": { text: "x", sampling_params: { max_new_tokens: 4, n: 1 }, lora_path: "l", extra_key: "k" },
  "tokenize": { model: knownModel, prompt: "x" },
  "rerank": { model: knownModel, query: "q", documents: ["a", "b"] },
  "score": { model: knownModel, text_1: "a", text_2: ["b", "c"] },
};

const counts = ['"5"', "-1", "1.5", "1e400", "-1e400", "true", "[]", "{}"];
const flags = ['"true"', "1", "0", "[]", "{}"];
/** Values a field may not have, as JSON, by the path of the field. */
const wrong: Readonly<Record<string, readonly string[]>> = {
  "model": ["5", "true", "[]", "{}", '""', '["known"]'],
  "stream": flags,
  "stream_options": ["true", "1", '"x"', "[]"],
  "stream_options.include_usage": flags,
  "max_tokens": counts,
  "max_completion_tokens": counts,
  "max_output_tokens": counts,
  "n": counts,
  "sampling_params.max_tokens": counts,
  "sampling_params.max_new_tokens": counts,
  "sampling_params.n": counts,
  "messages": ['"x"', "5", "{}", "[]", "true", "null"],
  "prompt": ["5", "{}", "true", "null", '[1,"a"]', '["a",1]', "[[1],1]", "[-1]", "[1.5]", "[null]"],
  "input": ["5", "{}", "true", "null"],
  "token_ids": ['"x"', "5", "{}", "[]", "null", '["a"]', "[-1]", "[1.5]", "[1e99]", "[[1]]"],
  "input_ids": ['"x"', "5", "{}", "[]", '["a"]', "[-1]"],
  "text": ["5", "{}", "null"],
  "query": ["5", "[]", "null", "true"],
  "documents": ['"x"', "5", "null"],
  "text_1": ["5", "null", "true"],
  "text_2": ["5", "null", "true"],
};

const json = { "content-type": "application/json" };

function bodyCase(path: string, body: string | Uint8Array<ArrayBuffer>, headers: BodyCase["headers"] = json): BodyCase {
  return { path, body: typeof body === "string" ? encoder.encode(body) : body, headers };
}

function valid(path: string): Record<string, unknown> {
  return structuredClone(whole[apiPaths[path] as keyof typeof whole]) as Record<string, unknown>;
}

const paths = Object.keys(apiPaths);

/** The JSON of a path's valid body with one field holding `text`. */
function withField(path: string, field: string, text: string): string {
  const body = valid(path);
  const [outer, inner] = field.split(".");
  if (inner === undefined) body[outer] = "@";
  else body[outer] = { ...(body[outer] as object), [inner]: "@" };
  return JSON.stringify(body).replace('"@"', text);
}

/** Every wrong type of every field a path's body has. */
export function wrongTypes(): BodyCase[] {
  return paths.flatMap((path) =>
    Object.entries(wrong).flatMap(([field, texts]) => {
      const [outer, inner] = field.split(".");
      const holder = inner === undefined ? valid(path) : valid(path)[outer] as object | undefined;
      if (!holder || !((inner ?? outer) in holder)) return [];
      return texts.map((text) => bodyCase(path, withField(path, field, text)));
    })
  );
}

/** Whole bodies that are wrong by their form, for every path. */
export function wrongForms(): BodyCase[] {
  const forms: (string | Uint8Array<ArrayBuffer>)[] = [
    "",
    " ",
    "null",
    "[]",
    "5",
    '"text"',
    "{}",
    "{",
    "}",
    "{}{}",
    "{,}",
    "{'model':'known'}",
    '{"model":"known",}',
    '{"a":01}',
    '{"a":.5}',
    '{"a":NaN}',
    '{"a":"\u0000"}',
    '{"a":"\\x"}',
    '{"a":"\\u12"}',
    '{"a":tru}',
    "\ufeff{}",
    `${'{"a":'.repeat(600)}1${"}".repeat(600)}`,
    `{"a":${"[".repeat(100_000)}`,
    `{"a":${"[".repeat(600)}${"]".repeat(600)}}`,
    encoder.encode('{"a":"').slice().fill(0),
    new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    new Uint8Array([0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x3a, 0x31, 0x7d]),
    new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
    '{"model":"known","model":5}',
    '{"mod\\u0065l":5}',
    "<xml/>",
    "model=known&prompt=x",
  ];
  return paths.flatMap((path) => forms.map((form) => bodyCase(path, form)));
}

/** Headers that ask for what cannot be, on bodies that are fine or not. */
export function wrongHeaders(): BodyCase[] {
  const slo = ["x-llm-d-slo-ttft-ms", "x-slo-ttft-ms", "x-llm-d-slo-tpot-ms", "x-slo-tpot-ms"];
  const times = ["soon", "-1", "0", "NaN", "Infinity", "1e999", "1,2", "5ms", "1 2"];
  const broken: Record<string, string>[] = [
    { "x-request-id": "x".repeat(5000) },
    { "x-request-id": "two words" },
    { "x-session-token": "%%%" },
    { "x-session-id": "s".repeat(9000) },
    { traceparent: "00-zz-zz-zz" },
    { traceparent: `00-${"0".repeat(32)}-${"0".repeat(16)}-00`, tracestate: "=" },
    { "content-type": "text/plain" },
    { "content-type": "multipart/form-data; boundary=x" },
    { "content-encoding": "gzip" },
    { "x-llm-d-inference-fairness-id": "f".repeat(9000) },
    { "x-llm-d-inference-objective": "o\u00e9".repeat(900) },
    { "x-gateway-destination-endpoint-subset": ",,,:::" },
    { authorization: `Bearer ${"a".repeat(9000)}` },
  ];
  return paths.flatMap((path) => [
    ...slo.flatMap((name) =>
      times.map((time) => bodyCase(path, JSON.stringify(valid(path)), { ...json, [name]: time }))
    ),
    ...broken.map((headers) => bodyCase(path, '{"model":"known"', { ...json, ...headers })),
    bodyCase(path, JSON.stringify({ ...valid(path), model: "m\r\nx-evil: 1" })),
    bodyCase(path, JSON.stringify({ ...valid(path), model: "m".repeat(100_000) })),
  ]);
}

const splinters = [
  "\0",
  "\ufeff",
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "null",
  "1e400",
  "-",
  "\\u0000",
  "\\ud800",
  '"model":5,',
  '"model":"other",',
  '"stream":3,',
  '"messages":[],',
  "\r\n\r\n",
  " ".repeat(100),
  "9".repeat(400),
  "true",
  "\u2028",
].map((text) => encoder.encode(text));
const badBytes = [0xff, 0xfe, 0xc0, 0x80, 0xed, 0xf5, 0x00, 0x1f, 0x7f];

function spliced(bytes: Uint8Array, start: number, end: number, middle: Uint8Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(bytes.length - (end - start) + middle.length);
  out.set(bytes.subarray(0, start));
  out.set(middle, start);
  out.set(bytes.subarray(end), start + middle.length);
  return out;
}

function mutated(bytes: Uint8Array<ArrayBuffer>, prng: Prng): Uint8Array<ArrayBuffer> {
  const at = prng.below(bytes.length + 1);
  const to = Math.min(bytes.length, at + prng.below(12));
  switch (prng.below(7)) {
    case 0:
      return bytes.slice(0, at);
    case 1:
      return spliced(bytes, at, Math.min(bytes.length, at + 1), new Uint8Array([prng.below(256)]));
    case 2:
      return spliced(bytes, at, at, splinters[prng.below(splinters.length)]);
    case 3:
      return spliced(bytes, at, to, new Uint8Array());
    case 4:
      return spliced(bytes, at, at, bytes.subarray(at, to));
    case 5:
      return spliced(bytes, at, to, splinters[prng.below(splinters.length)]);
    default:
      return spliced(bytes, at, at, new Uint8Array([badBytes[prng.below(badBytes.length)]]));
  }
}

/** `count` valid bodies, each damaged one to three times; some are valid still. */
export function mutations(count: number, seed: number): BodyCase[] {
  const prng = new Prng(seed);
  return Array.from({ length: count }, (_, i) => {
    const path = paths[i % paths.length];
    let body = encoder.encode(JSON.stringify(valid(path)));
    for (let times = 1 + prng.below(3); times > 0; times--) body = mutated(body, prng);
    return bodyCase(path, body);
  });
}

const sloHeader = /^x-(llm-d-)?slo-/;

/** Decides by `JSON.parse` and the scan's twin, which share no code with the kernel. */
export function judge({ path, body, headers }: BodyCase): Verdict {
  const { result } = scanTwin(body, apiPaths[path]);
  if (!result.ok) return { forwarded: false, status: 400, param: result.param };
  const slo = Object.entries(headers).find(([name]) => sloHeader.test(name));
  if (slo && !(Number(slo[1]) > 0 && Number(slo[1]) < Infinity)) return { forwarded: false, status: 400 };
  if (result.model !== undefined && result.model !== knownModel) {
    return { forwarded: false, status: 404, param: "model" };
  }
  return { forwarded: true };
}
