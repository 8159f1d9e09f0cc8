/**
 * Chained block hashes: two 32-bit lanes (murmur3 steps with different constants), reported as one integer below 2^53.
 *
 * A number keeps block keys in a `Float64Array` and out of BigInt. Two different chains share a key with probability
 * 2^-53 a pair: about 0.5 % that any two of ten million blocks do.
 */
export class ChainHash {
  #a: number;
  #b: number;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = ~seed | 0;
  }

  /** Mixes in the low 32 bits of `word`. */
  update(word: number): void {
    let k = Math.imul(word, 0xcc9e2d51);
    k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
    let a = this.#a ^ k;
    a = (a << 13) | (a >>> 19);
    this.#a = (Math.imul(a, 5) + 0xe6546b64) | 0;
    k = Math.imul(word, 0x239b961b);
    k = Math.imul((k << 16) | (k >>> 16), 0xab0e9789);
    let b = this.#b ^ k;
    b = (b << 17) | (b >>> 15);
    this.#b = (Math.imul(b, 5) + 0x561ccd1b + this.#a) | 0;
  }

  /** Mixes in the UTF-16 units of `text` and its length, so that two texts in a row are told apart. */
  updateText(text: string): void {
    for (let i = 0; i < text.length; i++) this.update(text.charCodeAt(i));
    this.update(text.length ^ 0x5bd1e995);
  }

  /** Ends a link of the chain: returns its key, and carries its state into the next link. */
  link(): number {
    let a = this.#a, b = this.#b;
    a = Math.imul(a ^ (a >>> 16) ^ b, 0x85ebca6b);
    a = Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
    a ^= a >>> 16;
    b = Math.imul(b ^ (b >>> 15) ^ a, 0x2c1b3c6d);
    b = Math.imul(b ^ (b >>> 12), 0x297a2d39);
    b ^= b >>> 15;
    this.#a = a;
    this.#b = b;
    return (a >>> 0) * 0x20_0000 + (b >>> 11);
  }
}
