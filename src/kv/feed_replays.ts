/** Fetches what a feed missed from its publisher's buffer. */
import { type Clock, reasonOf, type Timer } from "../core/mod.ts";
import type { KvBatch } from "../protocol/mod.ts";
import type { Progress } from "./feed_progress.ts";
import type { FeedOptions } from "./feed_types.ts";
import type { FeedSource } from "./feeds/types.ts";
import { readReplay } from "./replay.ts";

/** Whom replays serve. */
export interface ReplayOwner {
  /** A batch whose turn it is. */
  replayed(batch: KvBatch): void;
  /** A batch after others that the replay left out. */
  early(batch: KvBatch): void;
  /** Lowest number of the live batches that wait; undefined when none does. */
  readonly firstHeld: number | undefined;
  /** The link is up and nothing is missing or being fetched. */
  readonly idle: boolean;
  /** The publisher turned out to be another one than before. */
  restarted(): void;
  /** A replay is over; `continuous`: what it did not bring is known to be missing. */
  replayEnded(continuous: boolean): void;
  /** Replays do not bring what is missing. */
  replayFailed(reason: string): void;
  update(): void;
}

export interface ReplaysParts {
  readonly source: FeedSource;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly owner: ReplayOwner;
}

interface Run {
  readonly abort: AbortController;
  /** Asks for the whole history, to put it in place of what is known. */
  readonly heal: boolean;
  /** Position at the start. */
  readonly startSeq: number;
  /** A batch came. */
  begun: boolean;
  continuous: boolean;
  restarted: boolean;
}

/**
 * A replay asks from the last batch applied, that one included: its timestamp tells whether the publisher is still the
 * same. Without a position, and to heal, it asks from the beginning.
 */
export class Replays {
  readonly #parts: ReplaysParts;
  readonly #options: FeedOptions;
  readonly #reads = new Set<Promise<void>>();
  #firstSeq: number;
  #run: Run | undefined;
  #retry: Timer | undefined;
  #heal: Timer | undefined;
  /** Replays in a row that failed or brought nothing. */
  #fruitless = 0;
  /** The publisher no longer has its first batch. */
  #beginningGone = false;
  /** A replay began one after the first number and ended here: see `#provesBeginning`. */
  #lateBeginning: { readonly seq: number; readonly endSeq: number } | undefined;
  #count = 0;

  constructor(parts: ReplaysParts, options: FeedOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#firstSeq = parts.source.firstSeq ?? 0;
  }

  /** Whether the source can replay. */
  get possible(): boolean {
    return this.#parts.source.replay !== undefined;
  }

  get running(): boolean {
    return this.#run !== undefined || this.#retry !== undefined;
  }

