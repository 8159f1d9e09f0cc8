import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import fc from "fast-check";
import { sleep, VirtualClock } from "../core/mod.ts";
import { hedged, HedgeTiming } from "./hedge.ts";

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

async function run<T>(clock: VirtualClock, work: Promise<T>): Promise<T> {
  let over = false;
  void work.then(() => over = true, () => over = true);
  for (let i = 0; i < 100 && !over; i++) {
    await settle();
    if (!over) clock.step();
  }
  return work;
}

/** What comes after so long: its name, or a failure of that name. */
interface Course {
  readonly ms: number;
  readonly fails: boolean;
}

async function race(afterMs: number, first: Course, second: Course | undefined) {
  const clock = new VirtualClock();
  const begun: number[] = [];
  const go = async ({ ms, fails }: Course, name: string) => {
    await sleep(clock, ms);
    if (fails) throw new Error(name);
    return name;
  };
  const outcome = await run(
    clock,
    hedged(clock, afterMs, go(first, "first"), () => {
      begun.push(clock.now());
      return second && go(second, "second");
    }).catch((error: Error) => `no ${error.message}`),
  );
  return { outcome, begun, atMs: clock.now() };
}

Deno.test("hedged() begins a second only when the first takes too long, and gives what the faster gives", async () => {
  deepStrictEqual(await race(50, { ms: 40, fails: false }, { ms: 1, fails: false }), {
    outcome: "first",
    begun: [],
    atMs: 40,
  });
  deepStrictEqual(await race(50, { ms: 400, fails: false }, { ms: 10, fails: false }), {
    outcome: "second",
    begun: [50],
    atMs: 60,
  });
  equal((await race(50, { ms: 55, fails: false }, { ms: 10, fails: false })).outcome, "first");
  equal((await race(50, { ms: 400, fails: false }, undefined)).outcome, "first");
});

Deno.test("hedged() fails with the last failure when all have failed, and at once when there is one", async () => {
  deepStrictEqual(await race(50, { ms: 10, fails: true }, { ms: 1, fails: false }), {
    outcome: "no first",
    begun: [],
    atMs: 10,
  });
  equal((await race(50, { ms: 60, fails: true }, { ms: 30, fails: true })).outcome, "no second");
  equal((await race(50, { ms: 90, fails: true }, { ms: 30, fails: true })).outcome, "no first");
  equal((await race(50, { ms: 60, fails: true }, { ms: 30, fails: false })).outcome, "second");
});

Deno.test("hedged() gives the earliest success there is, whatever comes when", async () => {
  const course = fc.record({ ms: fc.nat(200), fails: fc.boolean() });
  await fc.assert(fc.asyncProperty(fc.nat(200), course, fc.option(course), async (afterMs, first, second) => {
    const { outcome, begun } = await race(afterMs, first, second ?? undefined);
    const hedges = first.ms > afterMs;
    equal(begun.length > 0 || first.ms === afterMs, hedges || first.ms === afterMs);
    const firstAt = first.fails ? Infinity : first.ms;
    const secondAt = begun.length > 0 && second && !second.fails ? afterMs + second.ms : Infinity;
    if (firstAt === Infinity && secondAt === Infinity) equal(outcome.startsWith("no "), true);
    else if (firstAt !== secondAt) equal(outcome, firstAt < secondAt ? "first" : "second");
  }));
});

Deno.test("hedged() passes on what its second throws as it begins", async () => {
  const clock = new VirtualClock();
  await rejects(run(clock, hedged(clock, 5, Promise.reject(new Error("gone")), () => undefined)), /gone/);
});

Deno.test("HedgeTiming waits as configured, or as long as most streams took once enough have been seen", () => {
  const timing = new HedgeTiming();
  const promptTokensMax = 100;
  equal(timing.delayMs({ promptTokensMax }), undefined);
  equal(timing.delayMs({ after: 70, promptTokensMax }), 70);
  for (let i = 1; i <= 49; i++) timing.observe(i * 10);
  equal(timing.delayMs({ after: "p95", promptTokensMax }), undefined);
  timing.observe(500);
  equal(timing.delayMs({ after: "p95", promptTokensMax }), 480);
  for (let i = 0; i < 512; i++) timing.observe(1);
  equal(timing.delayMs({ after: "p95", promptTokensMax }), 20, "never at once");
});
