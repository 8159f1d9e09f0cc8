/** A map that forgets its least recently used entry when full. `get` and `set` count as use. */
export class LruMap<K, V> {
  readonly #map = new Map<K, V>();

  constructor(readonly capacity: number, readonly onEvict?: (key: K, value: V) => void) {}

  get size(): number {
    return this.#map.size;
  }

  get(key: K): V | undefined {
    const value = this.#map.get(key);
    if (value === undefined) return undefined;
    this.#map.delete(key);
    this.#map.set(key, value);
    return value;
  }

  /** Reads without counting as use. */
  peek(key: K): V | undefined {
    return this.#map.get(key);
  }

  set(key: K, value: V): void {
    this.#map.delete(key);
    this.#map.set(key, value);
    if (this.#map.size <= this.capacity) return;
    const [oldest, evicted] = this.#map.entries().next().value!;
    this.#map.delete(oldest);
    this.onEvict?.(oldest, evicted);
  }

  delete(key: K): boolean {
    return this.#map.delete(key);
  }

  /** Oldest first. */
  entries(): MapIterator<[K, V]> {
    return this.#map.entries();
  }

  clear(): void {
    this.#map.clear();
  }
}

/** The first `capacity` distinct names are kept, the rest become `other`: a bound on label values. */
export class BoundedLabels {
  readonly #seen = new Set<string>();

  constructor(readonly capacity: number, pinned: Iterable<string> = []) {
    for (const name of pinned) this.#seen.add(name);
  }

  label(name: string): string {
    if (this.#seen.has(name)) return name;
    if (this.#seen.size >= this.capacity) return "other";
    this.#seen.add(name);
    return name;
  }

  /** The label of a name that is not to be learnt: names never seen read `other`. */
  peek(name: string): string {
    return this.#seen.has(name) ? name : "other";
  }
}
