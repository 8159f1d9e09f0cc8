/**
 * One endpoint's feed: dials its source, puts batches in order, fills gaps by replay, notices when the publisher starts
 * over, and says how far what the tree holds of the endpoint can be relied on.
 *
 * Nothing is ever dropped because of a gap: what is known stays and is marked as doubtful. The state is LIVE only while
 * every batch since a fully known cache has been applied.
 */
import { type Clock, FeedState } from "../core/mod.ts";
import type { KvBatch } from "../protocol/mod.ts";
import { Continuity } from "./feed_continuity.ts";
import { FeedLink, type LinkOwner } from "./feed_link.ts";
import { Progress } from "./feed_progress.ts";
import { Sequencer, type SequencerHost } from "./feed_sequencer.ts";
import { type Facts, type Standing, StandingKeeper } from "./feed_standing.ts";
import { type FeedCheckpoint, feedDefaults, type FeedOptions, type FeedParts, type FeedStatus } from "./feed_types.ts";
import type { FeedPosition, FeedSource, LoadSample } from "./feeds/types.ts";
import { Mirror } from "./mirror.ts";

/** A resync for distrust helped when the next comes so many pauses later; the longest pause, in shortest ones. */
const distrustHelpedPauses = 4;
const distrustPausesMax = 64;

/** A feed that stands still while what the tree holds of its slot is read. */
export interface FeedHold {
  /** Where it stands; belongs to what the tree holds of the slot meanwhile. */
  readonly checkpoint: FeedCheckpoint;
  /** The feed may go on. Idempotent. */
  release(): void;
}

export class EndpointFeed implements LinkOwner {
  readonly #parts: FeedParts;
  readonly #options: FeedOptions;
  readonly #clock: Clock;
  readonly #mirror: Mirror;
  readonly #progress: Progress;
  readonly #continuity: Continuity;
  readonly #sequencer: Sequencer;
  readonly #link: FeedLink;
  readonly #standing: StandingKeeper;
  /** How far the publisher says it can be relied on, when it is not the engine. */
  #upstream: Standing | undefined;
  /** The snapshot that is coming, and what was lost of it. */
  #snapshot: { readonly position: FeedPosition; hole?: string } | undefined;
  /** The link is up, and the publisher's snapshot is to come. */
  #awaitsSnapshot = false;
  #snapshots = 0;
  #strays = 0;
  #distrusts = 0;
  #distrustedAtMs = -Infinity;
  #distrustPauseMs: number;
  #lagMs = NaN;
  #stopped = false;
  /** Of each hold, what has to be done before the slot changes. */
  readonly #holds = new Set<() => void>();

