import { deepStrictEqual, ok } from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { endpointMeta, EndpointState, EndpointTable } from "../../src/core/mod.ts";
import type { EnterRacerJob, EnterRacerReport } from "./enter_racer.ts";

Deno.test("threads that enter endpoints at once never pass a capacity and leave nothing behind", async () => {
  const capacities = [1, 2, 3], endpoints = capacities.length, isolates = 2;
  const buffer = new SharedArrayBuffer(EndpointTable.bytes(endpoints, isolates));
  const table = new EndpointTable(endpoints, buffer, 0, { isolates });
  capacities.forEach((capacity, i) => {
    table.requestCapacity[table.add(endpointMeta({ host: "h", port: i + 1 }), EndpointState.Ready)] = capacity;
  });
  const inside = new SharedArrayBuffer(4 * (endpoints + 1));
  const workers = Array.from({ length: isolates }, () => new Worker(new URL("./enter_racer.ts", import.meta.url)));
  const reports = await Promise.all(
    workers.map((worker, isolate) =>
      new Promise<EnterRacerReport>((resolve, reject) => {
        worker.on("message", resolve);
        worker.on("error", reject);
        worker.postMessage(
          { buffer, endpoints, isolates, isolate, rounds: 200_000, inside } satisfies EnterRacerJob,
        );
      })
    ),
  );
  await Promise.all(workers.map((worker) => worker.terminate()));
  const shown = JSON.stringify(reports);
  ok(reports.every(({ most }) => most.every((most, slot) => most <= capacities[slot])), shown);
  ok(reports.every(({ entered, full }) => entered > 1000 && full > 1000), shown);
  deepStrictEqual([...table.requests], [0, 0, 0], shown);
  for (let isolate = 0; isolate < isolates; isolate++) deepStrictEqual(table.releaseIsolate(isolate), 0);
});
