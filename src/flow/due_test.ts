import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { DueTimes } from "./due.ts";
import { type FlowAsk, Waiting } from "./types.ts";

const items = (count: number) => Array.from({ length: count }, (_, i) => new Waiting({} as FlowAsk, 0, i, () => {}));

Deno.test("what is due comes out once, in the order of its times", () => {
  const due = new DueTimes();
  const [a, b, c] = items(3);
  due.set(a, 30);
  due.set(b, 10);
  due.set(c, Infinity);
  deepStrictEqual([due.next(), due.take(9), due.take(30) === b, due.take(30) === a], [10, undefined, true, true]);
  deepStrictEqual([due.next(), due.take(1e9), due.size], [Infinity, undefined, 0]);
});

Deno.test("a later time takes the place of an earlier one, and what is forgotten is never due", () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(9), fc.nat(20)), { maxLength: 200 }), (steps) => {
    const due = new DueTimes();
    const all = items(10);
    const times = new Map<number, number>();
    for (const [i, time] of steps) {
      const atMs = time === 20 ? Infinity : time;
      if (time === 19) {
        due.forget(all[i]);
        times.delete(i);
      } else {
        due.set(all[i], atMs);
        times.set(i, atMs);
      }
      equal(due.next(), Math.min(Infinity, ...times.values()));
    }
    const finite = [...times].filter(([, time]) => time < Infinity);
    const taken: number[] = [];
    for (let item = due.take(100); item; item = due.take(100)) taken.push(item.number);
    deepStrictEqual([...taken].sort(), finite.map(([i]) => i).sort());
    deepStrictEqual(taken.map((i) => times.get(i)), finite.map(([, time]) => time).sort((a, b) => a! - b!));
    equal(due.size, 0);
  }));
});

Deno.test("what was set again, or forgotten, does not pile up", () => {
  const due = new DueTimes();
  const all = items(1000);
  for (let round = 0; round < 20; round++) for (const item of all) due.set(item, 1000 * round + item.number);
  ok(due.size <= 2 * all.length + 64, `${due.size} entries`);
  for (const item of all) due.forget(item);
  ok(due.size <= 64, `${due.size} entries`);
  equal(due.next(), Infinity);
});
