/** What puts the batches of a feed in order: those that came early, and the memory of those that were applied. */
import type { KvBatch } from "../protocol/mod.ts";

/** About what a batch takes in memory. */
export function batchBytes(batch: KvBatch): number {
  let bytes = 64;
  for (const event of batch.events) {
    bytes += 96;
    if (event.kind !== "cleared") bytes += 8 * event.hashes.length;
    if (event.kind === "stored") bytes += event.tokens.byteLength;
  }
  return bytes;
}

/** Batches that came before their turn, by number. */
export class HeldBatches {
  readonly #batches = new Map<number, { batch: KvBatch; bytes: number }>();
  #bytes = 0;

  constructor(readonly batchesMax: number, readonly bytesMax: number) {}

  get size(): number {
    return this.#batches.size;
  }

  get full(): boolean {
    return this.#batches.size >= this.batchesMax || this.#bytes >= this.bytesMax;
  }

  /** A batch with a number already held replaces it: the publisher may have started over. */
  add(batch: KvBatch): void {
    this.#remove(batch.seq);
    const bytes = batchBytes(batch);
    this.#batches.set(batch.seq, { batch, bytes });
    this.#bytes += bytes;
  }

  /** The lowest number held; undefined when none is. */
  get first(): number | undefined {
    if (this.#batches.size === 0) return undefined;
    let first = Infinity;
    for (const seq of this.#batches.keys()) first = Math.min(first, seq);
    return first;
  }

  take(seq: number): KvBatch | undefined {
    const held = this.#batches.get(seq);
    this.#remove(seq);
    return held?.batch;
  }

  /** Adds a batch; beyond the limits the lowest numbers go, never the highest. */
  addLatest(batch: KvBatch): void {
    this.add(batch);
    while (this.#batches.size > 1 && (this.#batches.size > this.batchesMax || this.#bytes > this.bytesMax)) {
      this.#remove(this.first!);
    }
  }

  /** All, lowest number first; none is held afterwards. */
  takeAll(): KvBatch[] {
    const all = Array.from(this.#batches.values(), ({ batch }) => batch).sort((a, b) => a.seq - b.seq);
    this.clear();
    return all;
  }

  clear(): void {
    this.#batches.clear();
    this.#bytes = 0;
  }

  #remove(seq: number): void {
    const held = this.#batches.get(seq);
    if (!held) return;
    this.#batches.delete(seq);
    this.#bytes -= held.bytes;
  }
}

/** How a batch stands to what was applied before. */
export type Seen = "same" | "other" | "unknown";

/** Timestamps of the last batches applied. */
export class AppliedBatches {
  readonly #seqs: Float64Array;
  readonly #timestamps: Float64Array;

  constructor(capacity: number) {
    this.#seqs = new Float64Array(capacity).fill(-1);
    this.#timestamps = new Float64Array(capacity);
  }

  add(seq: number, timestamp: number): void {
    const at = seq % this.#seqs.length;
    this.#seqs[at] = seq;
    this.#timestamps[at] = timestamp;
  }

  /** Whether the batch applied under this number was this one. A batch that could not be read may be any. */
  compare({ seq, timestamp, unreadable }: KvBatch): Seen {
    const at = seq % this.#seqs.length;
    if (this.#seqs[at] !== seq) return "unknown";
    const known = this.#timestamps[at];
    return unreadable || Number.isNaN(known) || known === timestamp ? "same" : "other";
  }

  clear(): void {
    this.#seqs.fill(-1);
  }
}
