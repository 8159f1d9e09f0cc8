/**
 * One endpoint's feed: dials its source, puts batches in order, fills gaps by replay, notices when the publisher starts
 * over, and says how far what the tree holds of the endpoint can be relied on.
 *
 * Nothing is ever dropped because of a gap: what is known stays and is marked as doubtful. The state is LIVE only while
 * every batch since a fully known cache has been applied.
 */
import { type Clock, FeedState, type Timer } from "../core/mod.ts";
import type { KvBatch } from "../protocol/mod.ts";
import { Continuity } from "./feed_continuity.ts";
import { FeedLink, type LinkOwner } from "./feed_link.ts";
import { HeldBatches } from "./feed_order.ts";
import { Progress } from "./feed_progress.ts";
import { type ReplayOwner, Replays } from "./feed_replays.ts";
import { type Facts, type Standing, StandingKeeper } from "./feed_standing.ts";
import { type FeedCheckpoint, feedDefaults, type FeedOptions, type FeedParts, type FeedStatus } from "./feed_types.ts";
import type { FeedPosition, LoadSample } from "./feeds/types.ts";
import { Mirror } from "./mirror.ts";

export class EndpointFeed implements LinkOwner, ReplayOwner {
  readonly #parts: FeedParts;
  readonly #options: FeedOptions;
  readonly #clock: Clock;
  readonly #mirror: Mirror;
  readonly #progress: Progress;
  readonly #held: HeldBatches;
  readonly #link: FeedLink;
  readonly #replays: Replays;
  readonly #continuity: Continuity;
  readonly #counts = { gaps: 0, restarts: 0, duplicates: 0, snapshots: 0, distrusts: 0, strays: 0 };
  readonly #standing: StandingKeeper;
  #upstream: Standing | undefined;
  /** Batches came early: the timer that ends the wait for what is missing. */
  #window: Timer | undefined;
  #snapshot: { readonly position: FeedPosition; hole?: string } | undefined;
  /** The link is up, and the publisher's snapshot is to come. */
  #awaitsSnapshot = false;
  /** Highest number of a batch of this publisher's life that came, applied or not. */
  #newestSeq = -1;
  #distrustedAtMs = -Infinity;
  #lagMs = NaN;
  #stopped = false;

