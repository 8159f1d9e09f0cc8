import { Budget, type DocumentLimits, NumberList, type Value } from "./document.ts";
import { ModelFileError } from "./model_file_error.ts";

const code = (character: string) => character.charCodeAt(0);
const [quote, backslash, comma, colon, minus, plus, dot] = [...'"\\,:-+.'].map(code);
const [openObject, closeObject, openArray, closeArray] = [..."{}[]"].map(code);
const [zero, nine, smallE, largeE] = [..."09eE"].map(code);

/** What stands for numbers beside digits: XGBoost 1.0 writes them as C does. */
const words: readonly (readonly [string, number])[] = [
  ["NaN", NaN],
  ["nan", NaN],
  ["Infinity", Infinity],
  ["inf", Infinity],
  ["true", 1],
  ["false", 0],
];
/** Digits that a double holds whatever they are, and powers of ten that it holds: one division then rounds correctly. */
const digitsExact = 15;
const powers = Array.from({ length: 23 }, (_, power) => 10 ** power);

/**
 * Reads a JSON model file: RFC 8259, and also `NaN`, `Infinity`, `-Infinity` and C's words for them. Of arrays, all items
 * are numbers or none is. Throws ModelFileError.
 */
export function parseJson(bytes: Uint8Array, limits: DocumentLimits): Value {
  return new JsonReader(bytes, limits).read();
}

class JsonReader {
  readonly #bytes: Uint8Array;
  /** One character a byte. */
  readonly #text: string;
  readonly #nesting: number;
  readonly #budget: Budget;
  readonly #list: NumberList;
  readonly #utf8 = new TextDecoder();
  #at = 0;
  #mantissa = 0;

  constructor(bytes: Uint8Array, limits: DocumentLimits) {
    this.#bytes = bytes;
    this.#text = new TextDecoder("latin1").decode(bytes);
    this.#nesting = limits.nesting;
    this.#budget = new Budget(limits);
    this.#list = new NumberList(this.#budget);
  }

  read(): Value {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at < this.#bytes.length) this.#fail("the end of the file");
    return value;
  }

  #value(depth: number): Value {
    this.#budget.value(this.#at);
    this.#skipSpace();
    const first = this.#bytes[this.#at];
    if (first === openObject) return this.#object(depth + 1);
    if (first === openArray) return this.#array(depth + 1);
    if (first === quote) return this.#string();
    if (this.#text.startsWith("null", this.#at)) {
      this.#at += 4;
      return null;
    }
    return this.#number();
  }

  #object(depth: number): Value {
    this.#enter(depth);
    const members = new Map<string, Value>();
    if (this.#take(closeObject)) return members;
    do {
      this.#skipSpace();
      if (this.#bytes[this.#at] !== quote) this.#fail("a key in double quotes");
      const key = this.#string();
      if (members.has(key)) this.#fail(`each key once: "${key}" is there twice`);
      if (!this.#take(colon)) this.#fail("':'");
      members.set(key, this.#value(depth));
    } while (this.#take(comma));
    if (!this.#take(closeObject)) this.#fail("',' or '}'");
    return members;
  }

  #array(depth: number): Value {
    this.#enter(depth);
    if (this.#take(closeArray)) return new Float64Array(0);
    this.#skipSpace();
    const first = this.#bytes[this.#at];
    const items = first === openObject || first === openArray || first === quote
      ? this.#values(depth)
      : this.#numbers();
    if (!this.#take(closeArray)) this.#fail("',' or ']'");
    return items;
  }

  #values(depth: number): Value[] {
    const items: Value[] = [];
    do items.push(this.#value(depth)); while (this.#take(comma));
    return items;
  }

  #numbers(): Float64Array {
    do {
      this.#skipSpace();
      this.#list.push(this.#number(), this.#at);
    } while (this.#take(comma));
    return this.#list.take(this.#at);
  }

  #number(): number {
    const start = this.#at;
    const negative = this.#bytes[start] === minus;
    if (negative) this.#at++;
    const first = this.#bytes[this.#at];
    if (!(first >= zero && first <= nine)) return negative ? -this.#word() : this.#word();
    this.#mantissa = 0;
    let digits = this.#digits(), power = 0;
    if (this.#bytes[this.#at] === dot) {
      this.#at++;
      const fraction = this.#digits();
      digits += fraction;
      power = -fraction;
    }
    const mantissa = this.#mantissa;
    if (this.#bytes[this.#at] === smallE || this.#bytes[this.#at] === largeE) {
      const sign = this.#bytes[++this.#at];
      if (sign === minus || sign === plus) this.#at++;
      this.#mantissa = 0;
      this.#digits();
      power += sign === minus ? -this.#mantissa : this.#mantissa;
    }
    const exact = digits <= digitsExact && Math.abs(power) < powers.length;
    if (!exact) return Number(this.#text.slice(start, this.#at));
    const value = power < 0 ? mantissa / powers[-power] : mantissa * powers[power];
    return negative ? -value : value;
  }

  /** Reads digits on to the mantissa; their number. */
  #digits(): number {
    const start = this.#at;
    let c = this.#bytes[start];
    for (; c >= zero && c <= nine; c = this.#bytes[++this.#at]) this.#mantissa = this.#mantissa * 10 + (c - zero);
    return this.#at > start ? this.#at - start : this.#fail("a digit");
  }

  #word(): number {
    for (const [word, value] of words) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    return this.#fail("a value");
  }

  #string(): string {
    this.#budget.value(this.#at);
    const start = ++this.#at;
    let escaped = false;
    for (; this.#bytes[this.#at] !== quote; this.#at++) {
      if (this.#bytes[this.#at] === backslash) {
        escaped = true;
        this.#at++;
      }
      if (this.#at >= this.#bytes.length) this.#fail("'\"'");
    }
    const text = this.#utf8.decode(this.#bytes.subarray(start, this.#at++));
    if (!escaped) return text;
    try {
      return JSON.parse(`"${text}"`);
    } catch {
      return this.#fail("valid escapes in the string before it");
    }
  }

  #enter(depth: number): void {
    if (depth > this.#nesting) {
      throw new ModelFileError("too-deep", `byte ${this.#at}: nested deeper than ${this.#nesting} levels`);
    }
    this.#at++;
  }

  /** Whether `wanted` comes next, which is then read. */
  #take(wanted: number): boolean {
    this.#skipSpace();
    if (this.#bytes[this.#at] !== wanted) return false;
    this.#at++;
    return true;
  }

  #skipSpace(): void {
    for (let c = this.#bytes[this.#at]; c === 32 || c === 10 || c === 13 || c === 9; c = this.#bytes[++this.#at]);
  }

  #fail(expected: string): never {
    const kind = this.#at >= this.#bytes.length ? "truncated" : "syntax";
    throw new ModelFileError(kind, `byte ${this.#at}: expected ${expected}`);
  }
}
