/** What can lie in an `IndexedHeap`: it is told its own place, so that it can be taken out or moved. */
export interface HeapItem {
  /** Set by the heap; -1 when it is in none. */
  heapAt: number;
}

/** A binary heap whose items know where they lie: the least one in O(1), any other out or moved in O(log n). */
export class IndexedHeap<T extends HeapItem> {
  readonly items: T[] = [];
  readonly #less: (a: T, b: T) => boolean;

  constructor(less: (a: T, b: T) => boolean) {
    this.#less = less;
  }

  get size(): number {
    return this.items.length;
  }

  peek(): T | undefined {
    return this.items[0];
  }

  push(item: T): void {
    item.heapAt = this.items.length;
    this.items.push(item);
    this.#up(item);
  }

  pop(): T | undefined {
    const top = this.items[0];
    if (top) this.remove(top);
    return top;
  }

  /** Takes out an item of this heap. */
  remove(item: T): void {
    const last = this.items.pop()!;
    const at = item.heapAt;
    item.heapAt = -1;
    if (last === item) return;
    last.heapAt = at;
    this.items[at] = last;
    this.moved(last);
  }

  /** An item's order has changed. */
  moved(item: T): void {
    this.#up(item);
    this.#down(item);
  }

  #up(item: T): void {
    const { items } = this;
    let at = item.heapAt;
    while (at > 0) {
      const parent = items[(at - 1) >> 1];
      if (!this.#less(item, parent)) break;
      items[at] = parent;
      parent.heapAt = at;
      at = (at - 1) >> 1;
    }
    items[at] = item;
    item.heapAt = at;
  }

  #down(item: T): void {
    const { items } = this;
    const size = items.length;
    let at = item.heapAt;
    for (;;) {
      let next = 2 * at + 1;
      if (next >= size) break;
      if (next + 1 < size && this.#less(items[next + 1], items[next])) next++;
      const child = items[next];
      if (!this.#less(child, item)) break;
      items[at] = child;
      child.heapAt = at;
      at = next;
    }
    items[at] = item;
    item.heapAt = at;
  }
}