  constructor(parts: FeedParts, options: Partial<FeedOptions> = {}) {
    this.#parts = parts;
    this.#options = { ...feedDefaults, ...options };
    this.#clock = parts.clock;
    this.#distrustPauseMs = this.#options.distrustMs;
    const { slot, source, tree, clock, rng, clear, onBlockTokens, resume } = parts;
    this.#mirror = new Mirror(
      { slot, tree, clear, onBlockTokens, beforeChange: () => this.#endHolds() },
      this.#options.orphans,
      resume?.mirror,
    );
    this.#progress = new Progress(this.#mirror, clock, this.#options.doubtTtlMs, () => {
      if (!this.#progress.whole) this.#sequencer.planHeal();
      this.#update();
    });
    this.#continuity = new Continuity(clock, this.#options.graceMs, () => this.#update());
    this.#link = new FeedLink({ source, clock, rng, owner: this }, this.#options.backoff);
    if (resume) {
      this.#progress.resume(resume);
      this.#continuity.raise("nothing was told since the router started");
    }
    const link = this.#link;
    const host: SequencerHost = {
      get linkIsUp() {
        return link.up;
      },
      askSnapshot: (reason) => this.#askSnapshot(reason),
      troubled: (reason) => this.troubled(reason),
      update: () => this.#update(),
    };
    this.#sequencer = new Sequencer(
      { source, clock, progress: this.#progress, continuity: this.#continuity, host },
      this.#options,
    );
    this.#standing = new StandingKeeper(clock, this.#facts(), parts.onState);
  }

  get kind(): FeedSource["kind"] {
    return this.#parts.source.kind;
  }

  get state(): FeedState {
    return this.#standing.state;
  }

  start(): void {
    this.#link.start();
  }

  /** Ends for good; resolves when the source has. The slot keeps what it holds. */
  async stop(): Promise<void> {
    this.#endHolds();
    this.#stopped = true;
    this.#continuity.stop();
    this.#progress.stop();
    await Promise.all([this.#sequencer.stop(), this.#link.stop()]);
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
      held: this.#sequencer.held,
      waiting: this.#mirror.waiting,
      linkError: this.#link.lastError,
      counters: {
        ...this.#sequencer.counts,
        batches: this.#progress.batches,
        events,
        orphans,
        orphansLost,
        unknownRemovals,
        replays: this.#sequencer.replays,
        snapshots: this.#snapshots,
        strays: this.#strays,
        distrusts: this.#distrusts,
        reconnects: this.#link.reconnects,
        skipped: this.#mirror.skipped,
      },
    };
  }

  /** Where the feed stands, to be kept with what the tree holds of the slot at this moment. */
  checkpoint(): FeedCheckpoint {
    return this.#progress.checkpoint();
  }

  /**
   * The slot does not change until `release`: live batches wait. Where they cannot, as something is being fetched, and before
   * anything else than a live batch changes the slot, `finish` is called, and the hold is over.
   */
  hold(finish: () => void): FeedHold {
    const checkpoint = this.checkpoint();
    if (this.#stopped || !this.#sequencer.standStill()) {
      finish();
      return { checkpoint, release: () => {} };
    }
    this.#holds.add(finish);
    return { checkpoint, release: () => void (this.#holds.delete(finish) && this.#goOn()) };
  }

  #endHolds(): void {
    if (this.#holds.size === 0) return;
    for (const finish of this.#holds) finish();
    this.#holds.clear();
    this.#goOn();
  }

  #goOn(): void {
    if (this.#holds.size === 0) this.#sequencer.goOn();
  }

  /** The engine's process started at this Unix time, by its own metrics. Say it after each reading. */
  restartHint(startSeconds: number): void {
    if (this.#stopped || this.#progress.epoch !== "" || this.#parts.source.kind === "agent") return;
    if (this.#continuity.started(startSeconds, this.#progress.firstTimestamp, this.#link.up)) this.#sequencer.restart();
    this.#update();
  }

  /**
   * The engine's own figures say that what is known is wrong: fetches it anew, or marks it as doubtful where that cannot
   * be done. False when nothing was done, as the feed is not LIVE or this was asked a short time ago.
   */
  distrust(reason: string): boolean {
    const nowMs = this.#clock.now(), agoMs = nowMs - this.#distrustedAtMs, { distrustMs } = this.#options;
    if (this.#stopped || this.state !== FeedState.Live || agoMs < this.#distrustPauseMs) return false;
    this.#distrustedAtMs = nowMs;
    // What does not help is done ever more rarely: a history is long, and the reason may lie elsewhere.
    const helped = agoMs > distrustHelpedPauses * this.#distrustPauseMs;
    this.#distrustPauseMs = helped ? distrustMs : Math.min(2 * this.#distrustPauseMs, distrustPausesMax * distrustMs);
    this.#distrusts++;
    this.#progress.lose(reason);
    if (this.#progress.epoch !== "") this.#askSnapshot(reason);
    else this.#sequencer.heal();
    this.#update();
    return true;
  }

  position(): FeedPosition {
    return this.#progress.position;
  }

  connected(epoch = ""): void {
    this.#continuity.linkUp();
    // Until the publisher says again how far it can be relied on.
    if (this.#upstream) this.#upstream = { state: FeedState.Resync, reason: "the link came up" };
    if (epoch === "") this.#sequencer.linkUp();
    else {
      const resumes = epoch === this.#progress.epoch && this.#progress.seq >= 0;
      if (resumes) this.#continuity.certain();
      this.#awaitsSnapshot = !resumes;
    }
    this.#update();
  }

  troubled(reason: string): void {
    this.#parts.onTrouble?.(reason);
  }

  disconnected(reason: string): void {
    this.#endHolds();
    this.#awaitsSnapshot = false;
    this.#snapshot = undefined;
    this.#sequencer.linkDown();
    this.#continuity.linkDown(reason);
    this.#update();
  }

  batch(batch: KvBatch): void {
    if (batch.timestamp > 0) this.#lagMs = Math.max(0, this.#clock.wallMs() - batch.timestamp * 1000);
    this.#awaitsSnapshot = false;
    this.#sequencer.offer(batch);
    this.#update();
  }

  snapshotBegin(position: FeedPosition): void {
    this.#sequencer.pause();
    this.#awaitsSnapshot = false;
    this.#snapshot = { position };
    this.#progress.beginRebuild();
    this.#update();
  }

  snapshotPart(batch: KvBatch): void {
    if (this.#snapshot) this.#snapshot.hole ??= this.#progress.applyPart(batch);
  }

  snapshotEnd(): void {
    const snapshot = this.#snapshot;
    if (!snapshot) return;
    this.#snapshot = undefined;
    this.#snapshots++;
    this.#progress.endRebuild();
    this.#progress.adopt(snapshot.position);
    this.#continuity.certain();
    if (snapshot.hole === undefined) this.#progress.complete();
    else this.#progress.lose(snapshot.hole);
    this.#sequencer.resume();
    this.#update();
  }

  load(sample: LoadSample): void {
    if (sample.cacheBlockTokens) this.#parts.onBlockTokens?.(sample.cacheBlockTokens);
    this.#parts.onLoad?.(sample);
  }

  heartbeat(): void {}

  stray(): void {
    this.#strays++;
  }

  upstreamState(state: FeedState, reason: string): void {
    this.#upstream = { state, reason };
    this.#update();
  }

  /** Derives the state, and tells when it changed. */
  #update(): void {
    if (!this.#stopped) this.#standing.update(this.#facts());
  }

  #facts(): Facts {
    return {
      task: this.#awaitsSnapshot ? "waiting for a snapshot" : this.#sequencer.task,
      told: this.#progress.told,
      hole: this.#progress.hole,
      doubt: this.#continuity.doubt,
      waiting: this.#mirror.waiting,
      upstream: this.#upstream,
    };
  }

  /** Has an agent tell everything anew. */
  #askSnapshot(reason: string): void {
    this.#sequencer.forget();
    this.#link.redial(reason);
  }
}
