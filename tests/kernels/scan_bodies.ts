/** Random request bodies for the scan: values first, then one of the many texts that stand for them. */
import fc from "fast-check";
import { type Api, Prng } from "../../src/core/mod.ts";

/** An object as its members in order, so that keys may repeat. */
export class Members {
  constructor(readonly list: readonly (readonly [string, Value])[]) {}
}

/** A number as its text. */
export class NumberText {
  constructor(readonly text: string) {}
}

export type Value = string | boolean | null | NumberText | Members | readonly Value[];

export const apis: readonly Api[] = [
  "chat",
  "completions",
  "responses",
  "embeddings",
  "messages",
  "count-tokens",
  "generate",
  "sglang-generate",
  "tokenize",
  "rerank",
  "score",
  "passthrough",
];

const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** A JSON text of a value: spacing and escapes as the seed has it. */
class Writer {
  readonly #prng: Prng;
  readonly #spaced: number;
  readonly #escaped: number;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    this.#spaced = [0, 0.1, 0.6][this.#prng.below(3)];
    this.#escaped = [0, 0.05, 0.5][this.#prng.below(3)];
  }

  write(value: Value): string {
    if (typeof value === "string") return this.#string(value);
    if (value === null || typeof value === "boolean") return String(value);
    if (value instanceof NumberText) return value.text;
    if (value instanceof Members) {
      const members = value.list.map(([key, member]) =>
        `${this.#space()}${this.#string(key)}${this.#space()}:${this.#space()}${this.write(member)}${this.#space()}`
      );
      return `{${members.join(",") || this.#space()}}`;
    }
    return `[${value.map((item) => this.#space() + this.write(item) + this.#space()).join(",") || this.#space()}]`;
  }

  #space(): string {
    let space = "";
    while (this.#prng.float() < this.#spaced && space.length < 20) space += " \t\r\n"[this.#prng.below(4)];
    return space;
  }

  #string(text: string): string {
    let out = '"';
    for (const unit of text.split("")) {
      const code = unit.charCodeAt(0);
      const must = code < 0x20 || unit === '"' || unit === "\\" || (code & 0xf800) === 0xd800;
      if (this.#prng.float() < this.#escaped) out += this.#hex(code);
      else if (!must) out += unit;
      else out += shortEscapes[unit] ?? this.#hex(code);
    }
    // Halves of a pair are joined again half of the time.
    if (this.#prng.float() < 0.5) out = joinPairs(out);
    return `${out}"`;
  }

  #hex(code: number): string {
    if (code === 0x2f && this.#prng.float() < 0.5) return "\\/";
    const digits = code.toString(16).padStart(4, "0");
    return `\\u${this.#prng.float() < 0.5 ? digits : digits.toUpperCase()}`;
  }
}

function joinPairs(text: string): string {
  return text.replace(
    /(\\\\)|\\u(d[89ab]\w\w)\\u(d[c-f]\w\w)/gi,
    (all, pair, high, low) => pair ? all : String.fromCharCode(parseInt(high, 16), parseInt(low, 16)),
  );
}

const encoder = new TextEncoder();

export function bodyText(value: Value, seed: number): string {
  return new Writer(seed).write(value);
}

/** Bytes of a body text. */
export function bodyBytes(value: Value, seed: number): Uint8Array {
  return encoder.encode(bodyText(value, seed));
}

const units = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(..."abcxyz 019.,:{}[]") },
  { weight: 2, arbitrary: fc.constantFrom('"', "\\", "/", "\n", "\t", "\u0000", "\u0001", "\u001f", "\u007f") },
  { weight: 2, arbitrary: fc.constantFrom("é", "߿", "ࠀ", "€", "\ufeff", "\uffff", "機", "😀", "\u{10ffff}", "\u2028") },
  { weight: 1, arbitrary: fc.constantFrom("\ud800", "\udfff", "\ud83d", "\ude00") },
);

/** Strings of what scanners stumble over, some longer than a few vector registers. */
export const text: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.array(units, { maxLength: 12 }).map((parts) => parts.join("")) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.integer({ min: 0, max: 200 }), units, fc.integer({ min: 0, max: 90 }))
      .map(([before, unit, after]) => "a".repeat(before) + unit + "b".repeat(after)),
  },
);

