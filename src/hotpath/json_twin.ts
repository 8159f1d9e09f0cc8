/** A value of a valid JSON text with the bytes it stands at. */
export interface JsonNode {
  readonly start: number;
  readonly end: number;
  readonly type: "string" | "number" | "literal" | "array" | "object";
  /** Members of an object: the last of each key. */
  readonly members: ReadonlyMap<string, JsonNode>;
  readonly items: readonly JsonNode[];
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
export const noMembers: ReadonlyMap<string, JsonNode> = new Map();

/** Finds every value of a text that `JSON.parse` accepts. */
class Locator {
  #at = 0;
  #depth = 0;

  constructor(readonly bytes: Uint8Array, readonly depthMax: number) {}

  value(): JsonNode {
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

  #container(start: number, object: boolean): JsonNode {
    const members = new Map<string, JsonNode>();
    const items: JsonNode[] = [];
    if (++this.#depth > this.depthMax) throw new RangeError(`Nested deeper than ${this.depthMax} levels`);
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
    this.#depth--;
    return { start, end: this.#at, type: object ? "object" : "array", members, items };
  }

  #space(): void {
    while (" \t\r\n".includes(String.fromCharCode(this.bytes[this.#at] ?? 0))) this.#at++;
  }
}

/** A text that `JSON.parse` accepts, as a tree of located values. Throws `RangeError` when it nests deeper than `depthMax`. */
export class LocatedJson {
  readonly bytes: Uint8Array;
  readonly root: JsonNode;

  constructor(bytes: Uint8Array, depthMax: number) {
    this.bytes = bytes;
    this.root = new Locator(bytes, depthMax).value();
  }

  /** The text of a value. */
  raw({ start, end }: JsonNode): string {
    return decoder.decode(this.bytes.subarray(start, end));
  }

  /** The member at a dotted path; a null counts as absent. */
  field(path: string, from: JsonNode = this.root): JsonNode | undefined {
    const node = this.member(path, from);
    return node && this.raw(node) !== "null" ? node : undefined;
  }

  /** The member at a dotted path, null included. */
  member(path: string, from: JsonNode = this.root): JsonNode | undefined {
    let node: JsonNode | undefined = from;
    for (const key of path.split(".")) node = node?.members.get(key);
    return node;
  }
}
