/**
 * 128-bit hash of UTF-16 text: MurmurHash3 (x86, 128 bits) over the units, seeded per process. Texts of equal hash are
 * taken for equal: the chance of a mistake among 2^32 texts is below 2^-64. Who makes two texts collide on purpose, which
 * seeds do not prevent, gets requests routed worse, their own among them; ids are used for nothing else.
 */
export class TextHasher {
  readonly #seeds: Uint32Array;

  /** Without seeds, random ones. */
  constructor(seeds: Uint32Array = crypto.getRandomValues(new Uint32Array(4))) {
    this.#seeds = seeds;
  }

  /** Eight UTF-16 units that stand for `text[from .. to]` under `tag`; a key for maps. */
  key(text: string, from: number, to: number, tag = 0): string {
    let a = this.#seeds[0] ^ tag, b = this.#seeds[1], c = this.#seeds[2], d = this.#seeds[3];
    let i = from;
    for (const blocks = from + ((to - from) & ~7); i < blocks; i += 8) {
      a ^= scramble(text.charCodeAt(i) | (text.charCodeAt(i + 1) << 16), 0x239b961b, 15, 0xab0e9789);
      a = Math.imul(rotl(a, 19) + b, 5) + 0x561ccd1b | 0;
      b ^= scramble(text.charCodeAt(i + 2) | (text.charCodeAt(i + 3) << 16), 0xab0e9789, 16, 0x38b34ae5);
      b = Math.imul(rotl(b, 17) + c, 5) + 0x0bcaa747 | 0;
      c ^= scramble(text.charCodeAt(i + 4) | (text.charCodeAt(i + 5) << 16), 0x38b34ae5, 17, 0xa1e38b93);
      c = Math.imul(rotl(c, 15) + d, 5) + 0x96cd1c35 | 0;
      d ^= scramble(text.charCodeAt(i + 6) | (text.charCodeAt(i + 7) << 16), 0xa1e38b93, 18, 0x239b961b);
      d = Math.imul(rotl(d, 13) + a, 5) + 0x32ac3b17 | 0;
    }
    for (; i < to; i++) {
      a ^= scramble(text.charCodeAt(i) | 0x10000, 0x239b961b, 15, 0xab0e9789);
      a = Math.imul(rotl(a, 19) + b, 5) + 0x561ccd1b | 0;
      const first = a;
      a = b, b = c, c = d, d = first;
    }
    return finish(a, b, c, d, to - from);
  }
}

function rotl(x: number, by: number): number {
  return (x << by) | (x >>> (32 - by));
}

function scramble(word: number, first: number, by: number, second: number): number {
  return Math.imul(rotl(Math.imul(word, first), by), second);
}

function avalanche(h: number): number {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

function finish(a: number, b: number, c: number, d: number, length: number): string {
  a ^= length, b ^= length, c ^= length, d ^= length;
  a = a + b + c + d | 0;
  b = b + a | 0, c = c + a | 0, d = d + a | 0;
  a = avalanche(a), b = avalanche(b), c = avalanche(c), d = avalanche(d);
  a = a + b + c + d | 0;
  b = b + a | 0, c = c + a | 0, d = d + a | 0;
  return String.fromCharCode(
    a & 0xffff,
    a >>> 16,
    b & 0xffff,
    b >>> 16,
    c & 0xffff,
    c >>> 16,
    d & 0xffff,
    d >>> 16,
  );
}
