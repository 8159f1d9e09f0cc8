/** Bytes an entry takes besides its ids: key, list links and array header, measured by heap growth. */
const entryBytes = 200;

/** Token ids by the hash of their text, bounded in bytes; the least recently used go first. */
export class TokenCache {
  readonly #entries = new Map<string, Uint32Array>();
  #bytes = 0;

  constructor(readonly bytesMax: number) {}

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The ids; not to be written to. */
  get(key: string): Uint32Array | undefined {
    const ids = this.#entries.get(key);
    if (ids === undefined) return undefined;
    this.#entries.delete(key);
    this.#entries.set(key, ids);
    return ids;
  }

  /** Keeps `ids`, which must not change any more; what is larger than the whole cache is not kept. */
  set(key: string, ids: Uint32Array): void {
    const added = ids.byteLength + entryBytes;
    if (added > this.bytesMax) return;
    const old = this.#entries.get(key);
    if (old) this.#drop(key, old);
    this.#entries.set(key, ids);
    this.#bytes += added;
    while (this.#bytes > this.bytesMax) {
      const [oldest, dropped] = this.#entries.entries().next().value!;
      this.#drop(oldest, dropped);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  #drop(key: string, ids: Uint32Array): void {
    this.#entries.delete(key);
    this.#bytes -= ids.byteLength + entryBytes;
  }
}
