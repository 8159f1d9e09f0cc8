import { deepStrictEqual, equal, ok, throws } from "node:assert/strict";
import { changedFaults, faultsOnWire, FaultSource, noFaults, parseFaultHeader } from "./faults.ts";

Deno.test("changedFaults() takes known fields only, all or nothing", () => {
  const changed = changedFaults(noFaults, { "status-rate": 0.25, "status-code": 429, "refuse": true });
  deepStrictEqual(changed, { ...noFaults, statusRate: 0.25, statusCode: 429, refuse: true });
  deepStrictEqual(changedFaults(noFaults, faultsOnWire(changed)), changed);
  throws(() => changedFaults(noFaults, { "status-rate": 0.5, "speed": 1 }), /speed: must be one of refuse, refuse-ms/);
  throws(
    () => changedFaults(noFaults, { "status-rate": 2 }),
    /status-rate: must be a number from 0 to 1: current value is 2/,
  );
  throws(() => changedFaults(noFaults, { "status-code": 503.5 }), /status-code/);
  throws(() => changedFaults(noFaults, { "refuse": 1 }), /refuse: must be true or false/);
  throws(() => changedFaults(noFaults, { "toString": 1 }), /toString/);
  throws(() => changedFaults(noFaults, [1]), /must be a JSON object/);
});

Deno.test("FaultSource strikes at its rates, the same way for the same seed and name", () => {
  const faults = { ...noFaults, statusRate: 0.3, resetRate: 0.2, stallRate: 0.1 };
  const draw = (seed: number, name: string) => {
    const source = new FaultSource(faults, seed, name);
    return Array.from({ length: 10_000 }, () => source.next()?.kind);
  };
  const kinds = draw(1, "a");
  const count = (kind: string | undefined) => kinds.filter((each) => each === kind).length;
  // 3,000, then 20 % of 7,000 and 10 % of 5,600; five deviations are at most 230.
  ok(Math.abs(count("status") - 3000) < 230, `${count("status")}`);
  ok(Math.abs(count("reset") - 1400) < 180, `${count("reset")}`);
  ok(Math.abs(count("stall") - 560) < 120, `${count("stall")}`);
  deepStrictEqual(draw(1, "a"), kinds);
  ok(draw(1, "b").some((kind, i) => kind !== kinds[i]));
  equal(new FaultSource(noFaults, 1, "a").next(), undefined);
});

Deno.test("parseFaultHeader() reads each form and nothing else", () => {
  deepStrictEqual(parseFaultHeader("status=503"), { kind: "status", status: 503 });
  deepStrictEqual(parseFaultHeader("reset-after=3"), { kind: "reset", after: 3 });
  deepStrictEqual(parseFaultHeader("stall"), { kind: "stall", after: 1, ms: 0 });
  deepStrictEqual(parseFaultHeader("stall=5"), { kind: "stall", after: 5, ms: 0 });
  deepStrictEqual(parseFaultHeader("stall-first"), { kind: "stall", after: -1, ms: 0 });
  for (const text of ["", "status", "status=200", "reset-after", "reset-after=-1", "stall=x", "fire"]) {
    equal(parseFaultHeader(text), undefined, text);
  }
});
