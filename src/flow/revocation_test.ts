import { deepStrictEqual, equal } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { Revocations } from "./revocation.ts";

function scene() {
  const clock = new VirtualClock();
  const revoked: number[] = [], ended: string[] = [], issued: number[] = [];
  const revocations = new Revocations({
    clock,
    revoke: (_edge, id) => void revoked.push(id),
    observer: { issued: (priority) => issued.push(priority), ended: (how, ms) => ended.push(`${how} ${ms}`) },
  });
  return { clock, revocations, revoked, ended, issued };
}

Deno.test("the lowest priority is taken back first, of equal ones the newest, two at once", () => {
  const { revocations, revoked, issued } = scene();
  revocations.placed(1, 1, 0, -1);
  revocations.placed(1, 2, 0, -5);
  revocations.placed(1, 3, 0, -5);
  revocations.placed(1, 4, 1, -9);
  revocations.blocked(10, 5, 0);
  deepStrictEqual(revoked, [3, 2]);
  deepStrictEqual(issued, [10, 10]);
  revocations.blocked(10, 5, 0);
  deepStrictEqual(revoked, [3, 2], "not before these have let go");
  equal(revocations.pending, 2);
  revocations.begun(1, 3);
  revocations.blocked(10, 5, 0);
  deepStrictEqual(revoked, [3, 2, 1]);
});

Deno.test("no more than wait, none of the same or a higher priority, and nothing for those below 0 but lower ones", () => {
  const { revocations, revoked } = scene();
  revocations.placed(1, 1, 0, -1);
  revocations.placed(1, 2, 0, -1);
  revocations.blocked(-1, 3, 0);
  revocations.blocked(-2, 3, 0);
  deepStrictEqual(revoked, []);
  revocations.blocked(0, 1, 0);
  deepStrictEqual(revoked, [2]);
});

Deno.test("what has begun its answer is left alone", () => {
  const { revocations, revoked } = scene();
  revocations.placed(1, 1, 0, -1);
  revocations.begun(1, 1);
  revocations.begun(1, 1);
  revocations.blocked(0, 1, 0);
  deepStrictEqual(revoked, []);
  equal(revocations.size, 0);
});

Deno.test("what does not let go within 10 s is given up, and how long the others took is told", () => {
  const { clock, revocations, revoked, ended } = scene();
  revocations.placed(1, 1, 0, -1);
  revocations.placed(1, 2, 0, -1);
  revocations.blocked(0, 2, 0);
  clock.advance(30);
  revocations.begun(1, 2);
  clock.advance(10_000);
  revocations.blocked(0, 2, 0);
  deepStrictEqual(ended, ["confirmed 30", "timed_out 10030"]);
  equal(revocations.size, 0);
  deepStrictEqual(revoked, [2, 1]);
});

Deno.test("requests of an edge that is gone are forgotten", () => {
  const { revocations, revoked } = scene();
  revocations.placed(1, 1, 0, -1);
  revocations.placed(2, 1, 0, -1);
  revocations.abandon(1);
  equal(revocations.size, 1);
  revocations.blocked(0, 2, 0);
  deepStrictEqual(revoked, [1]);
});
