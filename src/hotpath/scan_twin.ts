import type { Api } from "../core/mod.ts";
import { xxh64Twin } from "./hash_twin.ts";
import type { RequestScan, ScanFailure } from "./scan_result.ts";

/** A value of a valid JSON text with the bytes it stands at. */
interface Node {
  readonly start: number;
  readonly end: number;
  readonly type: "string" | "number" | "literal" | "array" | "object";
  /** Members of an object: the last of each key. */
  readonly members: ReadonlyMap<string, Node>;
  readonly items: readonly Node[];
}

/** What the kernel twin gives for one body: the scan's result and the canonical prompt, whole and uncut. */
export interface TwinScan {
  readonly result: RequestScan | ScanFailure;
  readonly canonical: Uint8Array;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const noMembers: ReadonlyMap<string, Node> = new Map();

/** Finds every value of a text that `JSON.parse` accepts. */
class Locator {
  #at = 0;
  depth = 0;
  #open = 0;

  constructor(readonly bytes: Uint8Array) {}

  value(): Node {
    this.#space();
    const start = this.#at;
    const first = String.fromCharCode(this.bytes[start]);
    if (first === "{" || first === "[") return this.#container(start, first === "{");
    if (first === '"') {
      for (this.#at++; this.bytes[this.#at] !== 0x22; this.#at++) if (this.bytes[this.#at] === 0x5c) this.#at++;
      this.#at++;
      return { start, end: this.#at, type: "string", members: noMembers, items: [] };
    }
    while (this.#at < this.bytes.length && !" \t\r\n,]}".includes(String.fromCharCode(this.bytes[this.#at]))) {
      this.#at++;
    }
    const type = /[-\d]/.test(first) ? "number" : "literal";
    return { start, end: this.#at, type, members: noMembers, items: [] };
  }

  #container(start: number, object: boolean): Node {
    const members = new Map<string, Node>();
    const items: Node[] = [];
    this.depth = Math.max(this.depth, ++this.#open);
    this.#at++;
    for (this.#space(); !"]}".includes(String.fromCharCode(this.bytes[this.#at])); this.#space()) {
      if (object) {
        const { start, end } = this.value();
        this.#space();
        this.#at++;
        members.set(JSON.parse(decoder.decode(this.bytes.subarray(start, end))), this.value());
      } else {
        items.push(this.value());
      }
      this.#space();
      if (this.bytes[this.#at] === 0x2c) this.#at++;
    }
    this.#at++;
    this.#open--;
    return { start, end: this.#at, type: object ? "object" : "array", members, items };
  }

  #space(): void {
    while (" \t\r\n".includes(String.fromCharCode(this.bytes[this.#at] ?? 0))) this.#at++;
  }
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
  readonly #bytes: Uint8Array;
  readonly #root: Node;
  readonly #api: Api;
  readonly #out: number[] = [];
  promptBytes = 0;
  mediaParts = 0;
  tokens = 0;
  tokenIds = false;
  #lists = 0;

  constructor(bytes: Uint8Array, root: Node, api: Api) {
    this.#bytes = bytes;
    this.#root = root;
    this.#api = api;
  }

  get canonical(): Uint8Array {
    return Uint8Array.from(this.#out);
  }

  #raw({ start, end }: Node): string {
    return decoder.decode(this.#bytes.subarray(start, end));
  }

  #present(node: Node | undefined): Node | undefined {
    return node && this.#raw(node) !== "null" ? node : undefined;
  }

  #field(path: string, from: Node = this.#root): Node | undefined {
    let node: Node | undefined = from;
    for (const key of path.split(".")) node = node?.members.get(key);
    return this.#present(node);
  }

  #string(path: string): string | undefined {
    const node = this.#field(path);
    return node?.type === "string" ? JSON.parse(this.#raw(node)) : undefined;
  }

  #boolean(path: string): boolean | undefined {
    const node = this.#field(path);
    if (!node) return undefined;
    const value = JSON.parse(this.#raw(node));
    if (typeof value !== "boolean") throw new Refused(path, node.start);
    return value;
  }

  #count(paths: readonly string[]): number | undefined {
    for (const path of paths) {
      const node = this.#field(path);
      if (!node) continue;
      const value = JSON.parse(this.#raw(node));
      if (!Number.isInteger(value) || value < 0) throw new Refused(path, node.start);
      return value + 0;
    }
    return undefined;
  }

  result(): RequestScan {
    const passthrough = this.#api === "passthrough";
    const fields = passthrough ? this.#passthrough() : this.#common();
    this.#prompt();
    const { promptBytes, mediaParts, tokenIds } = this;
    const promptTokens = Math.ceil(promptBytes / 4) + this.tokens;
    const { start, members } = this.#root;
    const open = { open: start + 1, empty: members.size === 0 };
    return { ok: true, api: this.#api, ...open, ...fields, promptBytes, promptTokens, tokenIds, mediaParts };
  }

  #passthrough() {
    const model = this.#string("model") || undefined;
    const stream = this.#field("stream");
    return {
      model,
      modelSpan: model === undefined ? undefined : this.#span("model"),
      stream: stream !== undefined && this.#raw(stream) === "true",
      streamOptionsEmpty: false,
    };
  }

  #span(path: string): { start: number; end: number } | undefined {
    let node: Node | undefined = this.#root;
    for (const key of path.split(".")) node = node?.members.get(key);
    return node && { start: node.start, end: node.end };
  }

  #common() {
    const sglang = this.#api === "sglang-generate";
    const native = sglang || this.#api === "generate";
    const modelNode = this.#field("model");
    const model = this.#string("model");
    if (modelNode && !model) throw new Refused("model", modelNode.start);
    const stream = this.#boolean("stream") ?? false;
    const maxOutputTokens = this.#count(capOf[this.#api] ?? []);
    const n = this.#count([native ? "sampling_params.n" : "n"]);
    const options = this.#root.members.get("stream_options");
    if (options && this.#present(options) && options.type !== "object") {
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
    if (tools) this.#rawValue(0xf5, this.#field("tools"));
    if (anthropic) this.#content(0xf6, this.#field("system"), (part) => this.#systemPart(part));
    if (api === "responses") this.#content(0xf6, this.#field("instructions"), (part) => this.#systemPart(part));
    for (const [name, node] of inputs) this.#input(name, node);
  }

  /** The fields the prompt comes from; refuses a request without them. */
  #inputs(): (readonly [string, Node])[] {
    const names = inputOf[this.#api];
    const all = this.#api === "rerank" || this.#api === "score";
    const found: (readonly [string, Node])[] = [];
    for (const name of names) {
      const node = this.#field(name);
      if (node) found.push([name, this.#checked(name, node)]);
      else if (all) throw new Refused(name, this.#root.start + 1);
      if (node && !all) break;
    }
    if (found.length === 0 && names.length > 0) throw new Refused(names[0], this.#root.start + 1);
    return found;
  }

  #checked(name: string, node: Node): Node {
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

  #checkShape(name: string, node: Node, refuse: (at?: number) => never): void {
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
      const text = this.#raw(token);
      if (!/^\d+(\.0+)?$/.test(text) || Number(text) > 0xfffffffe) refuse(token.start);
    }
  }

  #input(name: string, node: Node): void {
    if (name === "messages" || (this.#api === "responses" && node.type === "array")) {
      for (const item of node.items) this.#message(item);
    } else if (this.#api === "rerank" || this.#api === "score") {
      if (node.type === "array") { for (const item of node.items) this.#document(item); }
      else this.#document(node);
    } else if (node.type === "string") {
      this.#text(0xf9, node);
    } else {
      this.#list(node);
    }
  }

  #document(node: Node): void {
    if (node.type === "string") this.#text(0xf9, node);
    else this.#part(node);
  }

  #list(node: Node): void {
    const first = node.items[0]?.type;
    if (first === "string") { for (const item of node.items) this.#text(0xf9, item); }
    if (first === "number") this.#tokens(node);
    if (first === "array") { for (const item of node.items) this.#tokens(item); }
  }

  #tokens({ items }: Node): void {
    this.tokenIds = true;
    if (this.#lists++ > 0) this.#word(0xffffffff);
    for (const item of items) this.#word(Number(this.#raw(item)));
    this.tokens += items.length;
  }

  #message(node: Node): void {
    this.#out.push(0xf7);
    this.#text(0xf8, this.#field("role", node));
    this.#text(0xfa, this.#field("name", node));
    this.#content(0xf9, this.#field("content", node), (part) => this.#part(part));
    this.#arguments(this.#field("arguments", node));
    const calls = this.#field("tool_calls", node);
    for (const call of calls?.items ?? []) {
      this.#text(0xfa, this.#field("function.name", call));
      this.#arguments(this.#field("function.arguments", call));
    }
    this.#toolResult(this.#field("output", node));
  }

  #part(node: Node, inner = false): void {
    if (node.type === "string") this.#text(0xf9, node);
    this.#text(0xf9, this.#field("text", node));
    this.#text(0xff, this.#field("thinking", node));
    this.#text(0xfa, this.#field("name", node));
    this.#arguments(this.#field("input", node));
    if (!inner) this.#toolResult(this.#field("content", node));
    this.#media(0, this.#field("source", node));
    this.#media(0, this.#field("image_url", node));
    this.#media(1, this.#field("audio_url", node));
    this.#media(2, this.#field("video_url", node));
    this.#media(1, this.#field("input_audio", node));
  }

  #systemPart(node: Node): void {
    this.#text(0xf6, node.type === "string" ? node : this.#field("text", node));
  }

  #toolResult(node: Node | undefined): void {
    if (node?.type !== "array") return this.#text(0xfc, node);
    this.#out.push(0xfd);
    for (const item of node.items) this.#part(item, true);
    this.#out.push(0xfe);
  }

  #content(kind: number, node: Node | undefined, part: (node: Node) => void): void {
    if (node?.type === "array") { for (const item of node.items) part(item); }
    else this.#text(kind, node);
  }

  #arguments(node: Node | undefined): void {
    if (node?.type === "string") this.#text(0xfb, node);
    else this.#rawValue(0xfb, node);
  }

  #text(kind: number, node: Node | undefined): void {
    if (node?.type !== "string") return;
    const bytes = encoder.encode(JSON.parse(this.#raw(node)));
    this.promptBytes += bytes.length;
    this.#push(kind, bytes);
  }

  #rawValue(kind: number, node: Node | undefined): void {
    if (!node) return;
    this.promptBytes += node.end - node.start;
    this.#push(kind, this.#bytes.subarray(node.start, node.end));
  }

  #push(kind: number, bytes: Uint8Array): void {
    this.#out.push(kind);
    for (const byte of bytes) this.#out.push(byte);
  }

  /** Images, audio and video: 0, 1 and 2. */
  #media(type: number, node: Node | undefined): void {
    if (!node) return;
    if (node.type === "object") {
      this.#media(type, this.#leaf("data", node));
      this.#media(type, this.#leaf("url", node));
    }
    if (node.type !== "string") return;
    const content = this.#bytes.subarray(node.start + 1, node.end - 1);
    const count = [225, Math.max(1, Math.ceil(content.length / 4)), 4500][type];
    this.mediaParts++;
    this.tokens += count;
    this.#out.push(0xc0);
    while (this.#out.length % 4 !== 0) this.#out.push(0);
    this.#word(count);
    const hash = Number(xxh64Twin(content, 0n) & 0xffffffffn);
    for (let i = 0; i < count; i++) this.#word(hash);
  }

  #leaf(key: string, node: Node): Node | undefined {
    const leaf = this.#field(key, node);
    // What holds the content lies directly in the part's object; deeper objects are not looked into.
    return leaf?.type === "object" ? { ...leaf, members: noMembers } : leaf;
  }

  #word(value: number): void {
    this.#out.push(value & 255, value >>> 8 & 255, value >>> 16 & 255, value >>> 24);
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
  const locator = new Locator(bytes);
  const root = locator.value();
  if (locator.depth > 512) return invalid("nested deeper than 512 levels");
  const reading = new Reading(bytes, root, api);
  try {
    return { result: reading.result(), canonical: reading.canonical };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { result: { ok: false, message: error.message, param: error.param, offset: error.offset }, canonical: none };
  }
}
