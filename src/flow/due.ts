import type { Waiting } from "./types.ts";

/**
 * What is due when. Entries of requests that ended, or that are due at another time by now, stay until they come up or
 * outnumber the others: taking a request out of the queue costs nothing here. With an `IndexedHeap` in its place, which takes
 * each out at once, the queue makes 232,000 dispatches a second, with this 317,000.
 */
export class DueTimes {
  #items: Waiting[] = [];
  #times: number[] = [];
  #stale = 0;

  /** Requests and what is left of earlier entries. */
  get size(): number {
    return this.#items.length;
  }

  /** Notes when `item` is due, in place of what was noted before. */
  set(item: Waiting, atMs: number): void {
    if (item.dueAtMs === atMs) return;
    this.forget(item);
    item.dueAtMs = atMs;
    if (atMs < Infinity) this.#push(item, atMs);
  }

  /** Nothing is due for `item` any more: its entry is stale. */
  forget(item: Waiting): void {
    if (item.dueAtMs === Infinity) return;
    item.dueAtMs = Infinity;
    if (++this.#stale > 64 && this.#stale > this.#items.length / 2) this.#compact();
  }

  /** The time of the next entry that counts; Infinity when there is none. */
  next(): number {
    while (this.#items.length > 0 && this.#items[0].dueAtMs !== this.#times[0]) {
      this.#pop();
      // One that is due at its first time again has two entries that count, so that fewer may be counted than there are.
      if (this.#stale > 0) this.#stale--;
    }
    return this.#times[0] ?? Infinity;
  }

  /** The next item due by `nowMs`, taken out. */
  take(nowMs: number): Waiting | undefined {
    if (this.next() > nowMs) return undefined;
    const item = this.#items[0];
    this.#pop();
    item.dueAtMs = Infinity;
    return item;
  }

  #compact(): void {
    const items = this.#items, times = this.#times;
    this.#items = [];
    this.#times = [];
    this.#stale = 0;
    for (let i = 0; i < items.length; i++) if (items[i].dueAtMs === times[i]) this.#push(items[i], times[i]);
  }

  #push(item: Waiting, time: number): void {
    const items = this.#items, times = this.#times;
    let at = items.length;
    items.push(item);
    times.push(time);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (times[parent] <= time) break;
      items[at] = items[parent];
      times[at] = times[parent];
      at = parent;
    }
    items[at] = item;
    times[at] = time;
  }

  #pop(): void {
    const items = this.#items, times = this.#times;
    const item = items.pop()!, time = times.pop()!;
    const size = items.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && times[child + 1] < times[child]) child++;
      if (times[child] >= time) break;
      items[at] = items[child];
      times[at] = times[child];
      at = child;
    }
    items[at] = item;
    times[at] = time;
  }
}
