import type { Api } from "../core/mod.ts";
import { type JsonNode, LocatedJson } from "./json_twin.ts";
import { depthMax } from "./scan_layout.ts";
import type { RequestScan, ScanFailure } from "./scan_result.ts";
import { PromptTwin } from "./scan_prompt_twin.ts";

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What the kernel twin gives for one body: the scan's result and the canonical prompt, whole and uncut. */
export interface TwinScan {
  readonly result: RequestScan | ScanFailure;
  readonly canonical: Uint8Array;
}

const inputOf: Readonly<Record<Api, readonly string[]>> = {
  "chat": ["messages"],
  "completions": ["prompt"],
  "responses": ["input"],
  "embeddings": ["input"],
  "messages": ["messages"],
  "count-tokens": ["messages"],
  "generate": ["token_ids"],
  "sglang-generate": ["input_ids", "text"],
  "tokenize": ["prompt", "messages"],
  "rerank": ["query", "documents"],
  "score": ["text_1", "text_2"],
  "passthrough": [],
};

const capOf: Readonly<Partial<Record<Api, readonly string[]>>> = {
  "chat": ["max_completion_tokens", "max_tokens"],
  "completions": ["max_tokens"],
  "responses": ["max_output_tokens"],
  "messages": ["max_tokens"],
  "generate": ["sampling_params.max_tokens"],
  "sglang-generate": ["sampling_params.max_new_tokens"],
};

class Refused extends Error {
  constructor(readonly param: string, readonly offset: number) {
    super(`${param} is not usable`);
  }
}

/** One body, read the plain way: `JSON.parse` decides what is valid, a tree of located values says what it holds. */
class Reading {
  readonly #json: LocatedJson;
  readonly #api: Api;
  readonly prompt: PromptTwin;

  constructor(json: LocatedJson, api: Api) {
    this.#json = json;
    this.#api = api;
    this.prompt = new PromptTwin(json);
  }

  #string(path: string): string | undefined {
    const node = this.#json.field(path);
    return node?.type === "string" ? JSON.parse(this.#json.raw(node)) : undefined;
  }

  #boolean(path: string): boolean | undefined {
    const node = this.#json.field(path);
    if (!node) return undefined;
    const value = JSON.parse(this.#json.raw(node));
    if (typeof value !== "boolean") throw new Refused(path, node.start);
    return value;
  }

  #count(paths: readonly string[]): number | undefined {
    for (const path of paths) {
      const node = this.#json.field(path);
      if (!node) continue;
      const value = JSON.parse(this.#json.raw(node));
      if (!Number.isInteger(value) || value < 0) throw new Refused(path, node.start);
      return value + 0;
    }
    return undefined;
  }

  result(): RequestScan {
    const passthrough = this.#api === "passthrough";
    const fields = passthrough ? this.#passthrough() : this.#common();
    this.#prompt();
    const { promptBytes, mediaParts, tokenIds, tokens } = this.prompt;
    const promptTokens = Math.ceil(promptBytes / 4) + tokens;
    const { start, members } = this.#json.root;
    const open = { open: start + 1, empty: members.size === 0 };
    return { ok: true, api: this.#api, ...open, ...fields, promptBytes, promptTokens, tokenIds, mediaParts };
  }

  #passthrough() {
    const model = this.#string("model") || undefined;
    const stream = this.#json.field("stream");
    return {
      model,
      modelSpan: model === undefined ? undefined : this.#span("model"),
      stream: stream !== undefined && this.#json.raw(stream) === "true",
      streamOptionsEmpty: false,
    };
  }

