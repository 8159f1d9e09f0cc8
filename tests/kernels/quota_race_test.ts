import { equal, ok } from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { QuotaTable, rateOf } from "../../src/keys/mod.ts";
import type { QuotaRacerJob, QuotaRacerReport } from "./quota_racer.ts";

Deno.test("threads that draw, settle, enter and leave at once lose nothing and never pass a limit", async () => {
  const capacity = 2, isolates = 4, placesMax = 2, perMinute = 50_000;
  const buffer = new SharedArrayBuffer(QuotaTable.bytes(capacity, isolates));
  const inside = new SharedArrayBuffer(8);
  const workers = Array.from({ length: isolates }, () => new Worker(new URL("./quota_racer.ts", import.meta.url)));
  const reports = await Promise.all(
    workers.map((worker, isolate) =>
      new Promise<QuotaRacerReport>((resolve, reject) => {
        worker.on("message", resolve);
        worker.on("error", reject);
        const job: QuotaRacerJob = {
          ...{ buffer, capacity, isolates, isolate, perMinute, placesMax, rounds: 30_000, inside },
        };
        worker.postMessage(job);
      })
    ),
  );
  await Promise.all(workers.map((worker) => worker.terminate()));
  const sum = (of: (report: QuotaRacerReport) => number) => reports.reduce((sum, report) => sum + of(report), 0);
  const table = new QuotaTable(capacity, isolates, buffer);
  const shown = JSON.stringify(reports);
  equal(table.state(1, "tokens", rateOf(perMinute), 0).remaining, perMinute - sum(({ used }) => used), shown);
  equal(table.inFlight(1), 0, shown);
  ok(reports.every(({ most }) => most <= placesMax), shown);
  ok(sum(({ entered }) => entered) > 1000 && sum(({ used }) => used) > 1000, shown);
  equal(table.state(0, "tokens", rateOf(perMinute), 0).remaining, perMinute);
});