const numberText = fc.oneof(
  fc.integer({ min: -5, max: 200_000 }).map(String),
  fc.constantFrom(
    "0",
    "-0",
    "1e3",
    "1E+2",
    "1.5",
    "2.0",
    "3.00",
    "-1.5e-7",
    "4294967294",
    "4294967295",
    "1e400",
    "12345678901",
  ),
).map((digits) => new NumberText(digits));

/** Any JSON value. */
export const anyValue: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    text,
    numberText,
    fc.constantFrom(true, false, null),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(fc.oneof(text, fc.constantFrom("a", "text", "content")), tie("value")), { maxLength: 4 })
      .map((list) => new Members(list)),
  ),
})).value;

type Fields = Readonly<Record<string, fc.Arbitrary<Value>>>;

/** Mostly what belongs there, sometimes null or anything. */
function mostly(arbitrary: fc.Arbitrary<Value>): fc.Arbitrary<Value> {
  return fc.oneof(
    { weight: 30, arbitrary },
    { weight: 1, arbitrary: fc.constant(null) },
    { weight: 1, arbitrary: anyValue },
  );
}

/** Objects with some of the fields, in any order, now and then twice, among others. */
function objectOf(required: Fields, optional: Fields = {}): fc.Arbitrary<Value> {
  const member = ([key, value]: [string, fc.Arbitrary<Value>]) => fc.tuple(fc.constant(key), mostly(value));
  const needed = Object.entries(required).map(member);
  const others = Object.entries(optional).map(member);
  const extra = fc.tuple(text, anyValue);
  return fc.tuple(
    needed.length > 0 ? fc.tuple(...needed) : fc.constant([]),
    fc.array(others.length > 0 ? fc.oneof(...others, extra) : extra, { maxLength: 3 }),
    fc.oneof(
      { weight: 9, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(fc.oneof(...needed, extra), { minLength: 1, maxLength: 2 }) },
    ),
    fc.integer(),
  ).map(([some, more, again, seed]) => {
    const prng = new Prng(seed);
    const list = [...some, ...more, ...again].map((entry) => ({ entry, at: prng.u32() }));
    return new Members(list.sort((a, b) => a.at - b.at).map(({ entry }) => entry));
  });
}

const listOf = (item: fc.Arbitrary<Value>, minLength = 0): fc.Arbitrary<Value> =>
  fc.array(item, { minLength, maxLength: 4 });
const words = (...names: string[]): fc.Arbitrary<Value> => fc.constantFrom(...names);
const ids: fc.Arbitrary<Value> = listOf(fc.nat(200_000).map((id) => new NumberText(String(id))), 1);
const prompt = fc.oneof<fc.Arbitrary<Value>[]>(text, listOf(text), ids, listOf(ids, 1));

const url = objectOf({ url: text });
const chatPart = fc.oneof(
  objectOf({ type: words("text"), text }),
  objectOf({ type: words("image_url"), image_url: url }),
  objectOf({ input_audio: objectOf({ data: text, format: words("wav") }) }),
  objectOf({ video_url: url }),
  objectOf({ audio_url: url }),
  text,
);
const call = objectOf({ id: text, function: objectOf({ name: text, arguments: fc.oneof(text, anyValue) }) });
const chatMessage = objectOf(
  { role: words("user", "assistant", "tool"), content: fc.oneof(text, listOf(chatPart)) },
  { tool_calls: listOf(call), name: text, tool_call_id: text },
);
const source = objectOf({ type: words("base64"), data: text }, { url: text, media_type: text });
const resultPart = fc.oneof(objectOf({ text }), objectOf({ source }));
const block = fc.oneof(
  objectOf({ type: words("text"), text }),
  objectOf({ thinking: text }, { signature: text }),
  objectOf({ name: text, input: anyValue }, { id: text }),
  objectOf({ content: fc.oneof(text, listOf(resultPart)) }, { tool_use_id: text }),
  objectOf({ source }),
);
const anthropicMessage = objectOf({ role: words("user", "assistant"), content: fc.oneof(text, listOf(block)) });
const inputItem = fc.oneof(
  objectOf({ role: words("user"), content: fc.oneof(text, listOf(objectOf({ text }, { image_url: text }))) }),
  objectOf({ name: text, arguments: text }, { call_id: text }),
  objectOf({ output: fc.oneof(text, listOf(objectOf({ text }))) }),
);
const system = fc.oneof(text, listOf(objectOf({ text })));
const document = fc.oneof<fc.Arbitrary<Value>[]>(text, objectOf({ text }), objectOf({ content: listOf(resultPart) }));

