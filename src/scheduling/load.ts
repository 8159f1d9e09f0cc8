import type { EndpointTable } from "../core/mod.ts";
import type { LoadView } from "./types.ts";

/** Computes {@link LoadView} for the candidates of one decision into columns that are reused. */
export class EffectiveLoad implements LoadView {
  readonly waiting: Float64Array;
  readonly running: Float64Array;
  readonly kvUsage: Float64Array;
  readonly fresh: Uint8Array;

  constructor(readonly table: EndpointTable, readonly staleAfterMs: number) {
    this.waiting = new Float64Array(table.capacity);
    this.running = new Float64Array(table.capacity);
    this.kvUsage = new Float64Array(table.capacity);
    this.fresh = new Uint8Array(table.capacity);
  }

  refresh(slots: Uint16Array, n: number, nowMs: number): void {
    const { table, waiting, running, kvUsage, fresh } = this;
    let known = 0, waitingSum = 0, runningSum = 0, kvSum = 0;
    for (let i = 0; i < n; i++) {
      const slot = slots[i];
      fresh[slot] = table.sampleAgeMs(slot, nowMs) <= this.staleAfterMs ? 1 : 0;
      if (fresh[slot] === 0) continue;
      known++;
      waiting[slot] = table.waiting[slot];
      running[slot] = Math.max(table.running[slot], table.requests[slot] - table.waiting[slot]);
      kvUsage[slot] = table.kvUsage[slot];
      waitingSum += waiting[slot];
      runningSum += running[slot];
      kvSum += kvUsage[slot];
    }
    if (known === n) return;
    for (let i = 0; i < n; i++) {
      const slot = slots[i];
      if (fresh[slot] === 1) continue;
      const own = table.requests[slot];
      waiting[slot] = known > 0 ? waitingSum / known : own;
      running[slot] = known > 0 ? Math.max(runningSum / known, own - waiting[slot]) : own;
      kvUsage[slot] = known > 0 ? kvSum / known : 0;
    }
  }
}
