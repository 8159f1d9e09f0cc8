/** The feeds of all endpoints: one for each that has a source, for as long as the endpoint is in the pool. */
import { type Clock, type EndpointMeta, FeedState, type Prng } from "../core/mod.ts";
import type { BlockTreeApi } from "../hotpath/mod.ts";
import { Calibration, type CalibrationOptions } from "./calibration.ts";
import { EndpointFeed, type FeedHold } from "./feed.ts";
import type { FeedCheckpoint, FeedOptions, FeedStatus } from "./feed_types.ts";
import type { FeedSource, LoadSample } from "./feeds/types.ts";
import type { KvIndex } from "./kv_index.ts";

export interface FeedsParts {
  /** The tree that the index matches in. */
  readonly tree: BlockTreeApi;
  readonly index: KvIndex;
  readonly clock: Clock;
  readonly rng: Prng;
  /** How to learn what an endpoint caches; undefined where there is no way. */
  readonly source: (meta: EndpointMeta) => FeedSource | undefined;
  readonly onLoad?: (slot: number, sample: LoadSample) => void;
  /** A link was lost or not made; once a minute for a slot at most. */
  readonly onTrouble?: (slot: number, address: string, reason: string) => void;
  readonly onState?: (slot: number, state: FeedState, before: FeedState, reason: string) => void;
}

export interface FeedsOptions {
  readonly feed: Partial<FeedOptions>;
  readonly calibration: Partial<CalibrationOptions>;
}

export class Feeds {
  /** Compares predictions with what engines report, and has a feed that is wrong told anew. */
  readonly calibration: Calibration;
  readonly #parts: FeedsParts;
  readonly #options: Partial<FeedOptions>;
  readonly #feeds = new Map<number, EndpointFeed>();
  readonly #stopping = new Set<Promise<void>>();

  constructor(parts: FeedsParts, options: Partial<FeedsOptions> = {}) {
    this.#parts = parts;
    this.#options = options.feed ?? {};
    this.calibration = new Calibration((slot, reason) => void this.distrust(slot, reason), options.calibration);
  }

  /**
   * An endpoint took `slot`: its feed starts, if it has a source; false when not. `resume` is asked with the kind of that
   * source where to go on from; when it says so, the tree holds of the slot what was held at that checkpoint.
   */
  add(
    slot: number,
    meta: EndpointMeta,
    resume?: (kind: FeedSource["kind"]) => FeedCheckpoint | undefined,
  ): boolean {
    this.#stopFeed(slot);
    const { index, tree, clock, rng, onLoad, onState, onTrouble } = this.#parts;
    const source = this.#parts.source(meta);
    if (!source) return false;
    const feed = new EndpointFeed({
      slot,
      source,
      tree,
      clock,
      rng: rng.fork(),
      clear: () => index.clear(slot),
      onBlockTokens: (tokens) => index.setBlockTokens(slot, tokens),
      onTrouble: (reason) => onTrouble?.(slot, source.address, reason),
      onLoad: (sample) => onLoad?.(slot, sample),
      onState: (state, before, reason) => {
        index.setFeedState(slot, state);
        onState?.(slot, state, before, reason);
      },
      resume: resume?.(source.kind),
    }, this.#options);
    this.#feeds.set(slot, feed);
    index.setFeedState(slot, feed.state);
    feed.start();
    return true;
  }

  /** The endpoint left `slot`: its feed stops, and the slot is empty at once. */
  remove(slot: number): void {
    this.#stopFeed(slot);
    this.#parts.index.clear(slot);
  }

  /** Undefined for a slot without a feed. */
  kind(slot: number): FeedSource["kind"] | undefined {
    return this.#feeds.get(slot)?.kind;
  }

  /** BLIND for a slot without a feed. */
  state(slot: number): FeedState {
    return this.#feeds.get(slot)?.state ?? FeedState.Blind;
  }

  statusOf(slot: number): FeedStatus | undefined {
    return this.#feeds.get(slot)?.status();
  }

  status(): Map<number, FeedStatus> {
    return new Map(Array.from(this.#feeds, ([slot, feed]) => [slot, feed.status()]));
  }

  /** See `EndpointFeed.hold`; undefined where there is no feed. */
  hold(slot: number, finish: () => void): FeedHold | undefined {
    return this.#feeds.get(slot)?.hold(finish);
  }

  /** The slot's engine process started at this Unix time, as its metrics say. */
  restartHint(slot: number, startSeconds: number): void {
    this.#feeds.get(slot)?.restartHint(startSeconds);
  }

  /** See `EndpointFeed.distrust`. */
  distrust(slot: number, reason: string): boolean {
    return this.#feeds.get(slot)?.distrust(reason) ?? false;
  }

  /** Ends all; resolves when every source has. What the tree holds stays. */
  async stop(): Promise<void> {
    for (const feed of this.#feeds.values()) this.#await(feed.stop());
    this.#feeds.clear();
    await Promise.all(this.#stopping);
  }

  #stopFeed(slot: number): void {
    const feed = this.#feeds.get(slot);
    if (!feed) return;
    this.#feeds.delete(slot);
    this.#await(feed.stop());
    this.calibration.clear(slot);
    this.#parts.index.endFeed(slot);
  }

  #await(stopped: Promise<void>): void {
    const done = stopped.finally(() => this.#stopping.delete(done));
    this.#stopping.add(done);
  }
}
