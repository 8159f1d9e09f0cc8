import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Promises } from "./promises.ts";

Deno.test("a refused request is told whole seconds, and the same time again while it is promised", () => {
  const promises = new Promises();
  equal(promises.promise("k", "g", 0, 4200, 0), 5000);
  equal(promises.promise("k", "g", 100, 9000, 1500), 4000);
  equal(promises.promise("k", "g", 100, 9000, 4900), 1000);
  equal(promises.promise("new", "g", 0, 0, 0), 1000);
  equal(promises.promise(undefined, "g", 0, 2500, 0), 3000);
  deepStrictEqual([promises.size, promises.waiting("g", 0), promises.waiting("other", 0)], [2, 2, 0]);
});

Deno.test("whoever comes back in time has its first arrival, once", () => {
  const promises = new Promises();
  promises.promise("k", "g", 7, 10_000, 10);
  equal(promises.redeem("k", 9000), undefined, "too early");
  equal(promises.redeem("stranger", 9100), undefined);
  equal(promises.redeem("k", 9010), 7);
  deepStrictEqual([promises.redeem("k", 9010), promises.waiting("g", 9010), promises.size], [undefined, 0, 0]);
});

Deno.test("a promise ends a tenth of its wait after its time, and no less than five seconds", () => {
  const promises = new Promises();
  promises.promise("short", "g", 0, 1000, 0);
  promises.promise("long", "g", 0, 200_000, 0);
  deepStrictEqual([promises.waiting("g", 5999), promises.waiting("g", 6000)], [2, 0.98]);
  equal(promises.redeem("short", 6000), undefined);
  equal(promises.redeem("long", 219_999), 0);
  promises.promise("long", "g", 0, 200_000, 220_000);
  equal(promises.redeem("long", 440_000), undefined);
});

Deno.test("short promises end behind long ones that were made before", () => {
  const promises = new Promises();
  for (let i = 0; i < 20; i++) promises.promise(`long ${i}`, "slow", 0, 600_000, 0);
  for (let i = 0; i < 20; i++) promises.promise(`short ${i}`, "fast", 0, 1000, 0);
  equal(promises.waiting("fast", 7000), 0);
  equal(promises.size, 20);
  const expected = 20 * 0.98 ** 20;
  ok(Math.abs(promises.waiting("slow", 7000) - expected) < 1e-9, "fewer come back than were promised a turn");
});

Deno.test("no more than 65,536 promises are kept, and one that was let in before its time is forgotten", () => {
  const promises = new Promises();
  for (let i = 0; i < 65_537; i++) promises.promise(`k${i}`, "g", 0, 1000, 0);
  deepStrictEqual([promises.size, promises.promise("late", "g", 0, 2000, 0), promises.size], [65_536, 2000, 65_536]);
  promises.forget("k0");
  promises.forget("k0");
  equal(promises.waiting("g", 0), 65_535);
});