  #span(path: string): { start: number; end: number } | undefined {
    const node = this.#json.member(path);
    return node && { start: node.start, end: node.end };
  }

  #common() {
    const sglang = this.#api === "sglang-generate";
    const native = sglang || this.#api === "generate";
    const modelNode = this.#json.field("model");
    const model = this.#string("model");
    if (modelNode && !model) throw new Refused("model", modelNode.start);
    const stream = this.#boolean("stream") ?? false;
    const maxOutputTokens = this.#count(capOf[this.#api] ?? []);
    const n = this.#count([native ? "sampling_params.n" : "n"]);
    const options = this.#json.member("stream_options");
    if (options && this.#json.field("stream_options") && options.type !== "object") {
      throw new Refused("stream_options", options.start);
    }
    return {
      model,
      modelSpan: this.#span("model"),
      stream,
      maxOutputTokens,
      n,
      streamOptionsEmpty: options !== undefined && options.members.size === 0,
      ...(options && {
        streamOptionsSpan: { start: options.start, end: options.end },
        includeUsage: this.#boolean("stream_options.include_usage"),
        includeUsageSpan: this.#span("stream_options.include_usage"),
      }),
      salt: this.#string(sglang ? "extra_key" : "cache_salt"),
      adapter: sglang ? this.#string("lora_path") : undefined,
      previousResponseId: this.#string("previous_response_id"),
      user: this.#string("user"),
    };
  }

  #prompt(): void {
    const api = this.#api;
    const inputs = this.#inputs();
    const anthropic = api === "messages" || api === "count-tokens";
    const tools = anthropic || api === "chat" || api === "tokenize" || api === "responses";
    if (tools) this.prompt.rawValue(0xf5, this.#json.field("tools"));
    if (anthropic) this.prompt.content(0xf6, this.#json.field("system"), (part) => this.prompt.systemPart(part));
    if (api === "responses") {
      this.prompt.content(0xf6, this.#json.field("instructions"), (part) => this.prompt.systemPart(part));
    }
    for (const [name, node] of inputs) this.#input(name, node);
  }

  /** The fields the prompt comes from; refuses a request without them. */
  #inputs(): (readonly [string, JsonNode])[] {
    const names = inputOf[this.#api];
    const all = this.#api === "rerank" || this.#api === "score";
    const found: (readonly [string, JsonNode])[] = [];
    for (const name of names) {
      const node = this.#json.field(name);
      if (node) found.push([name, this.#checked(name, node)]);
      else if (all) throw new Refused(name, this.#json.root.start + 1);
      if (node && !all) break;
    }
    if (found.length === 0 && names.length > 0) throw new Refused(names[0], this.#json.root.start + 1);
    return found;
  }

  #checked(name: string, node: JsonNode): JsonNode {
    const refuse = (at = node.start): never => {
      throw new Refused(name, at);
    };
    const filled = node.type === "string" ? node.end - node.start > 2 : node.items.length > 0;
    if (name === "messages") {
      if (node.type !== "array" || !filled) refuse();
    } else if (name === "query") {
      if (node.type !== "string" && node.type !== "object") refuse();
    } else if (name === "documents") {
      if (node.type !== "array" && node.type !== "object") refuse();
    } else if (name === "text_1" || name === "text_2") {
      if (node.type === "number" || node.type === "literal") refuse();
    } else if (this.#api === "responses") {
      if (node.type !== "string" && node.type !== "array") refuse();
    } else {
      this.#checkShape(name, node, refuse);
      if (!filled && name !== "text" && this.#api !== "tokenize") refuse();
    }
    if (name === "messages" || this.#api === "responses") {
      const odd = node.items.find((item) => item.type !== "object");
      if (odd) refuse(odd.start);
    }
    return node;
  }

  #checkShape(name: string, node: JsonNode, refuse: (at?: number) => never): void {
    const ids = name === "token_ids" || name === "input_ids";
    if (node.type !== "array" && (node.type !== "string" || ids)) refuse();
    const types = new Set(node.items.map(({ type }) => type));
    if (types.size > 1) refuse();
    const allowed = name === "token_ids"
      ? ["number"]
      : ids
      ? ["number", "array"]
      : name === "text" || this.#api === "tokenize"
      ? ["string"]
      : ["number", "array", "string"];
    for (const type of types) if (!allowed.includes(type)) refuse();
    const tokens = types.has("array")
      ? node.items.flatMap(({ items }) => items)
      : types.has("number")
      ? node.items
      : [];
    for (const token of tokens) {
      const text = this.#json.raw(token);
      if (!/^\d+(\.0+)?$/.test(text) || Number(text) > 0xfffffffe) refuse(token.start);
    }
  }

  #input(name: string, node: JsonNode): void {
    if (name === "messages" || (this.#api === "responses" && node.type === "array")) {
      for (const item of node.items) this.prompt.message(item);
    } else if (this.#api === "rerank" || this.#api === "score") {
      if (node.type === "array") { for (const item of node.items) this.prompt.document(item); }
      else this.prompt.document(node);
    } else if (node.type === "string") {
      this.prompt.text(0xf9, node);
    } else {
      this.prompt.list(node);
    }
  }
}

/** Scans a body without the kernel. Failures carry no offset for invalid JSON, and messages of their own. */
export function scanTwin(bytes: Uint8Array, api: Api): TwinScan {
  const none = new Uint8Array();
  const invalid = (message: string): TwinScan => ({ result: { ok: false, message, offset: -1 }, canonical: none });
  try {
    const value = JSON.parse(decoder.decode(bytes));
    if (value === null || typeof value !== "object" || Array.isArray(value)) return invalid("not an object");
  } catch (error) {
    return invalid(String(error));
  }
  let json: LocatedJson;
  try {
    json = new LocatedJson(bytes, depthMax);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return invalid(error.message);
  }
  const reading = new Reading(json, api);
  try {
    return { result: reading.result(), canonical: reading.prompt.canonical };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { result: { ok: false, message: error.message, param: error.param, offset: error.offset }, canonical: none };
  }
}
