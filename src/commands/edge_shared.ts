/** What all isolates of a router share besides the kernels' memory. */
import { Doorbell, RecordRing } from "../core/mod.ts";
import { keysAndTenantsMax } from "../config/mod.ts";
import { QuotaTable } from "../keys/mod.ts";
import { claimRingWords } from "../kv/mod.ts";
import { LatencyState } from "../latency/mod.ts";

/** Buffers that are mapped by every isolate; they can be sent to one. */
export interface SharedBuffers {
  readonly bell: SharedArrayBuffer;
  /** Rung when an endpoint that somebody waits for has room. */
  readonly roomBell: SharedArrayBuffer;
  /** Epoch of the configuration, then for each isolate its running requests, its heartbeats and its overload. */
  readonly words: SharedArrayBuffer;
  readonly quotas: SharedArrayBuffer;
  /** By isolate. */
  readonly rings: readonly SharedArrayBuffer[];
  /** What was learned of latencies. */
  readonly latency: SharedArrayBuffer;
}

/** Rows of keys that go stay until what they owe is paid back. */
const quotaRows = 2 * keysAndTenantsMax;

export function makeBuffers(isolates: number, slots: number): SharedBuffers {
  const rings = Array.from({ length: isolates }, () => new SharedArrayBuffer(RecordRing.bytes(claimRingWords)));
  const words = new SharedArrayBuffer(4 * (1 + 3 * isolates));
  const quotas = new SharedArrayBuffer(QuotaTable.bytes(quotaRows, isolates));
  const [bell, roomBell] = [new SharedArrayBuffer(Doorbell.bytes), new SharedArrayBuffer(Doorbell.bytes)];
  const { buffer: latency } = new LatencyState(slots, isolates);
  return { bell, roomBell, words, quotas, rings, latency };
}

/** One isolate's cells in the shared buffers. */
export class SharedCells {
  readonly bell: Doorbell;
  readonly roomBell: Doorbell;
  readonly ring: RecordRing;
  readonly epoch: Int32Array;
  /** Requests that have not ended. */
  readonly active: Int32Array;
  /** Grows while the isolate's event loop turns. */
  readonly beats: Int32Array;

  /** How much it refuses as it has too much to do; an `OverloadLevel`. */
  readonly overload: Int32Array;
  readonly quotas: QuotaTable;
  readonly latency: LatencyState;

  /** `slots` are those of the endpoint table. */
  constructor(
    { bell, roomBell, words, quotas, rings, latency }: SharedBuffers,
    readonly isolate: number,
    slots: number,
  ) {
    this.latency = new LatencyState(slots, rings.length, latency);
    this.bell = new Doorbell(bell);
    this.roomBell = new Doorbell(roomBell);
    this.ring = new RecordRing(claimRingWords, rings[isolate]);
    this.quotas = new QuotaTable(quotaRows, rings.length, quotas);
    this.epoch = new Int32Array(words, 0, 1);
    const own = (cell: number) => new Int32Array(words, 4 * (1 + 3 * isolate + cell), 1);
    this.active = own(0);
    this.beats = own(1);
    this.overload = own(2);
  }
}
