import { equal, ok } from "node:assert/strict";
import fc from "fast-check";
import { readReport, reportNumbers } from "./attempt.ts";
import {
  beginRound,
  BreakerState,
  currentRound,
  freePermits,
  givePermit,
  mayPass,
  noPermit,
  takePermit,
} from "./breaker.ts";
import { endpointMeta } from "./endpoint.ts";
import { EndpointTable } from "./endpoint_table.ts";

function halfOpen(permits: number): { table: EndpointTable; slot: number } {
  const table = new EndpointTable(4);
  table.add(endpointMeta({ host: "a", port: 1 }));
  const slot = table.add(endpointMeta({ host: "b", port: 1 }));
  table.breaker[slot] = BreakerState.HalfOpen;
  beginRound(table, slot, permits);
  return { table, slot };
}

Deno.test("takePermit() asks nothing of a closed circuit and gives no more than a half-open one has", () => {
  const { table, slot } = halfOpen(2);
  equal(takePermit(table, 0), noPermit);
  const [first, second] = [takePermit(table, slot), takePermit(table, slot)];
  ok(first > 0 && second === first);
  equal(takePermit(table, slot), -1);
  equal(mayPass(table, slot), false);
  givePermit(table, slot, first);
  equal(freePermits(table, slot), 1);
  ok(mayPass(table, slot));
  table.breaker[slot] = BreakerState.Open;
  equal(mayPass(table, slot), false);
  equal(takePermit(table, slot), -1);
});

Deno.test("givePermit() of an earlier round adds nothing to the running one", () => {
  const { table, slot } = halfOpen(1);
  const late = takePermit(table, slot);
  beginRound(table, slot, 1);
  const now = takePermit(table, slot);
  givePermit(table, slot, late);
  equal(freePermits(table, slot), 0);
  givePermit(table, slot, now);
  equal(freePermits(table, slot), 1);
});

Deno.test("permits are never more than a round's, whatever is taken, given back and begun", () => {
  const step = fc.oneof(
    fc.constant("take" as const),
    fc.record({ give: fc.nat(20) }),
    fc.record({ begin: fc.integer({ min: 1, max: 5 }) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const { table, slot } = halfOpen(3);
    let size = 3, round = currentRound(table, slot);
    const held: { permit: number; round: number }[] = [];
    for (const step of steps) {
      if (step === "take") {
        const permit = takePermit(table, slot);
        if (permit > 0) held.push({ permit, round });
      } else if ("give" in step) {
        const [given] = held.splice(step.give % Math.max(1, held.length), 1);
        if (given) givePermit(table, slot, given.permit);
      } else {
        size = step.begin;
        beginRound(table, slot, size);
        round = currentRound(table, slot);
      }
      const ofThisRound = held.filter((one) => one.round === round).length;
      equal(freePermits(table, slot) + ofThisRound, size);
    }
  }));
});

Deno.test("rounds wrap without ever being taken for no permit", () => {
  const { table, slot } = halfOpen(1);
  table.permits[slot] = ((1 << 22) - 1) << 8;
  beginRound(table, slot, 1);
  equal(takePermit(table, slot), 1);
});

Deno.test("isolates that race for permits never hold more than there are", async () => {
  const { table, slot } = halfOpen(3);
  const shared = new Int32Array(new SharedArrayBuffer(8));
  const code = `
    import { takePermit, givePermit } from ${JSON.stringify(import.meta.resolve("./breaker.ts"))};
    self.onmessage = ({ data: { breaker, permits, slot, shared } }) => {
      const table = { breaker, permits };
      let taken = 0;
      while (taken < 5_000) {
        const permit = takePermit(table, slot);
        if (permit < 0) continue;
        taken++;
        const now = Atomics.add(shared, 0, 1) + 1;
        for (let most; now > (most = Atomics.load(shared, 1)); Atomics.compareExchange(shared, 1, most, now));
        Atomics.sub(shared, 0, 1);
        givePermit(table, slot, permit);
      }
      self.postMessage(taken);
    };`;
  const url = URL.createObjectURL(new Blob([code], { type: "application/typescript" }));
  const workers = Array.from({ length: 5 }, () => new Worker(url, { type: "module" }));
  const done = workers.map((worker) =>
    new Promise<number>((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage({ breaker: table.breaker, permits: table.permits, slot, shared });
    })
  );
  await Promise.all(done);
  for (const worker of workers) worker.terminate();
  URL.revokeObjectURL(url);
  ok(shared[1] <= 3, `${shared[1]} at once`);
  equal(freePermits(table, slot), 3);
});

Deno.test("a report crosses isolates as numbers", () => {
  const report = { slot: 3, generation: 9, end: 4, firstTokenMs: NaN, workTokens: 1234, permit: 7 } as const;
  const read = readReport(Float64Array.from(reportNumbers(report)));
  equal(JSON.stringify(read), JSON.stringify(report));
  ok(Number.isNaN(read.firstTokenMs));
});
