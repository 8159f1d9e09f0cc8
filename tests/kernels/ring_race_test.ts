/** Rings and the bell over real threads: what several isolates tell one. */
import { deepStrictEqual, equal } from "node:assert/strict";
import { Worker } from "node:worker_threads";
import { Doorbell, RecordRing, sleep, systemClock } from "../../src/core/mod.ts";
import type { RingWriterJob } from "./ring_writer.ts";

Deno.test("two writers tell one listener everything once and in order, and it sleeps in between", async () => {
  const records = 50_000, words = 1 << 10;
  const bell = new SharedArrayBuffer(Doorbell.bytes);
  const writers = [1, 2].map((kind) => {
    const buffer = new SharedArrayBuffer(RecordRing.bytes(words));
    const worker = new Worker(new URL("./ring_writer.ts", import.meta.url));
    const failed = new Promise<never>((_, reject) => worker.on("error", reject));
    const job: RingWriterJob = { kind, records, words, buffer, bell };
    worker.postMessage(job);
    return { kind, worker, failed, ring: new RecordRing(words, buffer), seen: 0, wrong: 0 };
  });
  let looks = 0;
  const listening = new Doorbell(bell).listen(() => {
    looks++;
    for (const writer of writers) {
      writer.ring.drain((kind, [number], hashes) => {
        const right = kind === writer.kind && number === writer.seen && hashes.length === number % 7 &&
          hashes.every((hash, i) => hash === BigInt(number + i));
        if (!right) writer.wrong++;
        writer.seen++;
      });
    }
    return writers.some(({ seen }) => seen < records);
  }, () => sleep(systemClock, 0));
  await Promise.race([listening, ...writers.map(({ failed }) => failed)]);
  await Promise.all(writers.map(({ worker }) => worker.terminate()));
  deepStrictEqual(writers.map(({ seen, wrong }) => [seen, wrong]), [[records, 0], [records, 0]]);
  equal(looks < records * 2, true, `one look takes many records: ${looks}`);
});
