/** What the block hashes are made of. */
export type CborValue = null | number | bigint | string | Uint8Array | Uint32Array | readonly CborValue[] | CborMap;

/** A map; its keys are texts. */
export interface CborMap {
  readonly [key: string]: CborValue;
}

const encoder = new TextEncoder();

/** Canonical CBOR (RFC 8949, section 4.2): shortest integers, definite lengths, map keys shorter first, then in byte order. */
export class CborWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  /** The encoding of one value, valid until the next call. */
  encode(value: CborValue): Uint8Array {
    this.#length = 0;
    this.#write(value);
    return this.#bytes.subarray(0, this.#length);
  }

  #write(value: CborValue): void {
    if (value === null) return this.#head(7, 22);
    if (typeof value === "number" || typeof value === "bigint") return this.#integer(value);
    if (typeof value === "string") {
      const bytes = encoder.encode(value);
      this.#head(3, bytes.length);
      return this.#raw(bytes);
    }
    if (value instanceof Uint8Array) {
      this.#head(2, value.length);
      return this.#raw(value);
    }
    if (value instanceof Uint32Array) {
      this.#head(4, value.length);
      for (let i = 0; i < value.length; i++) this.#head(0, value[i]);
      return;
    }
    if (Array.isArray(value)) {
      this.#head(4, value.length);
      for (const item of value) this.#write(item);
      return;
    }
    this.#map(value as CborMap);
  }

  #map(map: CborMap): void {
    const keys = Object.keys(map).sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
    this.#head(5, keys.length);
    for (const key of keys) {
      this.#write(key);
      this.#write(map[key]);
    }
  }

  #integer(value: number | bigint): void {
    if (typeof value === "number") {
      if (!Number.isSafeInteger(value)) {
        throw new RangeError(`Cannot encode a number as it must be an integer: current value is ${value}`);
      }
      return value < 0 ? this.#head(1, -1 - value) : this.#head(0, value);
    }
    if (value < 0n) return this.#integer(Number(value));
    if (value < 0x1_0000_0000n) return this.#head(0, Number(value));
    this.#reserve(9);
    this.#bytes[this.#length] = 0x1b;
    new DataView(this.#bytes.buffer).setBigUint64(this.#length + 1, value);
    this.#length += 9;
  }

  #head(major: number, count: number): void {
    this.#reserve(9);
    const bytes = this.#bytes;
    let at = this.#length;
    const top = major << 5;
    if (count < 24) bytes[at++] = top | count;
    else if (count < 0x100) {
      bytes[at++] = top | 24;
      bytes[at++] = count;
    } else if (count < 0x10000) {
      bytes[at++] = top | 25;
      bytes[at++] = count >>> 8;
      bytes[at++] = count;
    } else {
      const wide = count > 0xffff_ffff;
      bytes[at++] = top | (wide ? 27 : 26);
      if (wide) at = this.#word(at, Math.floor(count / 0x1_0000_0000));
      at = this.#word(at, count >>> 0);
    }
    this.#length = at;
  }

  #word(at: number, word: number): number {
    for (let shift = 24; shift >= 0; shift -= 8) this.#bytes[at++] = word >>> shift;
    return at;
  }

  #raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(this.#length + count, this.#bytes.length * 2));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}