  /** What is being fetched, for people. */
  get task(): string {
    if (this.#run?.heal || this.#parts.progress.seq < 0) return "the publisher's history is being replayed";
    return `batches from ${this.#parts.progress.seq + 1} are being replayed`;
  }

  /** Replays asked for. */
  get count(): number {
    return this.#count;
  }

  /** Number of the publisher's first batch. */
  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** Whether a batch of this number is the publisher's first. */
  isBeginning(seq: number): boolean {
    return seq === 0 || seq === this.#firstSeq;
  }

  /** Fetches what follows the last batch applied. */
  resync(): void {
    if (this.running) return;
    if (this.#fruitless >= this.#options.replayAttemptsMax) {
      this.#fruitless = 0;
      this.#parts.owner.replayFailed("the publisher does not replay what is missing");
    } else this.#start(false);
  }

  /** Fetches the whole history, if the publisher still has it. */
  heal(): void {
    if (this.possible && !this.running && !this.#beginningGone) this.#start(true);
  }

  /** Tries to heal in a while. */
  planHeal(): void {
    if (!this.possible || this.#beginningGone || this.#heal) return;
    this.#heal = this.#parts.clock.after(this.#options.healMs, () => {
      this.#heal = undefined;
      const { progress, owner } = this.#parts;
      if (progress.whole) return;
      if (owner.idle) this.heal();
      this.planHeal();
    }, { background: true });
  }

  /** Nothing is missing. */
  settled(): void {
    this.#fruitless = 0;
  }

  /** Ends the replay that runs; its owner is not told. */
  cancel(): void {
    this.#run?.abort.abort();
    this.#run = undefined;
    this.#retry?.cancel();
    this.#retry = undefined;
  }

  /** The publisher is another. */
  renew(): void {
    this.cancel();
    this.#fruitless = 0;
    this.#beginningGone = false;
    this.#lateBeginning = undefined;
  }

  async stop(): Promise<void> {
    this.cancel();
    this.#heal?.cancel();
    this.#beginningGone = true;
    await Promise.all(this.#reads);
  }

  #start(heal: boolean): void {
    const { source, clock, progress, owner } = this.#parts;
    const abort = new AbortController();
    const startSeq = progress.seq;
    const run: Run = { abort, heal, startSeq, begun: false, continuous: false, restarted: false };
    this.#run = run;
    this.#count++;
    const parts = { source, clock, signal: abort.signal, idleMs: this.#options.replayIdleMs };
    const read = readReplay(
      parts,
      heal ? 0 : Math.max(0, startSeq),
      (batch) => this.#run === run && this.#take(run, batch),
    )
      .then(() => this.#ended(run), (error) => this.#failed(run, error))
      .finally(() => this.#reads.delete(read));
    this.#reads.add(read);
    owner.update();
  }

  /** False ends the replay. */
  #take(run: Run, batch: KvBatch): boolean {
    const { progress, owner } = this.#parts;
    if (!run.begun) {
      run.begun = true;
      return run.heal || progress.seq < 0 ? this.#history(run, batch) : this.#continues(run, batch);
    }
    if (batch.seq > progress.seq + 1) {
      owner.early(batch);
      return false;
    }
    if (batch.seq === progress.seq + 1) owner.replayed(batch);
    return true;
  }

  /** The first batch that the publisher has. */
  #history(run: Run, batch: KvBatch): boolean {
    const { progress, owner } = this.#parts;
    const beginning = this.#provesBeginning(batch.seq) || this.isBeginning(batch.seq);
    if (!beginning) this.#noteBeginning(batch.seq);
    if (run.heal) {
      if (!beginning) return false;
      progress.beginRebuild();
    }
    if (beginning) progress.complete();
    else progress.lack(`what came before batch ${batch.seq} is unknown`);
    run.continuous = true;
    owner.replayed(batch);
    return true;
  }

  /** The first batch the publisher has from the last one applied on. */
  #continues(run: Run, batch: KvBatch): boolean {
    const { progress, owner } = this.#parts;
    const { seq } = progress;
    run.continuous = true;
    const seen = batch.seq === seq ? progress.compare(batch) : "unknown";
    run.restarted = seen === "other";
    if (seen !== "unknown") return seen === "same";
    if (batch.seq > seq + 1) progress.lose(`batches ${seq + 1} to ${batch.seq - 1} are lost`);
    else progress.lose("it is not known whether the engine restarted");
    if (batch.seq > seq) {
      this.#beginningGone = true;
      owner.replayed(batch);
    }
    return true;
  }

  #ended(run: Run): void {
    if (this.#run !== run) return;
    this.#run = undefined;
    const { progress, owner } = this.#parts;
    if (run.restarted) return owner.restarted();
    if (!run.begun && progress.seq >= 0) {
      // A publisher always has its last batch, so one with none from ours on is at the beginning of another life.
      if ((owner.firstHeld ?? -1) <= progress.seq) return owner.restarted();
      return this.#failed(run, new Error("the publisher gave nothing"));
    }
    if (!run.begun) {
      run.continuous = true;
      progress.complete();
    }
    const late = this.#lateBeginning;
    if (late?.endSeq === Infinity) this.#lateBeginning = { seq: late.seq, endSeq: progress.seq };
    if (progress.seq > run.startSeq) this.#fruitless = 0;
    else this.#fruitless++;
    owner.replayEnded(run.continuous);
    if (!progress.whole) this.planHeal();
  }

  #failed(run: Run, error: unknown): void {
    if (run.abort.signal.aborted) return;
    this.#run = undefined;
    const { clock, owner } = this.#parts;
    if (++this.#fruitless >= this.#options.replayAttemptsMax) {
      this.#fruitless = 0;
      return owner.replayFailed(`a replay failed: ${reasonOf(error)}`);
    }
    this.#retry = clock.after(this.#options.replayRetryMs * 2 ** (this.#fruitless - 1), () => {
      this.#retry = undefined;
      this.#start(run.heal && !run.begun);
    }, { background: true });
    owner.update();
  }

  /**
   * Some publishers count from 1. That 1 was the first is proven when a second replay begins there as well though more
   * was published meanwhile: a buffer that had dropped a batch before would have dropped this one.
   */
  #provesBeginning(seq: number): boolean {
    const late = this.#lateBeginning;
    const proven = late?.seq === seq && this.#parts.progress.seq > late.endSeq;
    if (proven) this.#firstSeq = seq;
    return proven;
  }

  #noteBeginning(seq: number): void {
    const applied = this.#parts.progress.seq;
    if (seq !== this.#firstSeq + 1) this.#beginningGone = true;
    // Without a position the end is where this replay ends.
    else this.#lateBeginning ??= { seq, endSeq: applied >= 0 ? applied : Infinity };
  }
}