const tools = listOf(objectOf({ type: words("function"), function: anyValue }));
const common: Fields = {
  model: text,
  stream: fc.boolean(),
  stream_options: objectOf({}, { include_usage: fc.boolean() }),
  n: numberText,
  user: text,
  cache_salt: text,
  extra_key: text,
  lora_path: text,
  previous_response_id: text,
  max_tokens: fc.nat(9999).map((cap) => new NumberText(String(cap))),
  max_completion_tokens: fc.nat(9999).map((cap) => new NumberText(String(cap))),
  max_output_tokens: numberText,
  sampling_params: objectOf({}, { max_tokens: numberText, max_new_tokens: numberText, n: numberText }),
  temperature: numberText,
};

const requests: Readonly<Record<Api, fc.Arbitrary<Value>>> = {
  "chat": objectOf({ messages: listOf(chatMessage, 1) }, { ...common, tools }),
  "completions": objectOf({ prompt }, common),
  "responses": objectOf({ input: fc.oneof(text, listOf(inputItem)) }, { ...common, tools, instructions: system }),
  "embeddings": objectOf({ input: prompt }, common),
  "messages": objectOf({ messages: listOf(anthropicMessage, 1) }, { ...common, tools, system }),
  "count-tokens": objectOf({ messages: listOf(anthropicMessage, 1) }, { ...common, tools, system }),
  "generate": objectOf({ token_ids: ids }, common),
  "sglang-generate": fc.oneof(
    objectOf({ input_ids: fc.oneof(ids, listOf(ids, 1)) }, common),
    objectOf({ text: fc.oneof(text, listOf(text)) }, { ...common, input_ids: ids }),
  ),
  "tokenize": fc.oneof(
    objectOf({ prompt: text }, common),
    objectOf({ messages: listOf(chatMessage, 1) }, { ...common, tools }),
  ),
  "rerank": objectOf({ query: text, documents: listOf(document) }, common),
  "score": objectOf({ text_1: document, text_2: fc.oneof(document, listOf(document)) }, common),
  "passthrough": objectOf({}, { ...common, messages: anyValue }),
};

/** A request of one dialect, mostly usable, as bytes. */
export const request: fc.Arbitrary<{ api: Api; body: Uint8Array }> = fc.constantFrom(...apis).chain((api) =>
  fc.tuple(requests[api], fc.integer()).map(([value, seed]) => ({ api, body: bodyBytes(value, seed) }))
);

/** Chat messages without oddities: roles, text, tool calls. */
export const plainMessages: fc.Arbitrary<Value[]> = fc.array(
  fc.record({
    role: fc.constantFrom("user", "assistant", "tool"),
    content: text,
    calls: fc.array(fc.tuple(text, text)),
  })
    .map(({ role, content, calls }) =>
      new Members([
        ["role", role],
        ["content", content],
        [
          "tool_calls",
          calls.map(([name, args]) => new Members([["function", new Members([["name", name], ["arguments", args]])]])),
        ],
      ])
    ),
  { minLength: 1, maxLength: 5 },
);

/** `body` with a few bytes changed, put in, taken out, or its end cut off. */
export function mutate(body: Uint8Array, seed: number): Uint8Array {
  const prng = new Prng(seed);
  const bytes = [...body];
  const likely = encoder.encode('{}[]:,"\\ \n0123456789.eE+-truefalsn\u0000\u001f/bu');
  const byte = () => prng.float() < 0.7 ? likely[prng.below(likely.length)] : prng.below(256);
  for (let left = 1 + prng.below(3); left > 0; left--) {
    const at = prng.below(bytes.length + 1);
    switch (prng.below(5)) {
      case 0:
        bytes.splice(at, 1, byte());
        break;
      case 1:
        bytes.splice(at, 0, byte());
        break;
      case 2:
        bytes.splice(at, 1 + prng.below(3));
        break;
      case 3:
        bytes.splice(at, 0, ...bytes.slice(at, at + prng.below(12)));
        break;
      default:
        if (prng.float() < 0.3) bytes.length = at;
        else if (at < bytes.length) bytes[at] ^= 1 << prng.below(8);
    }
  }
  return Uint8Array.from(bytes);
}
