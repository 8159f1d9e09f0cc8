import { Budget, type DocumentLimits, NumberList, type Numbers, type Value } from "./document.ts";
import { ModelFileError } from "./model_file_error.ts";

/** Reads one number at a byte. */
type Read = (view: DataView, at: number) => number;

interface NumberType {
  readonly bytes: number;
  readonly read: Read;
  readonly array: (length: number) => Numbers;
}

/** The types of numbers by their mark, all big-endian. */
const numberTypes: Readonly<Record<string, NumberType>> = {
  i: { bytes: 1, read: (view, at) => view.getInt8(at), array: (length) => new Int8Array(length) },
  U: { bytes: 1, read: (view, at) => view.getUint8(at), array: (length) => new Uint8Array(length) },
  I: { bytes: 2, read: (view, at) => view.getInt16(at), array: (length) => new Int16Array(length) },
  l: { bytes: 4, read: (view, at) => view.getInt32(at), array: (length) => new Int32Array(length) },
  L: { bytes: 8, read: (view, at) => Number(view.getBigInt64(at)), array: (length) => new Float64Array(length) },
  d: { bytes: 4, read: (view, at) => view.getFloat32(at), array: (length) => new Float32Array(length) },
  D: { bytes: 8, read: (view, at) => view.getFloat64(at), array: (length) => new Float64Array(length) },
};
/** The types of lengths. */
const lengthMarks = "iUIlL";

/**
 * Reads a UBJSON model file, draft 12 without high-precision numbers and objects of one type. Of arrays, all items are
 * numbers or none is. No length is believed before the bytes for it are there. Throws ModelFileError.
 */
export function parseUbjson(bytes: Uint8Array, limits: DocumentLimits): Value {
  return new UbjsonReader(bytes, limits).read();
}

class UbjsonReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #nesting: number;
  readonly #budget: Budget;
  readonly #list: NumberList;
  readonly #utf8 = new TextDecoder();
  #at = 0;

  constructor(bytes: Uint8Array, limits: DocumentLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#nesting = limits.nesting;
    this.#budget = new Budget(limits);
    this.#list = new NumberList(this.#budget);
  }

  read(): Value {
    const value = this.#value(this.#mark(), 0);
    if (this.#at < this.#bytes.length) this.#fail("the end of the file");
    return value;
  }

  #value(mark: string, depth: number): Value {
    this.#budget.value(this.#at);
    if (mark === "{") return this.#object(depth + 1);
    if (mark === "[") return this.#array(depth + 1);
    if (mark === "S") return this.#string(this.#length());
    if (mark === "C") return this.#string(1);
    if (mark === "Z") return null;
    return this.#number(mark);
  }

  #object(depth: number): Value {
    this.#enter(depth);
    const members = new Map<string, Value>();
    for (let mark = this.#mark(); mark !== "}"; mark = this.#mark()) {
      if (!lengthMarks.includes(mark)) this.#fail("the length of a key");
      this.#budget.value(this.#at);
      const key = this.#string(this.#lengthOf(mark));
      if (members.has(key)) this.#fail(`each key once: "${key}" is there twice`);
      members.set(key, this.#value(this.#mark(), depth));
    }
    return members;
  }

  #array(depth: number): Value {
    this.#enter(depth);
    let mark = this.#mark();
    if (mark === "$") return this.#typed();
    let left = Infinity;
    if (mark === "#") {
      left = this.#length();
      if (left === 0) return new Float64Array(0);
      this.#need(left);
      mark = this.#mark();
    }
    if (left === Infinity && mark === "]") return new Float64Array(0);
    if (mark in numberTypes || mark === "T" || mark === "F") {
      this.#items(mark, left, (next) => this.#list.push(this.#number(next), this.#at));
      return this.#list.take(this.#at);
    }
    const values: Value[] = [];
    this.#items(mark, left, (next) => values.push(this.#value(next, depth)));
    return values;
  }

  /** Reads items from the one with the mark `first` on: `left` of them, or up to the closing bracket. */
  #items(first: string, left: number, read: (mark: string) => void): void {
    const open = left === Infinity;
    for (let mark = first;; mark = this.#mark()) {
      if (open && mark === "]") return;
      read(mark);
      if (--left === 0) return;
    }
  }

  #typed(): Numbers {
    const type = numberTypes[this.#mark()] ?? this.#fail("an array of numbers after '$'");
    if (this.#mark() !== "#") this.#fail("'#' and a length");
    const length = this.#length();
    this.#need(length * type.bytes);
    this.#budget.numbers(length, this.#at);
    const numbers = type.array(length);
    for (let i = 0; i < length; i++, this.#at += type.bytes) numbers[i] = type.read(this.#view, this.#at);
    return numbers;
  }

  #number(mark: string): number {
    if (mark === "T" || mark === "F") return mark === "T" ? 1 : 0;
    const type = numberTypes[mark] ?? this.#fail(`a number: there is "${mark}"`);
    this.#need(type.bytes);
    const value = type.read(this.#view, this.#at);
    this.#at += type.bytes;
    return value;
  }

  #length(): number {
    return this.#lengthOf(this.#mark());
  }

  #lengthOf(mark: string): number {
    if (!lengthMarks.includes(mark)) this.#fail("a length");
    const length = this.#number(mark);
    return length >= 0 ? length : this.#fail("a length that is not below 0");
  }

  #string(bytes: number): string {
    this.#need(bytes);
    const text = this.#utf8.decode(this.#bytes.subarray(this.#at, this.#at + bytes));
    this.#at += bytes;
    return text;
  }

  #mark(): string {
    this.#need(1);
    return String.fromCharCode(this.#bytes[this.#at++]);
  }

  #need(bytes: number): void {
    if (bytes <= this.#bytes.length - this.#at) return;
    throw new ModelFileError("truncated", `byte ${this.#at}: expected ${bytes} more bytes`);
  }

  #enter(depth: number): void {
    if (depth <= this.#nesting) return;
    throw new ModelFileError("too-deep", `byte ${this.#at}: nested deeper than ${this.#nesting} levels`);
  }

  #fail(expected: string): never {
    throw new ModelFileError("syntax", `byte ${this.#at}: expected ${expected}`);
  }
}
