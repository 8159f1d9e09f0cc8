/**
 * JSON as Python reads and writes it: objects keep the order of their keys whatever they look like, `1.0` stays a float,
 * integers have no bound. What a chat template prints depends on all three.
 */

export type PyValue = null | boolean | string | number | PyNumber | PyValue[] | PyObject;
export type PyObject = Map<string, PyValue>;

/** Whether a member is there and not null. */
export function isSet(value: PyValue | undefined): value is Exclude<PyValue, null> {
  return value !== undefined && value !== null;
}

/** A number that JavaScript would print another way than Python: any float, and integers beyond 2^53. */
export class PyNumber extends Number {
  constructor(value: number, readonly text: string, readonly isFloat: boolean) {
    super(value);
  }

  override toString(): string {
    return this.text;
  }

  /** Makes `JSON.stringify` write the text as it is. */
  toJSON(): unknown {
    return rawJson(this.text);
  }
}

const rawJson = (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON;

/** Deeper nesting is refused: parsing is recursive. Python's own limit is near 1,000. */
const depthMax = 200;

/** `repr` of a Python float: the shortest digits, an exponent below 1e-4 and from 1e16 on. */
export function floatText(value: number): string {
  if (Object.is(value, -0)) return "-0.0";
  if (!Number.isFinite(value)) return value > 0 ? "Infinity" : value < 0 ? "-Infinity" : "NaN";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e16)) {
    const [digits, exponent] = value.toExponential().split("e");
    return `${digits}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
  }
  const text = String(value);
  return text.includes(".") ? text : `${text}.0`;
}

/** Parses `text`; throws a `SyntaxError` where it is no JSON. */
export function parsePythonJson(text: string): PyValue {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.end();
  return value;
}

const numberPattern = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;

class Parser {
  #at = 0;
  /** The next backslash from `#at` on; strings that end before it are taken without unescaping. */
  #escape = -1;

  constructor(readonly text: string) {}

  value(depth: number): PyValue {
    if (depth > depthMax) throw new SyntaxError(`Cannot parse JSON nested deeper than ${depthMax}`);
    switch (this.#peek()) {
      case 0x22: // "
        return this.#string();
      case 0x7b: // {
        return this.#object(depth);
      case 0x5b: // [
        return this.#array(depth);
      case 0x74: // t
        return this.#literal("true", true);
      case 0x66: // f
        return this.#literal("false", false);
      case 0x6e: // n
        return this.#literal("null", null);
      default:
        return this.#number();
    }
  }

  end(): void {
    if (!Number.isNaN(this.#peek())) this.#fail();
  }

  /** The next character that is not white space. */
  #peek(): number {
    for (;; this.#at++) {
      const c = this.text.charCodeAt(this.#at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return c;
    }
  }

  #fail(): never {
    throw new SyntaxError(`Cannot parse JSON at character ${this.#at}`);
  }

  #take(char: number): boolean {
    if (this.#peek() !== char) return false;
    this.#at++;
    return true;
  }

  #literal<T extends null | boolean>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.#at)) this.#fail();
    this.#at += word.length;
    return value;
  }

  #number(): PyValue {
    numberPattern.lastIndex = this.#at;
    const match = numberPattern.exec(this.text);
    if (!match) this.#fail();
    this.#at += match[0].length;
    const value = Number(match[0]);
    if (match[1] !== undefined || match[2] !== undefined) return new PyNumber(value, floatText(value), true);
    if (Number.isSafeInteger(value)) return value === 0 ? 0 : value;
    return new PyNumber(value, String(BigInt(match[0])), false);
  }

  #string(): string {
    const { text } = this;
    const from = this.#at + 1;
    let end = text.indexOf('"', from);
    if (this.#escape < from && this.#escape !== Infinity) {
      const found = text.indexOf("\\", from);
      this.#escape = found < 0 ? Infinity : found;
    }
    const plain = this.#escape > end;
    if (!plain) {
      while (end >= 0 && isEscaped(text, end, from)) end = text.indexOf('"', end + 1);
    }
    if (end < 0) this.#fail();
    this.#at = end + 1;
    return plain ? text.slice(from, end) : JSON.parse(text.slice(from - 1, end + 1));
  }

  #array(depth: number): PyValue[] {
    this.#at++;
    const items: PyValue[] = [];
    if (this.#take(0x5d)) return items;
    do items.push(this.value(depth + 1)); while (this.#take(0x2c));
    if (!this.#take(0x5d)) this.#fail();
    return items;
  }

  #object(depth: number): PyObject {
    this.#at++;
    const object: PyObject = new Map();
    if (this.#take(0x7d)) return object;
    do {
      if (this.#peek() !== 0x22) this.#fail();
      const key = this.#string();
      if (!this.#take(0x3a)) this.#fail();
      object.set(key, this.value(depth + 1));
    } while (this.#take(0x2c));
    if (!this.#take(0x7d)) this.#fail();
    return object;
  }
}

/** Whether an odd number of backslashes stands before `at`. */
function isEscaped(text: string, at: number, from: number): boolean {
  let slashes = 0;
  while (at - slashes > from && text.charCodeAt(at - slashes - 1) === 0x5c) slashes++;
  return slashes % 2 === 1;
}

/** The value as JSON text, keys in their order; not spaced as Python does. */
export function toJsonText(value: PyValue): string {
  if (Array.isArray(value)) return `[${value.map(toJsonText).join(",")}]`;
  if (!(value instanceof Map)) return value instanceof PyNumber ? value.text : JSON.stringify(value);
  return `{${[...value].map(([key, inner]) => `${JSON.stringify(key)}:${toJsonText(inner)}`).join(",")}}`;
}
