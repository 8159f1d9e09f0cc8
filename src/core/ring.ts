// A record is a head word, numbers as float64, then hashes as u64; it lies in one piece:
//   head  u32 kind (8 bits) and count of numbers, u32 count of hashes
// Where one does not fit before the end, a head of kind `skip` says that the rest is empty.
const headerBytes = 64;
const skip = 255;

/** What a drained record is handed to; `numbers` is valid during the call, `hashes` is the taker's own. */
export type RecordTaker = (kind: number, numbers: Float64Array, hashes: BigUint64Array) => void;

const noHashes = new BigUint64Array(0);

/**
 * Records of numbers and block hashes from one isolate to another over shared memory: one writes, one reads, neither
 * waits. A record that finds no room is dropped and counted: what is sent this way are facts that age, not orders.
 */
export class RecordRing {
  readonly #words: BigUint64Array;
  readonly #numbers: Float64Array;
  readonly #halves: Uint32Array;
  /** Words written and words read since the start, and records dropped; they wrap. */
  readonly #at: Int32Array;

  /** Bytes of a ring of `words` words of 8 bytes, a power of two. */
  static bytes(words: number): number {
    return headerBytes + words * 8;
  }

  /** `byteOffset` is a multiple of 8. The memory is zeros, or held a ring of as many words. */
  constructor(words: number, buffer: ArrayBufferLike = new SharedArrayBuffer(RecordRing.bytes(words)), byteOffset = 0) {
    if (words < 16 || (words & (words - 1)) !== 0) {
      throw new RangeError(`Cannot make a ring as its words must be a power of two above 8: current value is ${words}`);
    }
    this.#at = new Int32Array(buffer, byteOffset, 3);
    const from = byteOffset + headerBytes;
    this.#words = new BigUint64Array(buffer, from, words);
    this.#numbers = new Float64Array(buffer, from, words);
    this.#halves = new Uint32Array(buffer, from, words * 2);
  }

  /** Records that found no room. */
  get dropped(): number {
    return Atomics.load(this.#at, 2) >>> 0;
  }

  /** Writes a record of at most 255 numbers, `kind` from 0 to 254; false when there is no room. */
  push(kind: number, numbers: readonly number[], hashes: BigUint64Array = noHashes): boolean {
    const size = this.#words.length;
    const need = 1 + numbers.length + hashes.length;
    let head = this.#at[0];
    let at = (head >>> 0) % size;
    const gap = at + need > size ? size - at : 0;
    const used = (head - Atomics.load(this.#at, 1)) >>> 0;
    if (used + gap + need > size) {
      Atomics.add(this.#at, 2, 1);
      return false;
    }
    if (gap > 0) {
      this.#halves[at * 2] = skip;
      head = (head + gap) | 0;
      at = 0;
    }
    this.#halves[at * 2] = kind | (numbers.length << 8);
    this.#halves[at * 2 + 1] = hashes.length;
    for (let i = 0; i < numbers.length; i++) this.#numbers[at + 1 + i] = numbers[i];
    if (hashes.length > 0) this.#words.set(hashes, at + 1 + numbers.length);
    // Last: a writer that dies before has written nothing.
    Atomics.store(this.#at, 0, (head + need) | 0);
    return true;
  }

  /** Hands every record to `take`, in order; returns how many. */
  drain(take: RecordTaker): number {
    const size = this.#words.length;
    const head = Atomics.load(this.#at, 0);
    let tail = this.#at[1];
    let records = 0;
    while (tail !== head) {
      const at = (tail >>> 0) % size;
      const first = this.#halves[at * 2];
      const kind = first & 255;
      if (kind === skip) {
        tail = (tail + size - at) | 0;
        continue;
      }
      const numbers = at + 1 + (first >>> 8), hashes = this.#halves[at * 2 + 1];
      // Most records have none, and a view of shared memory costs a microsecond.
      const own = hashes === 0 ? noHashes : this.#words.slice(numbers, numbers + hashes);
      take(kind, this.#numbers.subarray(at + 1, numbers), own);
      tail = (numbers + hashes - at + tail) | 0;
      Atomics.store(this.#at, 1, tail);
      records++;
    }
    return records;
  }
}
