import { type BpeTables, bytesHash, pairHash, type WordTable } from "./bpe_tables.ts";
import { NotExactError } from "./not_exact.ts";

/** Up to this many symbols the best pair is found by looking at all; beyond, by a heap. */
const scanSymbolsMax = 48;

/** A longer word is refused: its work arrays would take 90 bytes a UTF-16 unit. */
export const wordUnitsMax = 131_072;

/** A word that is remembered has at most this many UTF-16 units and tokens. */
const memoUnits = 16;
const memoIds = 8;

const none = 0x7fffffff;

/** Token ids that grow as they are written. */
export class IdBuffer {
  ids = new Uint32Array(1024);
  length = 0;

  reserve(more: number): void {
    if (this.length + more <= this.ids.length) return;
    const grown = new Uint32Array(Math.max(this.ids.length * 2, this.length + more));
    grown.set(this.ids.subarray(0, this.length));
    this.ids = grown;
  }

  append(ids: Uint32Array): void {
    this.reserve(ids.length);
    this.ids.set(ids, this.length);
    this.length += ids.length;
  }

  push(id: number): void {
    this.reserve(1);
    this.ids[this.length++] = id;
  }
}

/**
 * Byte-level BPE of words (the pieces that pre-tokenization makes), with a direct-mapped memory of short words in flat
 * arrays: a word that comes again costs no merge and no garbage.
 */
export class Bpe {
  readonly #tables: BpeTables;
  readonly #pairMask: number;
  readonly #memoMask: number;
  readonly #memoText: Uint16Array;
  /** Length of the text in the low 8 bits, tokens above; 0 when free. */
  readonly #memoSize: Uint16Array;
  readonly #memoIds: Uint32Array;
  #bytes = new Uint8Array(256);
  #symbols = new Int32Array(256);
  #ranks = new Int32Array(256);
  #next = new Int32Array(256);
  #previous = new Int32Array(256);
  #heap = new Float64Array(256);
  #heapSize = 0;

  /** `memoWords` is a power of two; each takes 66 bytes. Default 65,536: about 4 MiB. */
  constructor(tables: BpeTables, memoWords = 65_536) {
    this.#tables = tables;
    this.#pairMask = tables.pairs.length / 4 - 1;
    this.#memoMask = memoWords - 1;
    this.#memoText = new Uint16Array(memoWords * memoUnits);
    this.#memoSize = new Uint16Array(memoWords);
    this.#memoIds = new Uint32Array(memoWords * memoIds);
  }

  /** Writes the tokens of the word `units[from .. to]` (UTF-16, well-formed) to `out`. */
  word(units: Uint16Array, from: number, to: number, out: IdBuffer): void {
    const length = to - from;
    if (length > memoUnits) return this.#merge(units, from, to, out);
    let h = length;
    for (let i = from; i < to; i++) h = Math.imul(h ^ units[i], 0x9e3779b1);
    const slot = (h ^ (h >>> 15)) & this.#memoMask;
    const size = this.#memoSize[slot];
    if ((size & 0xff) === length && this.#holds(slot, units, from, length)) {
      const count = size >>> 8;
      out.reserve(count);
      for (let i = 0; i < count; i++) out.ids[out.length + i] = this.#memoIds[slot * memoIds + i];
      out.length += count;
      return;
    }
    const start = out.length;
    this.#merge(units, from, to, out);
    const count = out.length - start;
    if (count > memoIds) return;
    this.#memoSize[slot] = length | (count << 8);
    for (let i = 0; i < length; i++) this.#memoText[slot * memoUnits + i] = units[from + i];
    for (let i = 0; i < count; i++) this.#memoIds[slot * memoIds + i] = out.ids[start + i];
  }

  #holds(slot: number, units: Uint16Array, from: number, length: number): boolean {
    const at = slot * memoUnits;
    for (let i = 0; i < length; i++) if (this.#memoText[at + i] !== units[from + i]) return false;
    return true;
  }

