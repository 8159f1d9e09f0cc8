/** Changes of one cache, gathered for a few milliseconds, numbered, and kept for readers that come back. */
import { create } from "@bufbuild/protobuf";
import type { Clock, KvTier, Timer } from "../core/mod.ts";
import { packHashes, wireTier } from "../kv/mod.ts";
import { warmpathFeed } from "../proto/mod.ts";

export interface DeltaLogOptions {
  /** Changes are gathered for so long, unless nothing was written as long before: then they go out at once. @default {5} */
  readonly flushMs: number;
  /** Deltas kept. @default {16_384}: 80 s of changes without a pause. */
  readonly deltasMax: number;
  /** Bytes of hashes kept. @default {16 MiB}: 2 M changes, a cache of 60,000 blocks replaced 17 times. */
  readonly bytesMax: number;
  /** Hashes in one delta; more are spread over several. @default {8192} */
  readonly deltaHashesMax: number;
}

export const deltaLogDefaults: DeltaLogOptions = {
  flushMs: 5,
  deltasMax: 16_384,
  bytesMax: 16 << 20,
  deltaHashesMax: 8192,
};

/** What a delta counts for in `bytesMax` beside its hashes. */
const deltaOverheadBytes = 256;

interface Kept {
  readonly message: warmpathFeed.FeedMessage;
  readonly bytes: number;
}

/**
 * The position of a cache's history: `seq` is the last delta, 0 when there was none. A block that comes and goes between
 * two deltas is in neither.
 */
export class DeltaLog {
  readonly #clock: Clock;
  readonly #options: DeltaLogOptions;
  readonly #onWritten: () => void;
  /** By tier: hash → whether it came (true) or went since the last delta. */
  readonly #pending = wireTier.map(() => new Map<bigint, boolean>());
  #cleared = false;
  #kept = new Map<number, Kept>();
  #bytes = 0;
  #seq = 0;
  #oldest = 1;
  #writtenAtMs = -Infinity;
  #timer?: Timer;
  #due = false;
  #closed = false;

  constructor(clock: Clock, onWritten: () => void, options: Partial<DeltaLogOptions> = {}) {
    this.#clock = clock;
    this.#onWritten = onWritten;
    this.#options = { ...deltaLogDefaults, ...options };
  }

  get seq(): number {
    return this.#seq;
  }

  /** The oldest delta that can still be read; `seq + 1` when there is none. */
  get oldestSeq(): number {
    return this.#oldest;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Blocks whose presence on the tier changed: `present` now, the opposite before. */
  changed(tier: KvTier, hashes: BigUint64Array, present: boolean): void {
    if (hashes.length === 0) return;
    const pending = this.#pending[tier];
    for (const hash of hashes) {
      const before = pending.get(hash);
      // What came and went again, or the other way round, is as it was.
      if (before === undefined || before === present) pending.set(hash, present);
      else pending.delete(hash);
    }
    this.#schedule();
  }

  /** The whole cache is gone. */
  cleared(): void {
    for (const pending of this.#pending) pending.clear();
    this.#cleared = true;
    this.#schedule();
  }

  /** The cache changed in a way that no delta tells: readers need a snapshot. */
  invalidate(): void {
    for (const pending of this.#pending) pending.clear();
    this.#cleared = false;
    this.#disarm();
    this.#kept.clear();
    this.#bytes = 0;
    this.#seq++;
    this.#oldest = this.#seq + 1;
    this.#onWritten();
  }

  /** Writes what is pending, now. */
  flush(): void {
    this.#disarm();
    const deltas = new Deltas(this.#options.deltaHashesMax, this.#cleared);
    this.#cleared = false;
    // Goings before comings: a reader short of room has it freed first.
    for (const present of [false, true]) {
      this.#pending.forEach((pending, tier) => {
        for (const [hash, now] of pending) if (now === present) deltas.add(tier, present, hash);
      });
    }
    for (const pending of this.#pending) pending.clear();
    const written = deltas.finish();
    if (written.length === 0) return;
    for (const delta of written) this.#keep(delta);
    this.#writtenAtMs = this.#clock.now();
    this.#onWritten();
  }

  /** Delta `seq`; undefined when it is no longer kept or was not written yet. */
  read(seq: number): warmpathFeed.FeedMessage | undefined {
    return this.#kept.get(seq)?.message;
  }

  /** Writes nothing any more. */
  close(): void {
    this.#closed = true;
    this.#disarm();
  }

  #disarm(): void {
    this.#due = false;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #keep({ cleared, held, released, hashes }: Delta): void {
    const seq = ++this.#seq;
    const timestamp = this.#clock.wallMs() / 1000;
    const value = create(warmpathFeed.DeltaSchema, { seq: BigInt(seq), timestamp, cleared, held, released });
    const bytes = deltaOverheadBytes + hashes * 8;
    this.#kept.set(seq, {
      message: create(warmpathFeed.FeedMessageSchema, { message: { case: "delta", value } }),
      bytes,
    });
    this.#bytes += bytes;
    const { deltasMax, bytesMax } = this.#options;
    while (this.#kept.size > deltasMax || (this.#bytes > bytesMax && this.#kept.size > 1)) {
      this.#bytes -= this.#kept.get(this.#oldest)!.bytes;
      this.#kept.delete(this.#oldest++);
    }
  }

  #schedule(): void {
    if (this.#due || this.#closed) return;
    this.#due = true;
    const waitMs = this.#writtenAtMs + this.#options.flushMs - this.#clock.now();
    if (waitMs > 0) this.#timer = this.#clock.after(waitMs, () => this.flush(), { background: true });
    // After the calls of one batch, which come without a pause.
    else queueMicrotask(() => this.#due && !this.#closed && this.flush());
  }
}

/** Packed hashes of one tier. */
interface Packed {
  readonly tier: warmpathFeed.Tier;
  readonly hashes: Uint8Array;
}

interface Delta {
  readonly cleared: boolean;
  readonly held: Packed[];
  readonly released: Packed[];
  hashes: number;
}

/** Spreads changes over deltas of a bounded size. */
class Deltas {
  readonly #hashesMax: number;
  readonly #done: Delta[] = [];
  #current?: Delta;
  /** Gathered for one tier and direction, not in `#current` yet. */
  #run: bigint[] = [];
  #tier = 0;
  #present = false;

  constructor(hashesMax: number, cleared: boolean) {
    this.#hashesMax = hashesMax;
    if (cleared) this.#open(true);
  }

  add(tier: number, present: boolean, hash: bigint): void {
    if (tier !== this.#tier || present !== this.#present) this.#endRun();
    this.#tier = tier;
    this.#present = present;
    const delta = this.#current ?? this.#open(false);
    this.#run.push(hash);
    if (++delta.hashes < this.#hashesMax) return;
    this.#endRun();
    this.#current = undefined;
  }

  finish(): Delta[] {
    this.#endRun();
    return this.#done;
  }

  #open(cleared: boolean): Delta {
    this.#current = { cleared, held: [], released: [], hashes: 0 };
    this.#done.push(this.#current);
    return this.#current;
  }

  #endRun(): void {
    if (this.#run.length === 0) return;
    const blocks = { tier: wireTier[this.#tier], hashes: packHashes(BigUint64Array.from(this.#run)) };
    (this.#present ? this.#current!.held : this.#current!.released).push(blocks);
    this.#run = [];
  }
}
