const noKey = -1;

/**
 * The paged KV cache: a fixed number of blocks, each free or held by running requests, with an index from block key to
 * block so that a freed block's content can be found again until the block is reused.
 *
 * Free blocks form one list in order of release; reuse takes the oldest. Of several blocks with one key only the first is
 * indexed.
 */
export class BlockPool {
  readonly size: number;
  readonly #key: Float64Array;
  readonly #refs: Int32Array;
  /** Free list links; entry `size` is the head and tail of the ring. */
  readonly #next: Int32Array;
  readonly #prev: Int32Array;
  /** Open addressing with linear probing: block + 1, or 0. */
  readonly #index: Int32Array;
  readonly #mask: number;
  readonly #onForget: ((key: number) => void) | undefined;
  #free: number;
  #keyed = 0;

  /** `onForget` hears the key of each block whose content is lost to reuse. */
  constructor(size: number, onForget?: (key: number) => void) {
    this.size = size;
    this.#onForget = onForget;
    this.#key = new Float64Array(size).fill(noKey);
    this.#refs = new Int32Array(size);
    this.#next = new Int32Array(size + 1);
    this.#prev = new Int32Array(size + 1);
    for (let i = 0; i <= size; i++) {
      this.#next[i] = i === size ? 0 : i + 1;
      this.#prev[i] = i === 0 ? size : i - 1;
    }
    this.#free = size;
    this.#mask = 2 ** Math.ceil(Math.log2(size * 2)) - 1;
    this.#index = new Int32Array(this.#mask + 1);
  }

  /** Blocks no running request holds; their content may still be cached. */
  get free(): number {
    return this.#free;
  }

  /** Blocks whose content can be found by key. */
  get keyed(): number {
    return this.#keyed;
  }

  /** The block that holds `key`, or -1. */
  find(key: number): number {
    for (let slot = key & this.#mask;; slot = (slot + 1) & this.#mask) {
      const block = this.#index[slot] - 1;
      if (block < 0 || this.#key[block] === key) return block;
    }
  }

  isFree(block: number): boolean {
    return this.#refs[block] === 0;
  }

  /** One more request holds `block`. */
  hold(block: number): void {
    if (this.#refs[block]++ === 0) this.#unlink(block);
  }

  /** Takes the least recently released block, forgetting its content. The caller has checked `free`. */
  take(): number {
    const block = this.#next[this.size];
    if (block === this.size) throw new RangeError("Cannot take a block as none is free");
    this.#unlink(block);
    this.#refs[block] = 1;
    const key = this.#key[block];
    if (key === noKey) return block;
    this.#forget(block);
    this.#onForget?.(key);
    return block;
  }

  /** Makes the content of a held block findable; false when another block already is under `key`. */
  publish(block: number, key: number): boolean {
    if (this.#key[block] !== noKey) return false;
    let slot = key & this.#mask;
    for (; this.#index[slot] !== 0; slot = (slot + 1) & this.#mask) {
      if (this.#key[this.#index[slot] - 1] === key) return false;
    }
    this.#index[slot] = block + 1;
    this.#key[block] = key;
    this.#keyed++;
    return true;
  }

  /** One request less holds `block`; the last one puts it at the young end of the free list. */
  release(block: number): void {
    if (this.#refs[block] <= 0) throw new RangeError(`Cannot release block ${block} as nothing holds it`);
    if (--this.#refs[block] > 0) return;
    const last = this.#prev[this.size];
    this.#next[last] = block;
    this.#prev[block] = last;
    this.#next[block] = this.size;
    this.#prev[this.size] = block;
    this.#free++;
  }

  /** Forgets the content of every block, held or free, without a word. */
  clear(): void {
    this.#key.fill(noKey);
    this.#index.fill(0);
    this.#keyed = 0;
  }

  #unlink(block: number): void {
    this.#next[this.#prev[block]] = this.#next[block];
    this.#prev[this.#next[block]] = this.#prev[block];
    this.#free--;
  }

  /** Removes a block from the index, moving later entries of its probe run back so that no gap cuts the run. */
  #forget(block: number): void {
    const index = this.#index, mask = this.#mask;
    let gap = this.#key[block] & mask;
    while (index[gap] !== block + 1) gap = (gap + 1) & mask;
    for (let slot = (gap + 1) & mask; index[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#key[index[slot] - 1] & mask;
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      index[gap] = index[slot];
      gap = slot;
    }
    index[gap] = 0;
    this.#key[block] = noKey;
    this.#keyed--;
  }
}
