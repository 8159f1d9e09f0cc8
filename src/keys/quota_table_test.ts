import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import fc from "fast-check";
import { type Bucket, QuotaTable, rateOf } from "./quota_table.ts";

const seat = { row: 3, generation: 0 };

Deno.test("draw() empties a bucket of one minute's worth, which refills without pause", () => {
  const table = new QuotaTable(8);
  const rate = rateOf(60);
  for (let i = 0; i < 60; i++) equal(table.draw(3, "requests", 1, rate, 5), 0);
  equal(table.state(3, "requests", rate, 5).remaining, 0);
  equal(table.draw(3, "requests", 1, rate, 5), 1000);
  equal(table.draw(3, "requests", 1, rate, 505), 500);
  equal(table.draw(3, "requests", 1, rate, 1005), 0);
  equal(table.state(3, "requests", rate, 31_005).remaining, 30);
  deepStrictEqual(table.state(3, "requests", rate, 1e6), { remaining: 60, resetMs: 0 });
  // The other bucket and the other rows are untouched.
  equal(table.state(3, "tokens", rate, 5).remaining, 60);
  equal(table.state(2, "requests", rate, 5).remaining, 60);
});

Deno.test("draw() never gives what no bucket holds, and nothing costs nothing", () => {
  const table = new QuotaTable(4);
  const rate = rateOf(10);
  equal(table.draw(0, "tokens", 11, rate, 0), Infinity);
  equal(table.state(0, "tokens", rate, 0).remaining, 10);
  equal(table.draw(0, "tokens", 10, rate, 0), 0);
  equal(table.draw(0, "tokens", 0, rate, 0), 0);
});

Deno.test("what is used beyond its reservation is a debt that refilling pays first, within an hour", () => {
  const table = new QuotaTable(4);
  const rate = rateOf(100);
  equal(table.draw(0, "tokens", 50, rate, 0), 0);
  table.settle(0, "tokens", 150, rate, 0);
  deepStrictEqual(table.state(0, "tokens", rate, 0), { remaining: 0, resetMs: 120_000 });
  equal(table.draw(0, "tokens", 1, rate, 0), 60_600);
  equal(table.state(0, "tokens", rate, 90_000).remaining, 50);
  table.settle(0, "tokens", 2 ** 31, rate, 90_000);
  equal(table.state(0, "tokens", rate, 90_000).resetMs, 3_600_000);
});

Deno.test("rates from 1 to 10^9 a minute hold what they say to 0.2 %", () => {
  for (const perMinute of [1, 7, 60, 999, 1e6, 123_456_789, 1e9]) {
    const rate = rateOf(perMinute);
    const table = new QuotaTable(1);
    equal(table.draw(0, "tokens", perMinute, rate, 1e9), 0);
    ok(table.draw(0, "tokens", 1, rate, 1e9) > 0);
    const { resetMs } = table.state(0, "tokens", rate, 1e9);
    ok(Math.abs(resetMs - 60_000) <= 120, `${perMinute}: ${resetMs}`);
  }
});

/** A bucket as the textbook has it: a level that time raises and requests lower. */
class Level {
  level: number;
  #atMs = 0;

  constructor(readonly limit: number) {
    this.level = limit;
  }

