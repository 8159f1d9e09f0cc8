/** A float, written as one whatever its value: plain numbers are written as integers. */
export class MsgpackFloat {
  constructor(readonly value: number) {}
}

/** What the dialects are made of. */
export type MsgpackValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | Uint32Array
  | MsgpackFloat
  | readonly MsgpackValue[]
  | MsgpackMap;

/** A map whose keys are texts; keys with undefined are left out. */
export interface MsgpackMap {
  readonly [key: string]: MsgpackValue | undefined;
}

const encoder = new TextEncoder();

/** Writes MessagePack as Python's msgspec does: the shortest form of integers, float64, `bin` for bytes. */
export class MsgpackWriter {
  #bytes = new Uint8Array(4096);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** The encoding of one value. */
  encode(value: MsgpackValue): Uint8Array {
    this.#length = 0;
    this.#write(value);
    return this.#bytes.slice(0, this.#length);
  }

  #write(value: MsgpackValue): void {
    this.#reserve(9);
    if (value === null) return this.#byte(0xc0);
    if (typeof value === "boolean") return this.#byte(value ? 0xc3 : 0xc2);
    if (typeof value === "number") return this.#integer(value);
    if (typeof value === "bigint") return this.#wide(value);
    if (typeof value === "string") return this.#text(value);
    if (value instanceof Uint8Array) return this.#binary(value);
    if (value instanceof Uint32Array) return this.#integers(value);
    if (value instanceof MsgpackFloat) {
      this.#byte(0xcb);
      this.#view.setFloat64(this.#length, value.value);
      this.#length += 8;
      return;
    }
    if (Array.isArray(value)) {
      this.#head(value.length, 0x90, 16, 0xdc);
      for (const item of value) this.#write(item);
      return;
    }
    const entries = Object.entries(value as MsgpackMap).filter(([, each]) => each !== undefined);
    this.#head(entries.length, 0x80, 16, 0xde);
    for (const [key, each] of entries) {
      this.#write(key);
      this.#write(each!);
    }
  }

  #integers(values: Uint32Array): void {
    this.#head(values.length, 0x90, 16, 0xdc);
    this.#reserve(values.length * 5);
    for (let i = 0; i < values.length; i++) this.#integer(values[i]);
  }

  #integer(value: number): void {
    if (!Number.isSafeInteger(value)) {
      throw new RangeError(`Cannot encode a number as it must be an integer: current value is ${value}`);
    }
    if (value >= 0 ? value <= 0x7f : value >= -32) this.#byte(value & 0xff);
    else if (value >= 0 && value <= 0xff) this.#sized(0xcc, value, 1);
    else if (value >= 0 && value <= 0xffff) this.#sized(0xcd, value, 2);
    else if (value >= 0 && value <= 0xffff_ffff) this.#sized(0xce, value, 4);
    else if (value < 0 && value >= -0x80) this.#sized(0xd0, value, 1);
    else if (value < 0 && value >= -0x8000) this.#sized(0xd1, value, 2);
    else if (value < 0 && value >= -0x8000_0000) this.#sized(0xd2, value, 4);
    else this.#wide(BigInt(value));
  }

  #wide(value: bigint): void {
    if (value >= -0x8000_0000n && value <= 0xffff_ffffn) return this.#integer(Number(value));
    this.#byte(value < 0n ? 0xd3 : 0xcf);
    this.#view.setBigUint64(this.#length, BigInt.asUintN(64, value));
    this.#length += 8;
  }

  #text(text: string): void {
    const bytes = encoder.encode(text);
    if (bytes.length < 32) this.#byte(0xa0 | bytes.length);
    else this.#width(bytes.length, 0xd9);
    this.#raw(bytes);
  }

  #binary(bytes: Uint8Array): void {
    this.#width(bytes.length, 0xc4);
    this.#raw(bytes);
  }

  /** A length in 1, 2 or 4 bytes under the codes `code`, `code + 1` and `code + 2`. */
  #width(length: number, code: number): void {
    if (length <= 0xff) this.#sized(code, length, 1);
    else if (length <= 0xffff) this.#sized(code + 1, length, 2);
    else this.#sized(code + 2, length, 4);
  }

  #head(count: number, fixed: number, fixedMax: number, code: number): void {
    this.#reserve(5);
    if (count < fixedMax) this.#byte(fixed | count);
    else if (count <= 0xffff) this.#sized(code, count, 2);
    else this.#sized(code + 1, count, 4);
  }

  #sized(code: number, value: number, bytes: 1 | 2 | 4): void {
    this.#byte(code);
    if (bytes === 1) this.#view.setUint8(this.#length, value);
    else if (bytes === 2) this.#view.setUint16(this.#length, value);
    else this.#view.setUint32(this.#length, value);
    this.#length += bytes;
  }

  #byte(byte: number): void {
    this.#bytes[this.#length++] = byte;
  }

  #raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Makes room for `count` more bytes and a head. */
  #reserve(count: number): void {
    if (this.#length + count + 9 <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#length + count + 9, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
    this.#view = new DataView(larger.buffer);
  }
}
