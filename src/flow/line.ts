import { comesFirst } from "./ordering.ts";
import type { Waiting } from "./types.ts";

/** Places at the front that are left empty before the others move up. */
const emptyMax = 32;

/** A tenant's requests in their order. Nearly all come at its end and leave at its front, which costs no comparison. */
export class Line {
  #items: (Waiting | undefined)[] = [];
  #front = 0;
  /** At least the order of the last. */
  #order = -Infinity;

  get size(): number {
    return this.#items.length - this.#front;
  }

  /** The one that is served first; there is one. */
  get first(): Waiting {
    return this.#items[this.#front]!;
  }

  /** The one that is served last; there is one. */
  get last(): Waiting {
    return this.#items[this.#items.length - 1]!;
  }

  *[Symbol.iterator](): Generator<Waiting> {
    for (let at = this.#front; at < this.#items.length; at++) yield this.#items[at]!;
  }

  add(item: Waiting): void {
    if (item.order > this.#order || this.size === 0 || comesFirst(this.last, item)) {
      this.#items.push(item);
      this.#order = item.order;
    } else this.#items.splice(this.#placeOf(item), 0, item);
  }

  /** Takes out a request of this line. */
  remove(item: Waiting): void {
    const items = this.#items;
    if (item === this.first) {
      items[this.#front++] = undefined;
      if (this.#front > emptyMax && 2 * this.#front > items.length) {
        items.splice(0, this.#front);
        this.#front = 0;
      }
    } else if (item === this.last) items.pop();
    else items.splice(this.#placeOf(item), 1);
  }

  /** Where a request is, or would be: no two are equal. */
  #placeOf(item: Waiting): number {
    let from = this.#front, to = this.#items.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (comesFirst(this.#items[middle]!, item)) from = middle + 1;
      else to = middle;
    }
    return from;
  }
}
