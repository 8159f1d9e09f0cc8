import { xxh64Twin } from "./hash_twin.ts";
import { type JsonNode, type LocatedJson, noMembers } from "./json_twin.ts";

const encoder = new TextEncoder();

/** Writes a canonical prompt, whole, from located values, and adds it up. */
export class PromptTwin {
  readonly #json: LocatedJson;
  readonly #out: number[] = [];
  promptBytes = 0;
  mediaParts = 0;
  /** Token ids and the media parts' tokens. */
  tokens = 0;
  tokenIds = false;
  #lists = 0;

  constructor(json: LocatedJson) {
    this.#json = json;
  }

  get canonical(): Uint8Array {
    return Uint8Array.from(this.#out);
  }

  document(node: JsonNode): void {
    if (node.type === "string") this.text(0xf9, node);
    else this.#part(node);
  }

  list(node: JsonNode): void {
    const first = node.items[0]?.type;
    if (first === "string") { for (const item of node.items) this.text(0xf9, item); }
    if (first === "number") this.#tokens(node);
    if (first === "array") { for (const item of node.items) this.#tokens(item); }
  }

  #tokens({ items }: JsonNode): void {
    this.tokenIds = true;
    if (this.#lists++ > 0) this.#word(0xffffffff);
    for (const item of items) this.#word(Number(this.#json.raw(item)));
    this.tokens += items.length;
  }

  message(node: JsonNode): void {
    this.#out.push(0xf7);
    this.text(0xf8, this.#json.field("role", node));
    this.text(0xfa, this.#json.field("name", node));
    this.content(0xf9, this.#json.field("content", node), (part) => this.#part(part));
    this.#arguments(this.#json.field("arguments", node));
    const calls = this.#json.field("tool_calls", node);
    for (const call of calls?.items ?? []) {
      this.text(0xfa, this.#json.field("function.name", call));
      this.#arguments(this.#json.field("function.arguments", call));
    }
    this.#toolResult(this.#json.field("output", node));
  }

  #part(node: JsonNode, inner = false): void {
    if (node.type === "string") this.text(0xf9, node);
    this.text(0xf9, this.#json.field("text", node));
    this.text(0xff, this.#json.field("thinking", node));
    this.text(0xfa, this.#json.field("name", node));
    this.#arguments(this.#json.field("input", node));
    if (!inner) this.#toolResult(this.#json.field("content", node));
    this.#media(0, this.#json.field("source", node));
    this.#media(0, this.#json.field("image_url", node));
    this.#media(1, this.#json.field("audio_url", node));
    this.#media(2, this.#json.field("video_url", node));
    this.#media(1, this.#json.field("input_audio", node));
  }

  systemPart(node: JsonNode): void {
    this.text(0xf6, node.type === "string" ? node : this.#json.field("text", node));
  }

  #toolResult(node: JsonNode | undefined): void {
    if (node?.type !== "array") return this.text(0xfc, node);
    this.#out.push(0xfd);
    for (const item of node.items) this.#part(item, true);
    this.#out.push(0xfe);
  }

  content(kind: number, node: JsonNode | undefined, part: (node: JsonNode) => void): void {
    if (node?.type === "array") { for (const item of node.items) part(item); }
    else this.text(kind, node);
  }

  #arguments(node: JsonNode | undefined): void {
    if (node?.type === "string") this.text(0xfb, node);
    else this.rawValue(0xfb, node);
  }

  text(kind: number, node: JsonNode | undefined): void {
    if (node?.type !== "string") return;
    const bytes = encoder.encode(JSON.parse(this.#json.raw(node)));
    this.promptBytes += bytes.length;
    this.#push(kind, bytes);
  }

  rawValue(kind: number, node: JsonNode | undefined): void {
    if (!node) return;
    this.promptBytes += node.end - node.start;
    this.#push(kind, this.#json.bytes.subarray(node.start, node.end));
  }

  #push(kind: number, bytes: Uint8Array): void {
    this.#out.push(kind);
    for (const byte of bytes) this.#out.push(byte);
  }

  /** Images, audio and video: 0, 1 and 2. */
  #media(type: number, node: JsonNode | undefined): void {
    if (!node) return;
    if (node.type === "object") {
      this.#media(type, this.#leaf("data", node));
      this.#media(type, this.#leaf("url", node));
    }
    if (node.type !== "string") return;
    const content = this.#json.bytes.subarray(node.start + 1, node.end - 1);
    const count = [225, Math.max(1, Math.ceil(content.length / 4)), 4500][type];
    this.mediaParts++;
    this.tokens += count;
    this.#out.push(0xc0);
    while (this.#out.length % 4 !== 0) this.#out.push(0);
    this.#word(count);
    const hash = Number(xxh64Twin(content, 0n) & 0xffffffffn);
    for (let i = 0; i < count; i++) this.#word(hash);
  }

  #leaf(key: string, node: JsonNode): JsonNode | undefined {
    const leaf = this.#json.field(key, node);
    // What holds the content lies directly in the part's object; deeper objects are not looked into.
    return leaf?.type === "object" ? { ...leaf, members: noMembers } : leaf;
  }

  #word(value: number): void {
    this.#out.push(value & 255, value >>> 8 & 255, value >>> 16 & 255, value >>> 24);
  }
}
