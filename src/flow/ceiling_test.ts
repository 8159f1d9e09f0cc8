import { deepStrictEqual, equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { Ceilings } from "./ceiling.ts";
import { FlowBed } from "./flow_testing.ts";

const holdback = (domain: "rank" | "value", minCeiling = 0.4, maxCeiling = 1) =>
  ({ policy: "priority-holdback", minCeiling, maxCeiling, domain }) as const;
const priorities = [0, 10, -10, 100];

const close = (a: number, b: number) => ok(Math.abs(a - b) < 1e-12, `${a} is not ${b}`);

Deno.test("a static ceiling is the same for all", () => {
  const ceilings = new Ceilings({ policy: "static", threshold: 0.8 }, priorities);
  deepStrictEqual([100, 0, -10, 7].map((priority) => ceilings.of(priority)), [0.8, 0.8, 0.8, 0.8]);
  equal(ceilings.admits(100, 0.9), false);
});

Deno.test("holdback by rank falls in equal steps, by value with the priority; one priority has the most", () => {
  const rank = new Ceilings(holdback("rank"), priorities), value = new Ceilings(holdback("value"), priorities);
  [100, 10, 0, -10].forEach((priority, i) => {
    close(rank.of(priority), 1 - i * 0.6 / 3);
    close(value.of(priority), 0.4 + (priority + 10) / 110 * 0.6);
  });
  for (const domain of ["rank", "value"] as const) {
    equal(new Ceilings(holdback(domain, 0.4, 0.9), [5]).of(5), 0.9);
    equal(new Ceilings(holdback(domain, 0.4, 0.9), [5, 5]).of(5), 0.9);
  }
});

Deno.test("a priority that is not known has the ceiling of the next below, or of the lowest", () => {
  const ceilings = new Ceilings(holdback("rank"), priorities);
  deepStrictEqual([1000, 50, 5, -5, -99].map((priority) => ceilings.of(priority)), [
    ...[100, 10, 0, -10, -10].map((priority) => ceilings.of(priority)),
  ]);
});

Deno.test("ceilings never rise as priority falls", () => {
  const config = fc.constantFrom(holdback("rank"), holdback("value"), { policy: "soft-reflective" } as const);
  fc.assert(fc.property(config, fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1 }), (config, known) => {
    const ceilings = new Ceilings(config, known);
    for (let priority = -60; priority < 60; priority++) ok(ceilings.of(priority) <= ceilings.of(priority + 1));
  }));
});

/** As llm-d has it: open, closed, or open on one of so many calls. */
function reflective(saturation: number, rank: number, count: number): number {
  if (count === 1 || rank === 0 || saturation < 1 - rank * saturation / (count - 1)) return 1;
  return saturation >= 1 ? Infinity : Math.max(1, Math.round(saturation / (1 - saturation + 1e-9)));
}

Deno.test("soft-reflective admits one of as many calls as the reference, by one tick for all", () => {
  for (const saturation of [0.3, 0.5, 0.55, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99, 1, 1.3]) {
    priorities.toSorted((a, b) => b - a).forEach((priority, rank) => {
      const ceilings = new Ceilings({ policy: "soft-reflective" }, priorities);
      const period = reflective(saturation, rank, priorities.length);
      const open = () => saturation < ceilings.of(priority) || ceilings.admits(priority, saturation);
      const calls = Array.from({ length: 300 }, open);
      if (rank === 0) deepStrictEqual(calls, calls.map(() => saturation < 1), "the highest is held by capacity alone");
      else deepStrictEqual(calls, calls.map((_, i) => (i + 1) % period === 0), `${priority} at ${saturation}`);
    });
  }
  const two = new Ceilings({ policy: "soft-reflective" }, [2, 1, 0]);
  deepStrictEqual([two.admits(1, 0.75), two.admits(0, 0.75), two.admits(1, 0.75)], [false, false, true]);
  equal(new Ceilings({ policy: "soft-reflective" }, [0]).of(0), 1);
});

Deno.test("a request waits below capacity where its priority's ceiling ends, a higher one goes", () => {
  const bed = new FlowBed([10], { ceiling: holdback("rank", 0.5) }, [1]);
  bed.asks(7);
  equal(bed.table.requests[0], 5);
  bed.asks(7, { priority: 1 });
  deepStrictEqual([bed.table.requests[0], bed.flow.size], [10, 4]);
  bed.done(0, 2);
  deepStrictEqual([bed.table.requests[0], bed.flow.size], [10, 2]);
  bed.done(0, 5);
  equal(bed.flow.size, 2);
  bed.done(0);
  equal(bed.flow.size, 1);
});

Deno.test("soft-reflective lets a low request in now and then while the endpoint is not full", () => {
  const bed = new FlowBed([4], { ceiling: { policy: "soft-reflective" } }, [1]);
  bed.asks(3, { priority: 1 });
  const low = bed.asks(3);
  deepStrictEqual(low.map((id) => bed.at(id)), [0, "waits", "waits"], "on the third look");
});
