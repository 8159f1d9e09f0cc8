/** Things with a time at which something is due, in buckets of time: adding and deleting cost the same however many. */
export class DueQueue<T extends object> {
  readonly #bucketMs: number;
  readonly #buckets = new Map<number, Set<T>>();
  readonly #dueMs = new Map<T, number>();

  constructor(bucketMs: number) {
    this.#bucketMs = bucketMs;
  }

  get size(): number {
    return this.#dueMs.size;
  }

  /** Adds `item`, or moves it to another time. */
  set(item: T, dueMs: number): void {
    this.delete(item);
    this.#dueMs.set(item, dueMs);
    const at = Math.floor(dueMs / this.#bucketMs);
    const bucket = this.#buckets.get(at);
    if (bucket) bucket.add(item);
    else this.#buckets.set(at, new Set([item]));
  }

  delete(item: T): void {
    const dueMs = this.#dueMs.get(item);
    if (dueMs === undefined) return;
    this.#dueMs.delete(item);
    const at = Math.floor(dueMs / this.#bucketMs);
    const bucket = this.#buckets.get(at)!;
    bucket.delete(item);
    if (bucket.size === 0) this.#buckets.delete(at);
  }

  /** Takes out what is due, buckets in no order. */
  take(nowMs: number): T[] {
    const now = Math.floor(nowMs / this.#bucketMs);
    const due: T[] = [];
    for (const [at, bucket] of this.#buckets) {
      if (at > now) continue;
      for (const item of bucket) if (this.#dueMs.get(item)! <= nowMs) due.push(item);
    }
    for (const item of due) this.delete(item);
    return due;
  }
}
