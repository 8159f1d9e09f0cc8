import { deepStrictEqual, equal } from "node:assert/strict";
import fc from "fast-check";
import { type SloEntry, SloLedger } from "./slo_ledger.ts";
import { LatencyState } from "./state.ts";

Deno.test("SloLedger tells others the strictest target at each endpoint, and how many there are", () => {
  const state = new LatencyState(2, 2), seen = new LatencyState(2, 2, state.buffer);
  const a = new SloLedger(state, 0), b = new SloLedger(state, 1);
  const loose = a.enter(0, 50), strict = a.enter(0, 30);
  b.enter(0, 40);
  b.enter(1, 70);
  deepStrictEqual([seen.strictestTpotMs(0), seen.tpotSlos(0)], [30, 3]);
  deepStrictEqual([seen.strictestTpotMs(1), seen.tpotSlos(1)], [70, 1]);
  a.leave(0, strict);
  deepStrictEqual([seen.strictestTpotMs(0), seen.tpotSlos(0)], [40, 2]);
  // Its isolate died: who takes its seat begins with nothing.
  state.releaseIsolate(1);
  new SloLedger(state, 1).enter(1, 90);
  deepStrictEqual([seen.strictestTpotMs(0), seen.strictestTpotMs(1), seen.tpotSlos(1)], [50, 90, 1]);
  a.leave(0, loose);
  deepStrictEqual([seen.strictestTpotMs(0), seen.tpotSlos(0)], [0, 0]);
});

Deno.test("SloLedger is empty when everyone has left, in whatever order, and keeps no target that was not entered", () => {
  const request = fc.record({ slot: fc.nat(2), ms: fc.constantFrom(10, 20, 30), leaves: fc.double({ noNaN: true }) });
  fc.assert(fc.property(fc.array(request, { maxLength: 30 }), (requests) => {
    const state = new LatencyState(3, 1), ledger = new SloLedger(state, 0);
    const running: { slot: number; ms: number; leaves: number; entry: SloEntry }[] = [];
    const stranger = { tpotMs: 10, firstAtMs: NaN };
    const check = () => {
      for (const slot of [0, 1, 2]) {
        const there = running.filter((request) => request.slot === slot).map(({ ms }) => ms);
        equal(state.tpotSlos(slot), there.length);
        equal(state.strictestTpotMs(slot), there.length === 0 ? 0 : Math.min(...there));
      }
    };
    for (const { slot, ms, leaves } of requests) {
      running.push({ slot, ms, leaves, entry: ledger.enter(slot, ms) });
      ledger.leave(slot, stranger);
      check();
    }
    for (const request of running.toSorted((a, b) => a.leaves - b.leaves)) {
      ledger.leave(request.slot, request.entry);
      running.splice(running.indexOf(request), 1);
      check();
    }
    ledger.leave(0, stranger);
    check();
  }));
});

Deno.test("SloLedger gives its own isolate each request at an endpoint, as long as it is there", () => {
  const state = new LatencyState(2, 2);
  const ledger = new SloLedger(state, 0), other = new SloLedger(state, 1);
  deepStrictEqual(ledger.at(1), []);
  const first = ledger.enter(1, 50), second = ledger.enter(1, 30);
  other.enter(1, 20);
  first.firstAtMs = 700;
  deepStrictEqual(ledger.at(1), [{ tpotMs: 50, firstAtMs: 700 }, { tpotMs: 30, firstAtMs: NaN }]);
  ledger.leave(1, first);
  deepStrictEqual(ledger.at(1), [second]);
  ledger.leave(1, second);
  deepStrictEqual([ledger.at(1), ledger.at(0)], [[], []]);
});

Deno.test("SloLedger.each() shows some of many requests, which stand for all of them", () => {
  const ledger = new SloLedger(new LatencyState(2, 1), 0);
  for (let i = 0; i < 64; i++) ledger.enter(0, 10 + i);
  for (let i = 0; i < 1000; i++) ledger.enter(1, 10 + i);
  const seen = (slot: number) => {
    let shown = 0, standsFor = 0, sum = 0;
    ledger.each(slot, ({ tpotMs }, count) => {
      shown++;
      standsFor += count;
      sum += tpotMs * count;
    });
    return { shown, standsFor, meanMs: sum / standsFor };
  };
  deepStrictEqual(seen(0), { shown: 64, standsFor: 64, meanMs: 41.5 });
  const { shown, standsFor, meanMs } = seen(1);
  equal(standsFor, 1000);
  equal(shown <= 64 && Math.abs(meanMs - 509.5) < 16, true, `${shown} of a mean of ${meanMs}`);
});
