import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import fc from "fast-check";
import { alignedClock, type Clock, sleep, systemClock, VirtualClock, within } from "./clock.ts";

Deno.test("VirtualClock fires timers by due time, then by the order they were set", () => {
  fc.assert(fc.property(fc.array(fc.nat(50), { maxLength: 60 }), (delays) => {
    const clock = new VirtualClock();
    const fired: [number, number][] = [];
    delays.forEach((delay, i) => clock.after(delay, () => fired.push([clock.now(), i])));
    clock.advance(60);
    deepStrictEqual(fired, delays.map((delay, i): [number, number] => [delay, i]).sort((a, b) => a[0] - b[0]));
    equal(clock.now(), 60);
  }));
});

Deno.test("VirtualClock does not fire what was cancelled or lies beyond the time", () => {
  const clock = new VirtualClock();
  const fired: string[] = [];
  clock.after(5, () => fired.push("cancelled")).cancel();
  clock.after(20, () => fired.push("late"));
  clock.after(5, () => clock.after(5, () => fired.push("nested")));
  clock.advance(10);
  deepStrictEqual(fired, ["nested"]);
  equal(clock.step(15), false);
  equal(clock.step(), true);
  equal(clock.now(), 20);
});

Deno.test("sleep() resolves at its time, and rejects at once when aborted", async () => {
  const clock = new VirtualClock();
  const done = sleep(clock, 10);
  clock.advance(10);
  await done;
  const abort = new AbortController();
  const waiting = sleep(clock, 10, abort.signal);
  abort.abort(new Error("enough"));
  await rejects(waiting, /enough/);
  await rejects(sleep(clock, 10, abort.signal), /enough/);
  equal(clock.step(), false);
});

Deno.test("systemClock goes forward and cancels timers", async () => {
  const start = systemClock.now();
  systemClock.after(0, () => {
    throw new Error("was cancelled");
  }, { background: true }).cancel();
  await sleep(systemClock, 2);
  equal(systemClock.now() > start, true);
  equal(systemClock.wallMs() > 1_700_000_000_000, true);
});

Deno.test("alignedClock() reads as another isolate's clock does, whenever each began to count", () => {
  const wall = new VirtualClock();
  const begun = (atMs: number): Clock => ({
    now: () => wall.now() - atMs,
    wallMs: () => wall.wallMs(),
    after: (ms, fn) => wall.after(ms, fn),
  });
  wall.advance(1000);
  const control = begun(100), edge = alignedClock(begun(700), control.wallMs() - control.now());
  equal(edge.now(), control.now());
  wall.advance(250.5);
  equal(edge.now(), control.now());
  equal(edge.wallMs(), wall.wallMs());
});

Deno.test("within() ends with the work or at the deadline, whichever is first, and leaves no timer", async () => {
  const clock = new VirtualClock();
  await within(clock, 100, Promise.resolve());
  equal(clock.step(), false);
  const waiting = within(clock, 100, new Promise(() => {}));
  equal(clock.step(), true);
  equal(clock.now(), 100);
  await waiting;
  await rejects(within(clock, 100, Promise.reject(new Error("failed"))), /failed/);
  equal(clock.step(), false);
});
