// One of several threads that enter and leave the same endpoints at once.
import { parentPort } from "node:worker_threads";
import { EndpointTable, Prng } from "../../src/core/mod.ts";

export interface EnterRacerJob {
  readonly buffer: SharedArrayBuffer;
  readonly endpoints: number;
  readonly isolates: number;
  readonly isolate: number;
  readonly rounds: number;
  /** How many are at each endpoint, beside the table's own count; the last counts threads that are ready. */
  readonly inside: SharedArrayBuffer;
}

export interface EnterRacerReport {
  readonly entered: number;
  readonly full: number;
  /** Most that were at an endpoint at once when this thread was. */
  readonly most: readonly number[];
}

parentPort!.once("message", ({ buffer, endpoints, isolates, isolate, rounds, inside }: EnterRacerJob) => {
  const table = new EndpointTable(endpoints, buffer, 0, { isolates, isolate });
  const prng = new Prng(isolate), counts = new Int32Array(inside), most = new Array<number>(endpoints).fill(0);
  const held: number[] = [];
  const leave = () => {
    const slot = held.splice(prng.below(held.length), 1)[0];
    Atomics.sub(counts, slot, 1);
    table.inflight(slot, -1, 0, 0);
  };
  let entered = 0, full = 0;
  Atomics.add(counts, endpoints, 1);
  while (Atomics.load(counts, endpoints) < isolates);
  for (let round = 0; round < rounds; round++) {
    const slot = prng.below(endpoints);
    if (table.tryEnter(slot, 1)) {
      entered++;
      held.push(slot);
      most[slot] = Math.max(most[slot], Atomics.add(counts, slot, 1) + 1);
    } else full++;
    if (held.length > prng.below(5)) leave();
  }
  while (held.length > 0) leave();
  parentPort!.postMessage({ entered, full, most } satisfies EnterRacerReport);
});
