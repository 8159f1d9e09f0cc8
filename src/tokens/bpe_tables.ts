/**
 * The merge table of a byte-level BPE vocabulary as flat arrays over shared memory: one isolate builds it, every other
 * reads the same bytes.
 */

/** What `tokenizer.json` says of the model, as far as byte-level BPE needs it. */
export interface BpeModel {
  readonly vocab: Readonly<Record<string, number>>;
  /** Pairs in the order of their rank, as `["a", "b"]` or `"a b"`. */
  readonly merges: readonly (readonly [string, string] | string)[];
  /** A word that is a token of its own is taken whole, without looking at merges. */
  readonly ignoreMerges: boolean;
}

/** Tokens by their bytes, for vocabularies that take whole words. */
export interface WordTable {
  /** Token id at a bucket, -1 when free. Linear probing from the hash of the bytes. */
  readonly slots: Int32Array;
  /** Bytes of token `id` are `pool[offsets[id] .. offsets[id + 1]]`. */
  readonly offsets: Int32Array;
  readonly pool: Uint8Array;
}

export interface BpeTables {
  /** Buckets of four: left id (-1 when free), right id, rank, merged id. Linear probing from `pairHash`. */
  readonly pairs: Int32Array;
  /** Token id of each single byte. */
  readonly byteIds: Int32Array;
  readonly words?: WordTable;
}

/** Code points that stand for the 256 bytes in a byte-level vocabulary: printable ones stand for themselves. */
function byteAlphabet(): string[] {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
}

export function pairHash(left: number, right: number): number {
  const h = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return (h ^ (h >>> 15)) >>> 0;
}

/** FNV-1a over `bytes[from .. to]`. */
export function bytesHash(bytes: Uint8Array, from: number, to: number): number {
  let h = 0x811c9dc5;
  for (let i = from; i < to; i++) h = Math.imul(h ^ bytes[i], 0x01000193);
  return (h ^ (h >>> 15)) >>> 0;
}

function powerOfTwo(atLeast: number): number {
  let size = 16;
  while (size < atLeast) size *= 2;
  return size;
}

function sharedInts(length: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(length * 4));
}

/** Builds the tables; throws where the vocabulary is not a complete byte-level one. */
export function buildTables(model: BpeModel): BpeTables {
  const alphabet = byteAlphabet();
  const ids = new Map(Object.entries(model.vocab));
  const idOf = (token: string): number => {
    const id = ids.get(token);
    if (id === undefined) throw new RangeError(`Cannot use the vocabulary as token "${token}" is missing`);
    return id;
  };
  const byteIds = sharedInts(256);
  alphabet.forEach((char, byte) => byteIds[byte] = idOf(char));
  const mask = powerOfTwo(model.merges.length * 2) - 1;
  const pairs = sharedInts((mask + 1) * 4).fill(-1);
  model.merges.forEach((merge, rank) => {
    const space = typeof merge === "string" ? merge.indexOf(" ") : 0;
    const [a, b] = typeof merge === "string" ? [merge.slice(0, space), merge.slice(space + 1)] : merge;
    const left = idOf(a), right = idOf(b);
    let at = pairHash(left, right) & mask;
    while (pairs[at * 4] !== -1) {
      if (pairs[at * 4] === left && pairs[at * 4 + 1] === right) return;
      at = (at + 1) & mask;
    }
    pairs.set([left, right, rank, idOf(a + b)], at * 4);
  });
  return { pairs, byteIds, words: model.ignoreMerges ? buildWords(model.vocab, alphabet) : undefined };
}

function buildWords(vocab: Readonly<Record<string, number>>, alphabet: readonly string[]): WordTable {
  const byteOf = new Map(alphabet.map((char, byte) => [char, byte]));
  const entries = Object.entries(vocab).sort(([, a], [, b]) => a - b);
  const top = entries.length === 0 ? 0 : entries[entries.length - 1][1] + 1;
  const offsets = sharedInts(top + 1);
  const bytes: number[] = [];
  let id = 0;
  for (const [token, own] of entries) {
    while (id <= own) offsets[id++] = bytes.length;
    const chars = Array.from(token, (char) => byteOf.get(char));
    // A token that is not spelled in the byte alphabet can be no word of a text: it keeps no bytes.
    if (chars.every((byte) => byte !== undefined)) bytes.push(...(chars as number[]));
  }
  while (id <= top) offsets[id++] = bytes.length;
  const pool = new Uint8Array(new SharedArrayBuffer(bytes.length));
  pool.set(bytes);
  const mask = powerOfTwo(top * 2) - 1;
  const slots = sharedInts(mask + 1).fill(-1);
  for (let token = 0; token < top; token++) {
    if (offsets[token] === offsets[token + 1]) continue;
    let at = bytesHash(pool, offsets[token], offsets[token + 1]) & mask;
    while (slots[at] !== -1) at = (at + 1) & mask;
    slots[at] = token;
  }
  return { slots, offsets, pool };
}