  constructor(parts: FeedParts, options: Partial<FeedOptions> = {}) {
    this.#parts = parts;
    this.#options = { ...feedDefaults, ...options };
    this.#clock = parts.clock;
    const { slot, source, tree, clock, rng, clear, onBlockTokens, resume } = parts;
    this.#mirror = new Mirror({ slot, tree, clear, onBlockTokens }, this.#options.orphans, resume?.mirror);
    this.#progress = new Progress(this.#mirror, clock, this.#options.doubtTtlMs, () => {
      if (!this.#progress.whole) this.#replays.planHeal();
      this.update();
    });
    this.#held = new HeldBatches(this.#options.heldBatchesMax, this.#options.heldBytesMax);
    this.#link = new FeedLink({ source, clock, rng, owner: this }, this.#options.backoff);
    this.#replays = new Replays({ source, clock, progress: this.#progress, owner: this }, this.#options);
    this.#continuity = new Continuity(clock, this.#options.graceMs, () => this.update());
    if (resume) {
      this.#progress.resume(resume);
      this.#newestSeq = resume.seq;
      this.#continuity.raise("nothing was told since the router started");
    }
    this.#standing = new StandingKeeper(clock, this.#facts(), parts.onState);
  }

  get state(): FeedState {
    return this.#standing.state;
  }

  start(): void {
    this.#link.start();
  }

  /** Ends for good; resolves when the source has. The slot keeps what it holds. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#closeWindow();
    this.#continuity.stop();
    this.#progress.stop();
    await Promise.all([this.#replays.stop(), this.#link.stop()]);
  }

  status(): FeedStatus {
    const { source } = this.#parts;
    const { events, orphans, orphansLost, unknownRemovals } = this.#mirror.counters;
    return {
      kind: source.kind,
      address: source.address,
      connected: this.#link.up,
      ...this.#standing.status,
      epoch: this.#progress.epoch,
      seq: this.#progress.seq,
      timestamp: this.#progress.timestamp,
      lagMs: this.#lagMs,
      held: this.#held.size,
      waiting: this.#mirror.waiting,
      linkError: this.#link.lastError,
      counters: {
        ...this.#counts,
        batches: this.#progress.batches,
        events,
        orphans,
        orphansLost,
        unknownRemovals,
        replays: this.#replays.count,
        reconnects: this.#link.reconnects,
        skipped: this.#mirror.skipped,
      },
    };
  }

  /** Where the feed stands, to be kept with what the tree holds of the slot at this moment. */
  checkpoint(): FeedCheckpoint {
    return this.#progress.checkpoint();
  }

  /** The engine's process started at this Unix time, by its own metrics. Say it after each reading. */
  restartHint(startSeconds: number): void {
    if (this.#stopped || this.#progress.epoch !== "" || this.#parts.source.kind === "agent") return;
    if (this.#continuity.started(startSeconds, this.#progress.firstTimestamp, this.#link.up)) {
      this.#held.clear();
      this.#restart();
    }
    this.update();
  }

  /**
   * The engine's own figures say that what is known is wrong: fetches it anew, or marks it as doubtful where that cannot
   * be done. False when nothing was done, as the feed is not LIVE or this was asked a short time ago.
   */
  distrust(reason: string): boolean {
    const nowMs = this.#clock.now();
    if (this.#stopped || this.state !== FeedState.Live) return false;
    if (nowMs - this.#distrustedAtMs < this.#options.distrustMs) return false;
    this.#distrustedAtMs = nowMs;
    this.#counts.distrusts++;
    this.#progress.lose(reason);
    if (this.#progress.epoch !== "") this.#askSnapshot(reason);
    else {
      if (this.#link.up) this.#replays.heal();
      this.#replays.planHeal();
    }
    this.update();
    return true;
  }

  position(): FeedPosition {
    return this.#progress.position;
  }

  connected(epoch = ""): void {
    this.#continuity.linkUp();
    // Until the publisher says again how far it can be relied on.
    if (this.#upstream) this.#upstream = { state: FeedState.Resync, reason: "the link came up" };
    const progress = this.#progress;
    if (epoch !== "") {
      const resumes = epoch === progress.epoch && progress.seq >= 0;
      if (resumes) this.#continuity.certain();
      this.#awaitsSnapshot = !resumes;
    } else if (this.#replays.possible) this.#replays.resync();
    else if (progress.seq >= 0) this.#continuity.awaitProof();
    this.update();
  }

  disconnected(reason: string): void {
    const open = this.#held.size > 0 || this.#replays.running;
    this.#replays.cancel();
    this.#closeWindow();
    this.#awaitsSnapshot = false;
    if (this.#snapshot) {
      this.#snapshot = undefined;
      this.#progress.lose("a snapshot broke off");
    }
    if (this.#progress.rebuilding) this.#progress.lose("the history broke off");
    if (!this.#replays.possible) this.#giveUp("batches are missing and the link was lost");
    // Held batches come again with the replay after the next connect.
    this.#held.clear();
    if (open) this.#continuity.raise("batches are missing and the link was lost");
    this.#continuity.linkDown(reason);
    this.update();
  }

  batch(batch: KvBatch): void {
    if (batch.timestamp > 0) this.#lagMs = Math.max(0, this.#clock.wallMs() - batch.timestamp * 1000);
    this.#awaitsSnapshot = false;
    this.#offer(batch);
    this.update();
  }

  snapshotBegin(position: FeedPosition): void {
    this.#replays.cancel();
    this.#closeWindow();
    this.#held.clear();
    this.#awaitsSnapshot = false;
    this.#snapshot = { position };
    this.#progress.beginRebuild();
    this.update();
  }

  snapshotPart(batch: KvBatch): void {
    if (this.#snapshot) this.#snapshot.hole ??= this.#progress.applyPart(batch);
  }

  snapshotEnd(): void {
    const snapshot = this.#snapshot;
    if (!snapshot) return;
    this.#snapshot = undefined;
    this.#counts.snapshots++;
    this.#progress.endRebuild();
    this.#progress.adopt(snapshot.position);
    this.#newestSeq = snapshot.position.seq;
    this.#continuity.certain();
    if (snapshot.hole === undefined) this.#progress.complete();
    else this.#progress.lose(snapshot.hole);
    for (const batch of this.#held.takeAll()) this.#offer(batch);
    this.update();
  }

  load(sample: LoadSample): void {
    if (sample.cacheBlockTokens) this.#parts.onBlockTokens?.(sample.cacheBlockTokens);
    this.#parts.onLoad?.(sample);
  }

  heartbeat(): void {}

  stray(): void {
    this.#counts.strays++;
  }

  upstreamState(state: FeedState, reason: string): void {
    this.#upstream = { state, reason };
    this.update();
  }

  /** A replay's batch, whose turn it is. */
  replayed(batch: KvBatch): void {
    this.#apply(batch);
  }

  /** Batches came in a replay, or a live one beyond what it gave. */
  early(batch: KvBatch): void {
    this.#newestSeq = Math.max(this.#newestSeq, batch.seq);
    this.#held.addLatest(batch);
  }

  get idle(): boolean {
    return this.#link.up && !this.#window && !this.#snapshot && !this.#replays.running;
  }

  get firstHeld(): number | undefined {
    return this.#held.first;
  }

  /** The publisher turned out to be another. */
  restarted(): void {
    this.#restart();
  }

  /** A replay is over: `continuous` when it showed that the publisher is the one from before. */
  replayEnded(continuous: boolean): void {
    if (continuous) this.#continuity.certain();
    for (const batch of this.#held.takeAll()) this.#offer(batch);
    if (!this.#window && !this.#replays.running) {
      if (this.#progress.seq >= this.#newestSeq) this.#settled();
      else this.#openWindow();
    }
    this.update();
  }

  /** Replays do not bring what is missing. */
  replayFailed(reason: string): void {
    this.#giveUp(reason);
    this.update();
  }

  /** Derives the state, and tells when it changed. */
  update(): void {
    if (!this.#stopped) this.#standing.update(this.#facts());
  }

  #facts(): Facts {
    return {
      task: this.#task(),
      told: this.#progress.told,
      hole: this.#progress.hole,
      doubt: this.#continuity.doubt,
      waiting: this.#mirror.waiting,
      upstream: this.#upstream,
    };
  }

  #task(): string {
    if (this.#snapshot) return "a snapshot is coming";
    if (this.#awaitsSnapshot) return "waiting for a snapshot";
    if (this.#replays.running) return this.#replays.task;
    return this.#window ? `batches after ${this.#progress.seq} are missing` : "";
  }

  #offer(batch: KvBatch): void {
    this.#newestSeq = Math.max(this.#newestSeq, batch.seq);
    if (this.#replays.running || this.#snapshot) this.#held.addLatest(batch);
    else this.#take(batch);
  }

  /** A live batch while nothing is being fetched. */
  #take(batch: KvBatch): void {
    const { seq, whole } = this.#progress;
    const next = seq >= 0 ? seq + 1 : whole ? this.#replays.firstSeq : batch.seq;
    if (batch.seq < next) return this.#late(batch);
    if (batch.seq > next) return this.#gap(batch);
    if (this.#continuity.awaitsBatch && batch.timestamp > 0 && batch.timestamp <= this.#progress.timestamp) {
      return this.#restart(batch);
    }
    if (seq < 0 && !whole) this.#begin(batch);
    this.#continuity.batchFollows();
    this.#apply(batch);
    for (let more = this.#held.take(batch.seq + 1); more; more = this.#held.take(more.seq + 1)) this.#apply(more);
    if (this.#progress.seq >= this.#newestSeq) this.#settled();
  }

  /** The first batch of all, from a source that cannot replay. */
  #begin(batch: KvBatch): void {
    if (batch.seq === 0 || batch.seq === this.#replays.firstSeq) this.#progress.complete();
    else this.#progress.lack(`what came before batch ${batch.seq} is unknown`);
  }

  #late(batch: KvBatch): void {
    const seen = this.#progress.compare(batch);
    const { timestamp, epoch } = this.#progress;
    const newer = batch.timestamp > timestamp;
    // Without timestamps nothing tells a repeated batch from a new life; engines do not repeat.
    const untold = !batch.unreadable && batch.timestamp === 0 && timestamp === 0 && epoch === "";
    if (seen === "other" || untold || (seen === "unknown" && newer)) {
      this.#held.clear();
      this.#restart(batch);
    } else this.#counts.duplicates++;
  }

  #gap(batch: KvBatch): void {
    this.#held.add(batch);
    if (!this.#window) {
      this.#counts.gaps++;
      this.#openWindow();
    }
    if (this.#held.full) this.#windowOver();
  }

  #openWindow(): void {
    this.#window = this.#clock.after(this.#options.reorderMs, () => this.#windowOver(), { background: true });
  }

  #windowOver(): void {
    this.#closeWindow();
    if (this.#replays.possible) this.#replays.resync();
    else this.#giveUp(`batches ${this.#progress.seq + 1} to ${(this.#held.first ?? 0) - 1} are lost`);
    this.update();
  }

  #closeWindow(): void {
    this.#window?.cancel();
    this.#window = undefined;
  }

  /** Nothing is missing between the batches applied. */
  #settled(): void {
    this.#closeWindow();
    this.#replays.settled();
    this.#progress.endRebuild();
  }

  /** Goes on without what is missing. */
  #giveUp(reason: string): void {
    this.#closeWindow();
    this.#replays.cancel();
    const held = this.#held.takeAll();
    if (held.length > 0 || this.#replays.possible) this.#progress.lose(reason);
    if (this.#progress.epoch !== "" && held.length > 0) return this.#askSnapshot(reason);
    for (const batch of held) {
      const { seq } = this.#progress;
      if (this.#replays.running) this.#offer(batch);
      else if (batch.seq <= seq) this.#late(batch);
      else {
        if (batch.seq > seq + 1) this.#progress.lose(reason);
        this.#continuity.batchFollows();
        this.#apply(batch);
      }
    }
    if (!this.#replays.running) this.#newestSeq = this.#progress.seq;
    this.#replays.planHeal();
  }

  /** The publisher started over; `batch` is of its new life. */
  #restart(batch?: KvBatch): void {
    this.#counts.restarts++;
    this.#newestSeq = -1;
    this.#closeWindow();
    this.#replays.renew();
    this.#progress.renew();
    this.#continuity.certain();
    if (this.#link.up && this.#replays.possible) this.#replays.resync();
    if (batch) this.#offer(batch);
  }

  /** Has an agent tell everything anew. */
  #askSnapshot(reason: string): void {
    this.#held.clear();
    this.#newestSeq = -1;
    this.#progress.forget();
    this.#link.redial(reason);
  }

  #apply(batch: KvBatch): void {
    // When the whole cache was dropped, whatever was missed is over.
    if (this.#progress.apply(batch)) this.#continuity.certain();
    if (!this.#progress.whole) this.#replays.planHeal();
  }
}