  #merge(units: Uint16Array, from: number, to: number, out: IdBuffer): void {
    const count = this.#toBytes(units, from, to);
    const whole = this.#tables.words && findWord(this.#tables.words, this.#bytes, count);
    if (whole !== undefined && whole >= 0) return out.push(whole);
    for (let i = 0; i < count; i++) this.#symbols[i] = this.#tables.byteIds[this.#bytes[i]];
    const left = count <= scanSymbolsMax ? this.#mergeByScan(count) : this.#mergeByHeap(count);
    out.reserve(left);
    for (let i = 0; i < left; i++) out.ids[out.length + i] = this.#symbols[i];
    out.length += left;
  }

  /** Bytes of the word in UTF-8, into `#bytes`; grows every work array to fit. */
  #toBytes(units: Uint16Array, from: number, to: number): number {
    if (to - from > wordUnitsMax) {
      throw new NotExactError("too-long");
    }
    const most = (to - from) * 3;
    if (most > this.#bytes.length) {
      const size = Math.max(most, this.#bytes.length * 2);
      this.#bytes = new Uint8Array(size);
      this.#symbols = new Int32Array(size);
      this.#ranks = new Int32Array(size);
      this.#next = new Int32Array(size);
      this.#previous = new Int32Array(size);
      this.#heap = new Float64Array(size * 3);
    }
    const bytes = this.#bytes;
    let n = 0;
    for (let i = from; i < to; i++) {
      let c = units[i];
      if (c < 0x80) {
        bytes[n++] = c;
        continue;
      }
      if (c < 0x800) {
        bytes[n++] = 0xc0 | (c >> 6);
      } else if ((c & 0xfc00) === 0xd800) {
        c = 0x10000 + ((c & 0x3ff) << 10) + (units[++i] & 0x3ff);
        bytes[n++] = 0xf0 | (c >> 18);
        bytes[n++] = 0x80 | ((c >> 12) & 0x3f);
        bytes[n++] = 0x80 | ((c >> 6) & 0x3f);
      } else {
        bytes[n++] = 0xe0 | (c >> 12);
        bytes[n++] = 0x80 | ((c >> 6) & 0x3f);
      }
      bytes[n++] = 0x80 | (c & 0x3f);
    }
    return n;
  }

  /** Bucket of a pair in the table, -1 when it does not merge. */
  #pair(left: number, right: number): number {
    const pairs = this.#tables.pairs;
    const mask = this.#pairMask;
    for (let at = pairHash(left, right) & mask;; at = (at + 1) & mask) {
      const found = pairs[at * 4];
      if (found === left && pairs[at * 4 + 1] === right) return at * 4;
      if (found === -1) return -1;
    }
  }

  #rank(left: number, right: number): number {
    const at = this.#pair(left, right);
    return at < 0 ? none : this.#tables.pairs[at + 2];
  }

  /** Merges the lowest rank, the leftmost of equals, until none is left. Gives the count of symbols. */
  #mergeByScan(count: number): number {
    const symbols = this.#symbols, ranks = this.#ranks;
    for (let i = 0; i + 1 < count; i++) ranks[i] = this.#rank(symbols[i], symbols[i + 1]);
    while (count > 1) {
      let best = 0;
      for (let i = 1; i + 1 < count; i++) if (ranks[i] < ranks[best]) best = i;
      if (ranks[best] === none) break;
      symbols[best] = this.#tables.pairs[this.#pair(symbols[best], symbols[best + 1]) + 3];
      count--;
      for (let i = best + 1; i < count; i++) {
        symbols[i] = symbols[i + 1];
        ranks[i] = ranks[i + 1];
      }
      if (best + 1 < count) ranks[best] = this.#rank(symbols[best], symbols[best + 1]);
      if (best > 0) ranks[best - 1] = this.#rank(symbols[best - 1], symbols[best]);
    }
    return count;
  }

  /** As `#mergeByScan`, in O(n log n): a heap of (rank, place), entries that no longer hold are skipped. */
  #mergeByHeap(count: number): number {
    const symbols = this.#symbols, next = this.#next, previous = this.#previous, ranks = this.#ranks;
    this.#heapSize = 0;
    for (let i = 0; i < count; i++) {
      next[i] = i + 1 < count ? i + 1 : -1;
      previous[i] = i - 1;
      ranks[i] = none;
    }
    for (let i = 0; i + 1 < count; i++) this.#offer(i);
    while (this.#heapSize > 0) {
      const key = this.#takeLeast();
      const rank = Math.floor(key / 0x100000000), i = key % 0x100000000;
      if (ranks[i] !== rank) continue;
      const j = next[i];
      symbols[i] = this.#tables.pairs[this.#pair(symbols[i], symbols[j]) + 3];
      ranks[j] = none;
      next[i] = next[j];
      if (next[j] >= 0) previous[next[j]] = i;
      this.#offer(i);
      if (previous[i] >= 0) this.#offer(previous[i]);
    }
    let left = 0;
    for (let i = 0; i >= 0; i = next[i]) symbols[left++] = symbols[i];
    return left;
  }

  /** Puts the pair that begins at `i` on the heap, when it merges, and notes its rank. */
  #offer(i: number): void {
    const j = this.#next[i];
    const rank = j < 0 ? none : this.#rank(this.#symbols[i], this.#symbols[j]);
    this.#ranks[i] = rank;
    if (rank === none) return;
    const heap = this.#heap;
    const key = rank * 0x100000000 + i;
    let at = this.#heapSize++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent] <= key) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = key;
  }

  #takeLeast(): number {
    const heap = this.#heap;
    const least = heap[0];
    const size = --this.#heapSize;
    const key = heap[size];
    let at = 0;
    for (let child = 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && heap[child + 1] < heap[child]) child++;
      if (heap[child] >= key) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = key;
    return least;
  }
}

/** Id of the token with the bytes `bytes[0 .. count]`, -1 when there is none. */
function findWord({ slots, offsets, pool }: WordTable, bytes: Uint8Array, count: number): number {
  const mask = slots.length - 1;
  probe: for (let at = bytesHash(bytes, 0, count) & mask;; at = (at + 1) & mask) {
    const id = slots[at];
    if (id < 0) return -1;
    const from = offsets[id];
    if (offsets[id + 1] - from !== count) continue;
    for (let i = 0; i < count; i++) if (pool[from + i] !== bytes[i]) continue probe;
    return id;
  }
}
