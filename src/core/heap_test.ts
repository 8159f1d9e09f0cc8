import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { IndexedHeap } from "./heap.ts";

interface Item {
  heapAt: number;
  value: number;
}

const heapOf = (values: number[]) => {
  const heap = new IndexedHeap<Item>((a, b) => a.value < b.value);
  const items = values.map((value) => ({ heapAt: -1, value }));
  for (const item of items) heap.push(item);
  return { heap, items };
};

const drained = (heap: IndexedHeap<Item>) => {
  const values: number[] = [];
  for (let item = heap.pop(); item; item = heap.pop()) values.push(item.value);
  return values;
};

const ascending = (values: number[]) => [...values].sort((a, b) => a - b);

Deno.test("IndexedHeap gives its items least first and is empty then", () => {
  fc.assert(fc.property(fc.array(fc.integer()), (values) => {
    const { heap, items } = heapOf(values);
    equal(heap.size, values.length);
    deepStrictEqual(drained(heap), ascending(values));
    deepStrictEqual([heap.size, heap.peek(), items.every(({ heapAt }) => heapAt === -1)], [0, undefined, true]);
  }));
});

Deno.test("IndexedHeap tells each item where it lies, takes any out and moves any whose order changed", () => {
  const step = fc.tuple(fc.constantFrom("push", "remove", "move"), fc.nat(), fc.nat(50));
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const { heap } = heapOf([]);
    const known: Item[] = [];
    for (const [kind, pick, value] of steps) {
      const item = known[pick % known.length];
      if (kind === "push") {
        const item = { heapAt: -1, value };
        known.push(item);
        heap.push(item);
      } else if (item && kind === "remove") {
        heap.remove(item);
        known.splice(known.indexOf(item), 1);
        equal(item.heapAt, -1);
      } else if (item) {
        item.value = value;
        heap.moved(item);
      }
      heap.items.forEach((item, at) => equal(item.heapAt, at));
      equal(heap.peek()?.value, ascending(known.map(({ value }) => value))[0]);
    }
    deepStrictEqual(drained(heap), ascending(known.map(({ value }) => value)));
  }));
});
