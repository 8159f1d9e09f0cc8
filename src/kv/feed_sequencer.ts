/** Puts a feed's batches in order: waits for what is missing, has it replayed, and goes on without what cannot be had. */
import type { Clock, Timer } from "../core/mod.ts";
import type { KvBatch } from "../protocol/mod.ts";
import type { Continuity } from "./feed_continuity.ts";
import { HeldBatches } from "./feed_order.ts";
import type { Progress } from "./feed_progress.ts";
import { type ReplayOwner, Replays } from "./feed_replays.ts";
import type { FeedOptions } from "./feed_types.ts";
import type { FeedSource } from "./feeds/types.ts";

/** The feed, as its sequencer sees it. */
export interface SequencerHost {
  readonly linkIsUp: boolean;
  /** Has the publisher tell its whole cache anew; for publishers that can. */
  askSnapshot(reason: string): void;
  /** Replays do not bring what is missing. */
  troubled(reason: string): void;
  /** The state may have changed. */
  update(): void;
}

export interface SequencerParts {
  readonly source: FeedSource;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly continuity: Continuity;
  readonly host: SequencerHost;
}

export class Sequencer implements ReplayOwner {
  readonly counts = { gaps: 0, restarts: 0, duplicates: 0 };
  readonly #clock: Clock;
  readonly #progress: Progress;
  readonly #continuity: Continuity;
  readonly #host: SequencerHost;
  readonly #reorderMs: number;
  readonly #held: HeldBatches;
  readonly #replays: Replays;
  /** Batches came early: the timer that ends the wait for what is missing. */
  #window: Timer | undefined;
  /** A snapshot is coming: batches wait for its end. */
  #paused = false;
  /** What is known is being read: batches wait until it has been. */
  #standsStill = false;
  /** Highest number of a batch of this publisher's life that came, applied or not. */
  #newestSeq: number;
  /** The same of those held since nothing was missing, also where the link was lost meanwhile. */
  #newestHeldSeq = -1;

  constructor(parts: SequencerParts, options: FeedOptions) {
    const { source, clock, progress } = parts;
    this.#clock = clock;
    this.#progress = progress;
    this.#continuity = parts.continuity;
    this.#host = parts.host;
    this.#reorderMs = options.reorderMs;
    this.#held = new HeldBatches(options.heldBatchesMax, options.heldBytesMax);
    this.#replays = new Replays({ source, clock, progress, owner: this }, options);
    this.#newestSeq = progress.seq;
  }

