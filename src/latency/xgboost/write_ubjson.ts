import type { FileValue } from "./write_values.ts";

/** A document as XGBoost writes UBJSON: big-endian, lengths as int64, arrays with their count and, of numbers, their type. */
export function encodeUbjson(value: FileValue): Uint8Array<ArrayBuffer> {
  const out = new Bytes();
  put(out, value);
  return out.take();
}

/** Bytes that grow. */
class Bytes {
  #bytes = new Uint8Array(1 << 16);
  #view = new DataView(this.#bytes.buffer);
  #at = 0;

  /** Where `count` more bytes go. */
  #grow(count: number): number {
    const at = this.#at;
    this.#at += count;
    if (this.#at > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#at, 2 * this.#bytes.length));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  mark(type: string): void {
    const at = this.#grow(1);
    this.#bytes[at] = type.charCodeAt(0);
  }

  int64(value: number): void {
    const at = this.#grow(8);
    this.#view.setBigInt64(at, BigInt(value));
  }

  text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    this.mark("L");
    this.int64(bytes.length);
    const at = this.#grow(bytes.length);
    this.#bytes.set(bytes, at);
  }

  numbers(values: Float32Array | Int32Array | Uint8Array | BigInt64Array): void {
    const size = values.BYTES_PER_ELEMENT, at = this.#grow(values.byteLength);
    const from = new Uint8Array(values.buffer, values.byteOffset, values.byteLength), into = this.#bytes;
    // The last byte of a number first.
    for (let i = 0; i < from.length; i++) into[at + i] = from[i - (i % size) + size - 1 - (i % size)];
  }

  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#at);
  }
}

function typeOf(values: ArrayBufferView): string {
  if (values instanceof Float32Array) return "d";
  if (values instanceof Int32Array) return "l";
  return values instanceof BigInt64Array ? "L" : "U";
}

function put(out: Bytes, value: FileValue): void {
  if (typeof value === "string") {
    out.mark("S");
    out.text(value);
  } else if (typeof value === "number") {
    out.mark("L");
    out.int64(value);
  } else if (ArrayBuffer.isView(value)) {
    for (const mark of ["[", "$", typeOf(value), "#", "L"]) out.mark(mark);
    out.int64(value.length);
    out.numbers(value);
  } else if (Array.isArray(value)) {
    for (const mark of ["[", "#", "L"]) out.mark(mark);
    out.int64(value.length);
    for (const member of value) put(out, member);
  } else {
    out.mark("{");
    for (const [key, member] of Object.entries(value)) {
      out.text(key);
      put(out, member);
    }
    out.mark("}");
  }
}
