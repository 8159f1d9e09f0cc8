import type { WordSet } from "./word_set.ts";

/** Bytes that are not MessagePack, end too early, or hold another type than was asked for. */
export class MsgpackError extends Error {
  override readonly name = "MsgpackError";
}

/** Type of a MessagePack value, by its first byte. */
export const MsgpackType = {
  Nil: 0,
  Bool: 1,
  Int: 2,
  Float: 3,
  Str: 4,
  Bin: 5,
  Array: 6,
  Map: 7,
  Ext: 8,
  /** Byte 0xc1, and the end of the input. */
  None: 9,
} as const;
export type MsgpackType = (typeof MsgpackType)[keyof typeof MsgpackType];

const typeNames = ["nil", "bool", "int", "float", "str", "bin", "array", "map", "ext", "nothing"];

// 0xc0 to 0xdf, one digit a byte: the position in `typeNames`.
const middleTypes = "09115558883322222222888884446677";

/** Type by first byte. */
const types = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte < 0x80 || byte >= 0xe0) return MsgpackType.Int;
  if (byte < 0x90) return MsgpackType.Map;
  if (byte < 0xa0) return MsgpackType.Array;
  if (byte < 0xc0) return MsgpackType.Str;
  return Number(middleTypes[byte - 0xc0]);
});

// Bytes that follow 0xc0 to 0xdf where their number is fixed; 255 where it is not.
const bodyBytes = [0, 255, 0, 0, 255, 255, 255, 255, 255, 255, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17]
  .concat([255, 255, 255, 255, 255, 255, 255]);

/** Above this many bytes a TextDecoder is faster than joining characters. */
const asciiLengthMax = 32;

const utf8 = new TextDecoder();

// One 64-bit number as halves, low first: typed arrays are little-endian wherever WebAssembly memory is shared with them.
const wide = new BigUint64Array(1);
const halves = new Uint32Array(wide.buffer);

const noUints = new Uint32Array(0);
const noWides = new BigUint64Array(0);

/** Elements allocated beyond those asked for, at most. */
const spareMax = 1024;

/**
 * Reads MessagePack values one after the other. Every method that reads throws `MsgpackError` when the value is of another
 * type or cut off, and then leaves the position somewhere inside it. Work and memory are bounded by the number of bytes,
 * whatever lengths they claim; nothing recurses.
 */
