// One of several threads that draw from one row of quotas at once.
import { parentPort } from "node:worker_threads";
import { Prng } from "../../src/core/mod.ts";
import { QuotaTable, rateOf } from "../../src/keys/mod.ts";

export interface QuotaRacerJob {
  readonly buffer: SharedArrayBuffer;
  readonly capacity: number;
  readonly isolates: number;
  readonly isolate: number;
  readonly perMinute: number;
  readonly placesMax: number;
  readonly rounds: number;
  /** How many threads are inside at once, beside the table's own count. */
  readonly inside: SharedArrayBuffer;
}

export interface QuotaRacerReport {
  /** Settled exactly. */
  readonly used: number;
  readonly entered: number;
  readonly full: number;
  readonly short: number;
  /** Most that were inside at once when this thread was. */
  readonly most: number;
}

parentPort!.once("message", (job: QuotaRacerJob) => {
  const table = new QuotaTable(job.capacity, job.isolates, job.buffer);
  const rate = rateOf(job.perMinute), prng = new Prng(job.isolate);
  const inside = new Int32Array(job.inside);
  const seat = { row: 1, generation: 0 };
  let used = 0, entered = 0, full = 0, short = 0, most = 0;
  // The threads begin together.
  Atomics.add(inside, 1, 1);
  while (Atomics.load(inside, 1) < job.isolates);
  for (let round = 0; round < job.rounds; round++) {
    if (table.enter(seat, job.isolate, job.placesMax) !== "entered") {
      full++;
      continue;
    }
    entered++;
    most = Math.max(most, Atomics.add(inside, 0, 1) + 1);
    // More than is kept of it: a debt would pass the limit by right.
    const pieces = 3 + prng.below(100);
    if (table.draw(1, "tokens", pieces, rate, 0) === 0) {
      const kept = prng.below(4);
      table.settle(1, "tokens", kept - pieces, rate, 0);
      used += kept;
    } else short++;
    Atomics.sub(inside, 0, 1);
    table.leave(1, job.isolate);
  }
  parentPort!.postMessage({ used, entered, full, short, most } satisfies QuotaRacerReport);
});