  at(nowMs: number): number {
    this.level = Math.min(this.limit, this.level + (nowMs - this.#atMs) * this.limit / 60_000);
    this.#atMs = nowMs;
    return this.level;
  }
}

// A limit whose pieces are whole units of time, so that the model's numbers are exact.
const limit = 6000;

Deno.test("under any interleaving of draws, settlements and time the table is the textbook's bucket", () => {
  const step = fc.oneof(
    fc.record({ do: fc.constant("draw" as const), pieces: fc.integer({ min: 1, max: 7000 }) }),
    fc.record({ do: fc.constant("settle" as const), which: fc.nat(), used: fc.nat(7000) }),
    fc.record({ do: fc.constant("wait" as const), ms: fc.nat(30_000) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const table = new QuotaTable(2, 1);
      const rate = rateOf(limit), model = new Level(limit);
      const open: number[] = [];
      let nowMs = 0, net = 0;
      for (const step of steps) {
        if (step.do === "wait") nowMs += step.ms;
        else if (step.do === "draw") {
          const fits = step.pieces <= Math.floor(model.at(nowMs) + 1e-6);
          equal(table.draw(1, "tokens", step.pieces, rate, nowMs) === 0, fits);
          if (!fits) continue;
          model.level -= step.pieces;
          open.push(step.pieces);
          net += step.pieces;
        } else if (open.length > 0) {
          const [drawn] = open.splice(step.which % open.length, 1);
          // Not more than was drawn: so the sum of what was used keeps to the limit at all times.
          const used = Math.min(step.used, drawn);
          model.at(nowMs);
          table.settle(1, "tokens", used - drawn, rate, nowMs);
          model.level = Math.min(limit, model.level + drawn - used);
          net += used - drawn;
        }
        const { remaining, resetMs } = table.state(1, "tokens", rate, nowMs);
        ok(remaining >= 0 && remaining <= limit);
        ok(Math.abs(remaining - model.at(nowMs)) <= 1, `${remaining} and ${model.level}`);
        ok(resetMs >= 0 && resetMs <= 60_000);
        ok(net <= limit + nowMs * limit / 60_000 + 1e-6, `${net} used by ${nowMs} ms`);
      }
    }),
    { seed: 11, numRuns: 500 },
  );
});

Deno.test("enter() lets in so many at once over all isolates, and none beyond", () => {
  const table = new QuotaTable(8, 3);
  equal(table.enter(seat, 0, 2), "entered");
  equal(table.enter(seat, 1, 2), "entered");
  equal(table.enter(seat, 2, 2), "full");
  table.leave(3, 0);
  equal(table.enter(seat, 2, 2), "entered");
  equal(table.inFlight(3), 2);
  equal(table.enter(seat, 0), "entered");
  equal(table.inFlight(3), 3);
  equal(table.inFlight(2), 0);
});

Deno.test("releaseAll() gives back what a dead isolate held, and no other's", () => {
  const table = new QuotaTable(8, 2);
  const other = { row: 0, generation: 0 };
  for (const isolate of [0, 0, 1]) table.enter(seat, isolate, 3);
  table.enter(other, 0);
  equal(table.enter(seat, 1, 3), "full");
  table.releaseAll(0);
  deepStrictEqual([table.inFlight(3), table.inFlight(0)], [1, 0]);
  equal(table.enter(seat, 1, 3), "entered");
});

Deno.test("a retired row lets nobody in who knew it before", () => {
  const table = new QuotaTable(8);
  table.enter(seat, 0);
  table.retire(3);
  equal(table.enter(seat, 0), "gone");
  equal(table.inFlight(3), 1);
  equal(table.enter({ row: 3, generation: table.generation(3) }, 0), "entered");
});

Deno.test("tables over one buffer see the same rows, wherever in it they lie", () => {
  const offset = 64;
  const buffer = new SharedArrayBuffer(offset + QuotaTable.bytes(5, 3));
  const [a, b] = [new QuotaTable(5, 3, buffer, offset), new QuotaTable(5, 3, buffer, offset)];
  const rate = rateOf(10);
  for (const bucket of ["requests", "tokens"] satisfies Bucket[]) {
    equal(a.draw(4, bucket, 7, rate, 0), 0);
    equal(b.state(4, bucket, rate, 0).remaining, 3);
  }
  a.enter({ row: 4, generation: 0 }, 2);
  a.retire(4);
  deepStrictEqual([b.inFlight(4), b.generation(4)], [1, 1]);
  ok(new Uint8Array(buffer, 0, offset).every((byte) => byte === 0));
  throws(() => new QuotaTable(5, 3, buffer, 4), /multiple of 8/);
});