  /** What is being fetched or waited for; "" when nothing is. */
  get task(): string {
    if (this.#paused) return "a snapshot is coming";
    if (this.#replays.running) return this.#replays.task;
    return this.#window ? `batches after ${this.#progress.seq} are missing` : "";
  }

  /** Batches that wait for one before them. */
  get held(): number {
    return this.#held.size;
  }

  /** Replays asked for. */
  get replays(): number {
    return this.#replays.count;
  }

  /** A live batch. */
  offer(batch: KvBatch): void {
    this.#newestSeq = Math.max(this.#newestSeq, batch.seq);
    if (this.#replays.running || this.#paused || this.#standsStill) this.#hold(batch);
    else this.#take(batch);
  }

  /** Live batches wait until `goOn`. False, and nothing done, while something is being fetched or waited for. */
  standStill(): boolean {
    if (this.task !== "") return false;
    this.#standsStill = true;
    return true;
  }

  goOn(): void {
    if (!this.#standsStill) return;
    this.#standsStill = false;
    for (const batch of this.#held.takeAll()) this.offer(batch);
    this.#host.update();
  }

  /** The link to a publisher without lives of its own is up. */
  linkUp(): void {
    if (this.#replays.possible) this.#replays.resync();
    else if (this.#progress.seq >= 0) this.#continuity.awaitProof();
  }

  /** The link is lost, and with it what was about to come. */
  linkDown(): void {
    const open = this.#held.size > 0 || this.#replays.running;
    this.#replays.cancel();
    this.#closeWindow();
    if (this.#paused) this.#progress.lose("a snapshot broke off");
    else if (this.#progress.rebuilding) this.#progress.lose("the history broke off");
    this.#paused = false;
    if (!this.#replays.possible) this.#giveUp("batches are missing and the link was lost");
    // Held batches come again with the replay after the next connect.
    this.#held.clear();
    if (open) this.#continuity.raise("batches are missing and the link was lost");
  }

  /** A snapshot is coming: what came before it does not count. */
  pause(): void {
    this.#replays.cancel();
    this.#closeWindow();
    this.#held.clear();
    this.#paused = true;
  }

  /** The snapshot is applied: batches go on after it. */
  resume(): void {
    this.#paused = false;
    this.#newestSeq = this.#progress.seq;
    this.#newestHeldSeq = -1;
    for (const batch of this.#held.takeAll()) this.offer(batch);
  }

  /** Gives up the position, not what is known. */
  forget(): void {
    this.#held.clear();
    this.#newestSeq = this.#newestHeldSeq = -1;
    this.#progress.forget();
  }

  /** Fetches the whole history now, if it can be had, and else from time to time. */
  heal(): void {
    if (this.#host.linkIsUp) this.#replays.heal();
    this.#replays.planHeal();
  }

  /** Tries to heal in a while. */
  planHeal(): void {
    this.#replays.planHeal();
  }

  /** The publisher is known, from elsewhere, to have started over. */
  restart(): void {
    if (this.#replays.possible) return this.restarted();
    this.#held.clear();
    this.#renew();
  }

  async stop(): Promise<void> {
    this.#closeWindow();
    await this.#replays.stop();
  }

  /** A replay's batch, whose turn it is. */
  replayed(batch: KvBatch): void {
    this.#apply(batch);
  }

  early(batch: KvBatch): void {
    this.#newestSeq = Math.max(this.#newestSeq, batch.seq);
    this.#hold(batch);
  }

  get idle(): boolean {
    return this.#host.linkIsUp && this.task === "" && !this.#standsStill;
  }

  get firstHeld(): number | undefined {
    return this.#held.first;
  }

  /** What was held may be of the new life. */
  restarted(): void {
    const newestSeq = this.#newestHeldSeq;
    this.#renew();
    this.#newestSeq = this.#newestHeldSeq = newestSeq;
  }

  replayEnded(continuous: boolean): void {
    if (continuous) this.#continuity.certain();
    for (const batch of this.#held.takeAll()) this.offer(batch);
    if (!this.#window && !this.#replays.running) {
      if (this.#progress.seq >= this.#newestSeq) this.#settled();
      else this.#openWindow();
    }
    this.#host.update();
  }

  replayFailed(reason: string): void {
    this.#host.troubled(reason);
    this.#giveUp(reason);
    this.#host.update();
  }

  update(): void {
    this.#host.update();
  }

  /** A live batch while nothing is being fetched. */
  #take(batch: KvBatch): void {
    const { seq, whole } = this.#progress;
    const next = seq >= 0 ? seq + 1 : whole ? this.#replays.firstSeq : batch.seq;
    if (batch.seq < next) return this.#late(batch);
    if (batch.seq > next) return this.#gap(batch);
    if (this.#continuity.awaitsBatch && batch.timestamp > 0 && batch.timestamp <= this.#progress.timestamp) {
      return this.#startOver(batch);
    }
    if (seq < 0 && !whole) this.#begin(batch);
    this.#continuity.batchFollows();
    this.#apply(batch);
    for (let more = this.#held.take(batch.seq + 1); more; more = this.#held.take(more.seq + 1)) this.#apply(more);
    if (this.#progress.seq >= this.#newestSeq) this.#settled();
  }

  /** The first batch of all, from a source that cannot replay. */
  #begin(batch: KvBatch): void {
    if (this.#replays.isBeginning(batch.seq)) this.#progress.complete();
    else this.#progress.lack(`what came before batch ${batch.seq} is unknown`);
  }

  #late(batch: KvBatch): void {
    const seen = this.#progress.compare(batch);
    const { timestamp, epoch } = this.#progress;
    const newer = batch.timestamp > timestamp;
    // Without timestamps nothing tells a repeated batch from a new life; engines do not repeat.
    const untold = !batch.unreadable && batch.timestamp === 0 && timestamp === 0 && epoch === "";
    if (seen === "other" || untold || (seen === "unknown" && newer)) this.#startOver(batch);
    else this.counts.duplicates++;
  }

  #hold(batch: KvBatch): void {
    this.#newestHeldSeq = Math.max(this.#newestHeldSeq, batch.seq);
    this.#held.addLatest(batch);
  }

  #gap(batch: KvBatch): void {
    this.#newestHeldSeq = Math.max(this.#newestHeldSeq, batch.seq);
    this.#held.add(batch);
    if (!this.#window) {
      this.counts.gaps++;
      this.#openWindow();
    }
    if (this.#held.full) this.#windowOver();
  }

  #openWindow(): void {
    this.#window = this.#clock.after(this.#reorderMs, () => this.#windowOver(), { background: true });
  }

  #windowOver(): void {
    this.#closeWindow();
    if (this.#replays.possible) this.#replays.resync();
    else this.#giveUp(`batches ${this.#progress.seq + 1} to ${(this.#held.first ?? 0) - 1} are lost`);
    this.#host.update();
  }

  #closeWindow(): void {
    this.#window?.cancel();
    this.#window = undefined;
  }

  /** Nothing is missing between the batches applied. */
  #settled(): void {
    this.#closeWindow();
    this.#newestHeldSeq = -1;
    this.#replays.settled();
    this.#progress.endRebuild();
  }

  /** Goes on without what is missing. */
  #giveUp(reason: string): void {
    this.#closeWindow();
    this.#replays.cancel();
    const held = this.#held.takeAll();
    if (held.length > 0 || this.#replays.possible) this.#progress.lose(reason);
    if (this.#progress.epoch !== "" && held.length > 0) return this.#host.askSnapshot(reason);
    for (const batch of held) {
      const { seq } = this.#progress;
      if (this.#replays.running) this.offer(batch);
      else if (batch.seq <= seq) this.#late(batch);
      else {
        if (batch.seq > seq + 1) this.#progress.lose(reason);
        this.#continuity.batchFollows();
        this.#apply(batch);
      }
    }
    if (!this.#replays.running) {
      this.#newestSeq = this.#progress.seq;
      this.#newestHeldSeq = -1;
    }
    this.#replays.planHeal();
  }

  /** `batch` showed that the publisher started over, and is of its new life. */
  #startOver(batch: KvBatch): void {
    this.#held.clear();
    this.#renew();
    this.offer(batch);
  }

  #renew(): void {
    this.counts.restarts++;
    this.#newestSeq = this.#newestHeldSeq = -1;
    this.#closeWindow();
    this.#replays.renew();
    this.#progress.renew();
    this.#continuity.certain();
    if (this.#host.linkIsUp && this.#replays.possible) this.#replays.resync();
  }

  #apply(batch: KvBatch): void {
    // When the whole cache was dropped, whatever was missed is over.
    if (this.#progress.apply(batch)) this.#continuity.certain();
    if (!this.#progress.whole) this.#replays.planHeal();
  }
}
