import { deepStrictEqual, equal, throws } from "node:assert/strict";
import fc from "fast-check";
import { BlockPool } from "./block_pool.ts";

Deno.test("take() reuses the least recently released block and forgets its key", () => {
  const pool = new BlockPool(3);
  const [a, b, c] = [pool.take(), pool.take(), pool.take()];
  pool.publish(a, 101);
  pool.publish(b, 102);
  pool.release(b);
  pool.release(a);
  equal(pool.free, 2);
  equal(pool.find(102), b);
  equal(pool.take(), b);
  equal(pool.find(102), -1);
  equal(pool.find(101), a);
  equal(pool.take(), a);
  throws(() => pool.take(), /none is free/);
  pool.release(c);
  throws(() => pool.release(c), /nothing holds it/);
});

Deno.test("hold() takes a cached block off the free list, so that it is not reused", () => {
  const pool = new BlockPool(2);
  const a = pool.take();
  pool.publish(a, 7);
  pool.release(a);
  pool.hold(a);
  pool.hold(a);
  const b = pool.take();
  equal(pool.free, 0);
  equal(pool.find(7), a);
  pool.release(a);
  equal(pool.free, 0);
  pool.release(a);
  pool.release(b);
  equal(pool.free, 2);
});

Deno.test("publish() keeps the first block under a key", () => {
  const pool = new BlockPool(2);
  const a = pool.take(), b = pool.take();
  pool.publish(a, 9);
  pool.publish(b, 9);
  equal(pool.find(9), a);
  equal(pool.keyed, 1);
});

Deno.test("BlockPool agrees with a plain model over any sequence of operations", () => {
  const operation = fc.record({ op: fc.constantFrom("take", "release", "hold"), pick: fc.nat(30), key: fc.nat(12) });
  fc.assert(fc.property(fc.integer({ min: 1, max: 9 }), fc.array(operation, { maxLength: 200 }), (size, operations) => {
    const pool = new BlockPool(size);
    const free = Array.from({ length: size }, (_, i) => i);
    const keyOf = new Map<number, number>();
    const held: number[] = [];
    for (const { op, pick, key } of operations) {
      if (op === "take" && free.length > 0) {
        const block = pool.take();
        equal(block, free.shift());
        keyOf.delete(block);
        if (![...keyOf.values()].includes(key)) keyOf.set(block, key);
        pool.publish(block, key);
        held.push(block);
      } else if (op === "release" && held.length > 0) {
        const [block] = held.splice(pick % held.length, 1);
        pool.release(block);
        if (!held.includes(block)) free.push(block);
      } else if (op === "hold") {
        const block = pool.find(key);
        if (block < 0) continue;
        pool.hold(block);
        held.push(block);
        if (free.includes(block)) free.splice(free.indexOf(block), 1);
      }
      equal(pool.free, free.length);
      equal(pool.keyed, keyOf.size);
      for (let k = 0; k <= 12; k++) {
        const holder = [...keyOf].find(([, value]) => value === k)?.[0] ?? -1;
        deepStrictEqual(pool.find(k), holder);
      }
    }
  }));
});
