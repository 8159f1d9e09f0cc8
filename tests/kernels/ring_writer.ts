// A writer on another thread: numbered records, each with a few hashes that follow from its number.
import { parentPort } from "node:worker_threads";
import { Doorbell, RecordRing } from "../../src/core/mod.ts";

export interface RingWriterJob {
  readonly kind: number;
  readonly records: number;
  readonly words: number;
  readonly buffer: SharedArrayBuffer;
  readonly bell: SharedArrayBuffer;
}

parentPort!.once("message", ({ kind, records, words, buffer, bell }: RingWriterJob) => {
  const ring = new RecordRing(words, buffer);
  const doorbell = new Doorbell(bell);
  for (let number = 0; number < records;) {
    const hashes = BigUint64Array.from({ length: number % 7 }, (_, i) => BigInt(number + i));
    // No room: the listener is behind.
    if (ring.push(kind, [number], hashes)) number++;
    doorbell.ring();
  }
});
