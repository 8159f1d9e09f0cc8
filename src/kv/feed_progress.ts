/** What of a feed has been applied, and whether that is all. */
import type { Clock, Timer } from "../core/mod.ts";
import type { KvBatch } from "../protocol/mod.ts";
import type { FeedPosition } from "./feeds/types.ts";
import { AppliedBatches, type Seen } from "./feed_order.ts";
import type { FeedCheckpoint } from "./feed_types.ts";
import type { Mirror } from "./mirror.ts";

/** Batches whose timestamps are remembered. */
const rememberedBatches = 1024;

export class Progress {
  readonly #mirror: Mirror;
  readonly #clock: Clock;
  readonly #doubtTtlMs: number;
  readonly #applied = new AppliedBatches(rememberedBatches);
  #epoch = "";
  #seq = -1;
  #timestamp = 0;
  #firstTimestamp = 0;
  #hole = "nothing was told yet";
  #told = false;
  #rebuilding = false;
  #doubtedAtMs = -Infinity;
  #orphans: Timer | undefined;
  #stopped = false;
  readonly #onOrphansLost: () => void;
  /** Batches applied. */
  batches = 0;

  /** `onOrphansLost` is called when changes were given up as the block they are about did not become known. */
  constructor(mirror: Mirror, clock: Clock, doubtTtlMs: number, onOrphansLost: () => void) {
    this.#onOrphansLost = onOrphansLost;
    this.#mirror = mirror;
    this.#clock = clock;
    this.#doubtTtlMs = doubtTtlMs;
  }

  get position(): FeedPosition {
    return { epoch: this.#epoch, seq: this.#seq };
  }

  get epoch(): string {
    return this.#epoch;
  }

  /** Last batch applied; -1 for none. */
  get seq(): number {
    return this.#seq;
  }

  /** Publisher's Unix seconds of the last batch applied; 0 when not told. */
  get timestamp(): number {
    return this.#timestamp;
  }

  /** The same of the first batch of the publisher's life that was applied. */
  get firstTimestamp(): number {
    return this.#firstTimestamp;
  }

  /** Whether anything is known of the cache. */
  get told(): boolean {
    return this.#told;
  }

  /** Everything since a fully known cache has been applied. */
  get whole(): boolean {
    return this.#hole === "";
  }

  /** What is missing; "" when nothing is. */
  get hole(): string {
    return this.#hole;
  }

  /** The history is being applied anew over what was known. */
  get rebuilding(): boolean {
    return this.#rebuilding;
  }

  /** True when the batch dropped the whole cache, so that all is known from there on. */
  apply(batch: KvBatch): boolean {
    const { cleared, hole } = this.#mirror.apply(batch, this.#clock.now());
    this.batches++;
    this.#seq = batch.seq;
    this.#told = true;
    this.#applied.add(batch.seq, batch.unreadable ? NaN : batch.timestamp);
    if (!batch.unreadable) {
      this.#timestamp = batch.timestamp;
      this.#firstTimestamp ||= batch.timestamp;
    }
    if (cleared) this.complete();
    if (hole !== undefined) this.lose(hole);
    this.#watchOrphans();
    return cleared;
  }

  /** Whether the batch applied under this number was this one. */
  compare(batch: KvBatch): Seen {
    return this.#applied.compare(batch);
  }

  /** The cache is known in full. */
  complete(): void {
    this.#hole = "";
    this.#told = true;
    this.#doubtedAtMs = -Infinity;
  }

  /** Not all is known, for a reason that does not make what is known doubtful. */
  lack(reason: string): void {
    this.#hole = reason;
  }

  /** Something was missed. What is known is kept, and dropped only where nothing confirms it for `doubtTtlMs` or more. */
  lose(reason: string): void {
    this.#hole = reason;
    this.#rebuilding = false;
    const nowMs = this.#clock.now();
    if (nowMs - this.#doubtedAtMs < this.#doubtTtlMs) return;
    if (this.#doubtedAtMs > -Infinity) this.#mirror.dropDoubted();
    this.#mirror.doubt();
    this.#doubtedAtMs = nowMs;
  }

  /** The publisher is another: its cache is empty, its history unknown. */
  renew(): void {
    this.#mirror.renew();
    this.forget();
    this.#firstTimestamp = 0;
    this.#rebuilding = false;
    this.#doubtedAtMs = -Infinity;
    this.#hole = "the engine restarted";
  }

  /** Gives up the position, not what is known. */
  forget(): void {
    this.#epoch = "";
    this.#seq = -1;
    this.#timestamp = 0;
    this.#applied.clear();
  }

  /** The whole cache is told anew: what is known goes unless it is told again. */
  beginRebuild(): void {
    this.forget();
    this.#mirror.beginRebuild();
    this.#rebuilding = true;
  }

  endRebuild(): void {
    if (!this.#rebuilding) return;
    this.#rebuilding = false;
    this.#mirror.endRebuild();
  }

  /** Applies a part of a snapshot; returns what was lost of it. */
  applyPart(batch: KvBatch): string | undefined {
    const { hole } = this.#mirror.apply(batch, this.#clock.now());
    this.#watchOrphans();
    return hole;
  }

  /** Stands where a snapshot was taken. */
  adopt(position: FeedPosition): void {
    this.forget();
    this.#epoch = position.epoch;
    this.#seq = position.seq;
    this.#told = true;
  }

  stop(): void {
    this.#stopped = true;
    this.#orphans?.cancel();
  }

  checkpoint(): FeedCheckpoint {
    return {
      epoch: this.#epoch,
      seq: this.#seq,
      timestamp: this.#timestamp,
      firstTimestamp: this.#firstTimestamp,
      whole: this.whole && !this.#rebuilding && this.#mirror.waiting === 0,
      mirror: this.#mirror.state,
    };
  }

  resume({ epoch, seq, timestamp, firstTimestamp, whole }: FeedCheckpoint): void {
    this.adopt({ epoch, seq });
    this.#timestamp = timestamp;
    this.#firstTimestamp = firstTimestamp;
    if (seq >= 0) this.#applied.add(seq, timestamp);
    this.#hole = whole ? "" : "something was missed before the router started";
  }

  #watchOrphans(): void {
    const dueMs = this.#mirror.waitingUntilMs;
    if (dueMs === undefined || this.#orphans || this.#stopped) return;
    this.#orphans = this.#clock.after(Math.max(0, dueMs - this.#clock.now()), () => {
      this.#orphans = undefined;
      const lost = this.#mirror.expire(this.#clock.now());
      if (lost > 0 && this.whole) this.lack("changes were about blocks that are not known");
      this.#watchOrphans();
      this.#onOrphansLost();
    }, { background: true });
  }
}
