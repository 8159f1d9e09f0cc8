/** Strings to be recognised in MessagePack without being built. */
export class WordSet {
  readonly #byLength: { readonly bytes: Uint8Array; readonly index: number }[][] = [];

  constructor(words: readonly string[]) {
    words.forEach((word, index) => {
      const bytes = new TextEncoder().encode(word);
      (this.#byLength[bytes.length] ??= []).push({ bytes, index });
    });
  }

  /** Position of the word that `bytes` from `at` on, `length` long, spell; -1 for none. */
  find(bytes: Uint8Array, at: number, length: number): number {
    const candidates = this.#byLength[length];
    if (!candidates) return -1;
    for (const { bytes: word, index } of candidates) {
      let i = 0;
      while (i < length && word[i] === bytes[at + i]) i++;
      if (i === length) return index;
    }
    return -1;
  }
}