export class MsgpackReader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  // What `uint32s` and `low64s` give out next: allocating a typed array costs as much as reading a hundred tokens.
  #uints = noUints;
  #wides = noWides;

  /** Reads `bytes` from `at` to `end`, exclusive. */
  constructor(bytes: Uint8Array, at = 0, end: number = bytes.length) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** Position of the next value. */
  get at(): number {
    return this.#at;
  }

  /** Goes back, or forth, to a position that `at` gave. */
  seek(at: number): void {
    this.#at = at;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** Type of the next value. */
  get type(): MsgpackType {
    return this.#at < this.#end ? types[this.#bytes[this.#at]] as MsgpackType : MsgpackType.None;
  }

  /** Type of the first element of the next value, an array; `None` when it is empty or no array. */
  get elementType(): MsgpackType {
    const at = this.#at;
    if (this.type !== MsgpackType.Array) return MsgpackType.None;
    const length = this.arrayLengthClaimed();
    const type = length === 0 ? MsgpackType.None : this.type;
    this.#at = at;
    return type;
  }

  /** Reads nil if it is next. */
  nil(): boolean {
    if (this.#at >= this.#end || this.#bytes[this.#at] !== 0xc0) return false;
    this.#at++;
    return true;
  }

  /** Reads the head of an array; its elements follow. Throws when the bytes left cannot hold them. */
  arrayLength(): number {
    return this.#fitting(this.arrayLengthClaimed(), 1);
  }

  /** Reads the head of an array whatever length it claims. */
  arrayLengthClaimed(): number {
    const byte = this.#head(MsgpackType.Array);
    if (byte < 0xa0) return byte & 0x0f;
    return byte === 0xdc ? this.#uint16() : this.#uint32();
  }

  /** Reads the head of a map; keys and values follow in turn. Throws when the bytes left cannot hold them. */
  mapLength(): number {
    const byte = this.#head(MsgpackType.Map);
    if (byte < 0x90) return this.#fitting(byte & 0x0f, 2);
    return this.#fitting(byte === 0xde ? this.#uint16() : this.#uint32(), 2);
  }

  /** An integer; throws when it is beyond 2^53. */
  int(): number {
    const byte = this.#head(MsgpackType.Int);
    if (byte < 0x80) return byte;
    if (byte >= 0xe0) return byte - 0x100;
    const at = this.#take(1 << (byte & 3));
    const view = this.#view(at);
    if (byte === 0xcc) return view.getUint8(0);
    if (byte === 0xcd) return view.getUint16(0);
    if (byte === 0xce) return view.getUint32(0);
    if (byte === 0xd0) return view.getInt8(0);
    if (byte === 0xd1) return view.getInt16(0);
    if (byte === 0xd2) return view.getInt32(0);
    const value = Number(byte === 0xcf ? view.getBigUint64(0) : view.getBigInt64(0));
    if (!Number.isSafeInteger(value)) throw new MsgpackError("Cannot read an int as it must be below 2^53");
    return value;
  }

  /** An integer or a float. */
  number(): number {
    if (this.type !== MsgpackType.Float) return this.int();
    const byte = this.#bytes[this.#at++];
    return byte === 0xca ? this.#view(this.#take(4)).getFloat32(0) : this.#view(this.#take(8)).getFloat64(0);
  }

  /** A string; bytes that are not UTF-8 become U+FFFD. */
  str(): string {
    const length = this.#strLength();
    const at = this.#take(length);
    if (length > asciiLengthMax) return utf8.decode(this.#bytes.subarray(at, at + length));
    let text = "";
    for (let i = at; i < at + length; i++) {
      const byte = this.#bytes[i];
      if (byte >= 0x80) return utf8.decode(this.#bytes.subarray(at, at + length));
      text += String.fromCharCode(byte);
    }
    return text;
  }

  /** A string, as its position in `words`; -1 when it is not among them. */
  word(words: WordSet): number {
    const length = this.#strLength();
    return words.find(this.#bytes, this.#take(length), length);
  }

  /** A bin, as a reader of what it holds. */
  bin(): MsgpackReader {
    const length = this.#binLength();
    const at = this.#take(length);
    return new MsgpackReader(this.#bytes, at, at + length);
  }

  /** An array of integers, each from 0 to 2^32 - 1. */
  uint32s(): Uint32Array {
    const length = this.arrayLength();
    if (this.#uints.length < length) this.#uints = new Uint32Array(length + this.#elementsLeft(4));
    const into = this.#uints.subarray(0, length);
    this.#uints = this.#uints.subarray(length);
    const bytes = this.#bytes, end = this.#end;
    let at = this.#at;
    for (let i = 0; i < length; i++) {
      const byte = bytes[at];
      if (byte < 0x80 && at < end) {
        into[i] = byte;
        at += 1;
      } else if (byte === 0xcd && at + 3 <= end) {
        into[i] = bytes[at + 1] << 8 | bytes[at + 2];
        at += 3;
      } else if (byte === 0xce && at + 5 <= end) {
        into[i] = bytes[at + 1] << 24 | bytes[at + 2] << 16 | bytes[at + 3] << 8 | bytes[at + 4];
        at += 5;
      } else {
        this.#at = at;
        const value = this.int();
        if (value < 0 || value > 0xffffffff) {
          throw new MsgpackError("Cannot read an int as it must be unsigned and of 32 bits");
        }
        into[i] = value;
        at = this.#at;
      }
    }
    this.#at = at;
    return into;
  }

  /** Low 64 bits, see `low64`, of every element of an array. */
  low64s(): BigUint64Array {
    const length = this.arrayLength();
    if (this.#wides.length < length) this.#wides = new BigUint64Array(length + this.#elementsLeft(32));
    const into = this.#wides.subarray(0, length);
    this.#wides = this.#wides.subarray(length);
    for (let i = 0; i < length; i++) into[i] = this.low64();
    return into;
  }

  /**
   * Low 64 bits, unsigned, of an integer (two's complement when negative) or of a bin taken as a big-endian number. Throws
   * for an empty bin.
   */
  low64(): bigint {
    this.#readHalves();
    return wide[0];
  }

  /** Passes over the next value, whatever it is. */
  skip(): void {
    let values = 1;
    while (values > 0) {
      values--;
      const byte = this.#bytes[this.#take(1)];
      if (byte < 0x80 || byte >= 0xe0) continue;
      if (byte < 0x90) values += (byte & 0x0f) * 2;
      else if (byte < 0xa0) values += byte & 0x0f;
      else if (byte < 0xc0) this.#take(byte & 0x1f);
      else values += this.#skipBody(byte);
    }
  }

  /** Passes over what follows a first byte of 0xc0 to 0xdf, elements apart; returns how many of those there are. */
  #skipBody(byte: number): number {
    const fixed = bodyBytes[byte - 0xc0];
    if (fixed !== 255) {
      this.#take(fixed);
      return 0;
    }
    this.#at--;
    switch (this.type) {
      case MsgpackType.Str:
        this.#take(this.#strLength());
        return 0;
      case MsgpackType.Bin:
        this.#take(this.#binLength());
        return 0;
      case MsgpackType.Array:
        return this.arrayLength();
      case MsgpackType.Map:
        return this.mapLength() * 2;
      case MsgpackType.Ext:
        this.#at++;
        // The ext's own type is one byte more.
        this.#take(this.#uintOf(byte - 0xc7) + 1);
        return 0;
      default:
        throw this.#unlike("a value");
    }
  }

  /** Elements of about `bytesEach` that may still come. */
  #elementsLeft(bytesEach: number): number {
    return Math.min(spareMax, Math.floor((this.#end - this.#at) / bytesEach));
  }

  /** A number of 64 bits, into `halves`. */
  #readHalves(): void {
    const byte = this.#bytes[this.#at];
    if (byte === 0xcf || byte === 0xd3) return this.#bigEndian(this.#take(9) + 1, 8);
    if (this.type === MsgpackType.Bin) {
      const length = this.#binLength();
      if (length === 0) throw new MsgpackError("Cannot read 64 bits of an empty bin");
      const end = this.#take(length) + length;
      const used = Math.min(length, 8);
      return this.#bigEndian(end - used, used);
    }
    const value = this.int();
    halves[0] = value;
    halves[1] = value < 0 ? 0xffffffff : 0;
  }

  /** A big-endian number of 1 to 8 bytes, into `halves`. */
  #bigEndian(at: number, length: number): void {
    const bytes = this.#bytes;
    if (length === 8) {
      halves[1] = bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
      halves[0] = bytes[at + 4] << 24 | bytes[at + 5] << 16 | bytes[at + 6] << 8 | bytes[at + 7];
      return;
    }
    let high = 0, low = 0;
    for (let i = at; i < at + length; i++) {
      high = high << 8 | low >>> 24;
      low = low << 8 | bytes[i];
    }
    halves[0] = low;
    halves[1] = high;
  }

  #strLength(): number {
    const byte = this.#head(MsgpackType.Str);
    return byte < 0xc0 ? byte & 0x1f : this.#uintOf(byte - 0xd9);
  }

  #binLength(): number {
    return this.#uintOf(this.#head(MsgpackType.Bin) - 0xc4);
  }

  /** First byte of a value that has to be of `type`. */
  #head(type: MsgpackType): number {
    if (this.type !== type) throw this.#unlike(typeNames[type]);
    return this.#bytes[this.#at++];
  }

  #unlike(wanted: string): MsgpackError {
    return new MsgpackError(`Cannot read ${wanted} at byte ${this.#at} as there is ${typeNames[this.type]}`);
  }

  #fitting(length: number, bytesEach: number): number {
    if (length * bytesEach <= this.#end - this.#at) return length;
    throw new MsgpackError(`Cannot read ${length} elements at byte ${this.#at} as fewer bytes are left`);
  }

  /** Passes `length` bytes; returns where they begin. */
  #take(length: number): number {
    const at = this.#at;
    if (length > this.#end - at) {
      throw new MsgpackError(`Cannot read ${length} bytes at byte ${at} as fewer are left`);
    }
    this.#at = at + length;
    return at;
  }

  /** An unsigned length of 1, 2 or 4 bytes, for `size` 0, 1 and 2. */
  #uintOf(size: number): number {
    if (size === 0) return this.#bytes[this.#take(1)];
    return size === 1 ? this.#uint16() : this.#uint32();
  }

  #uint16(): number {
    const at = this.#take(2);
    return this.#bytes[at] << 8 | this.#bytes[at + 1];
  }

  #uint32(): number {
    const at = this.#take(4), bytes = this.#bytes;
    return (bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3]) >>> 0;
  }

  #view(at: number): DataView {
    return new DataView(this.#bytes.buffer, this.#bytes.byteOffset + at);
  }
}
