/** Keeps a feed's link up: dials its source, and dials again after a pause that grows. */
import { type Clock, type Prng, reasonOf, type Timer } from "../core/mod.ts";
import { FeedUnsupported } from "./feeds/errors.ts";
import type { FeedPosition, FeedSink, FeedSource } from "./feeds/types.ts";

export interface BackoffOptions {
  /** @default {100} */
  readonly minMs: number;
  /** @default {30_000} */
  readonly maxMs: number;
}

export const backoffDefaults: BackoffOptions = { minMs: 100, maxMs: 30_000 };

/** Whom the link serves. */
export interface LinkOwner extends FeedSink {
  /** Where the source resumes. */
  position(): FeedPosition;
  /** The link was lost or not made; told once a minute at most. */
  troubled?(reason: string): void;
  /** The link that was up is lost. */
  disconnected(reason: string): void;
}

export interface LinkParts {
  readonly source: FeedSource;
  readonly clock: Clock;
  readonly rng: Prng;
  readonly owner: LinkOwner;
}

const troubleEveryMs = 60_000;
/** A link that held for so long was a good one: the next is dialled without a pause that earlier failures made long. */
const goodLinkMs = 1_000;

/** One call of the source's `run`. */
interface Run {
  readonly abort: AbortController;
  up: boolean;
  /** NaN before it was up. */
  upAtMs: number;
}

export class FeedLink {
  readonly #parts: LinkParts;
  readonly #backoff: BackoffOptions;
  readonly #runs = new Set<Promise<void>>();
  #run: Run | undefined;
  #timer: Timer | undefined;
  #failures = 0;
  #dials = 0;
  #stopped = false;
  #lastError = "";
  #troubledAtMs = -Infinity;

  constructor(parts: LinkParts, backoff: Partial<BackoffOptions> = {}) {
    this.#parts = parts;
    this.#backoff = { ...backoffDefaults, ...backoff };
  }

  get up(): boolean {
    return this.#run?.up ?? false;
  }

  /** Dials after the first. */
  get reconnects(): number {
    return Math.max(0, this.#dials - 1);
  }

  /** Why the link was lost or not made the last time; "" when it never was. */
  get lastError(): string {
    return this.#lastError;
  }

  start(): void {
    if (!this.#run && !this.#timer && !this.#stopped) this.#dial();
  }

  /** Ends the link that is, and makes another one from the owner's position. */
  redial(reason: string): void {
    const run = this.#run;
    if (!run) return;
    this.#end(run, reason);
    run.abort.abort();
  }

  /** Ends for good; resolves when the source has. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    const run = this.#run;
    this.#run = undefined;
    run?.abort.abort();
    await Promise.all(this.#runs);
  }

  #dial(): void {
    this.#timer = undefined;
    this.#dials++;
    const run: Run = { abort: new AbortController(), up: false, upAtMs: NaN };
    this.#run = run;
    const ended = this.#running(run).then(
      () => this.#end(run, "the source ended the link"),
      (error) => this.#end(run, reasonOf(error), leastPauseOf(error)),
    ).finally(() => this.#runs.delete(ended));
    this.#runs.add(ended);
  }

  async #running(run: Run): Promise<void> {
    await this.#parts.source.run(this.#sink(run), this.#parts.owner.position(), run.abort.signal);
  }

  #end(run: Run, reason: string, leastPauseMs = 0): void {
    if (this.#run !== run) return;
    this.#run = undefined;
    this.#lastError = reason;
    const { clock, owner } = this.#parts;
    if (clock.now() - run.upAtMs >= goodLinkMs) this.#failures = 0;
    const { minMs, maxMs } = this.#backoff;
    const pauseMs = Math.max(leastPauseMs, Math.min(maxMs, minMs * 2 ** Math.min(this.#failures++, 30)));
    // Between a half and the whole, so that routers that lost an endpoint together do not come back together.
    const jitteredMs = pauseMs * (0.5 + this.#parts.rng.float() / 2);
    this.#timer = clock.after(jitteredMs, () => this.#dial(), { background: true });
    if (clock.now() - this.#troubledAtMs >= troubleEveryMs) {
      this.#troubledAtMs = clock.now();
      owner.troubled?.(reason);
    }
    if (run.up) owner.disconnected(reason);
  }

  /** The owner, for as long as the run is the current one. */
  #sink(run: Run): FeedSink {
    const { clock, owner } = this.#parts;
    const tell = (act: () => void) => {
      if (this.#run === run) act();
    };
    return {
      connected: (epoch) => {
        if (this.#run !== run) return;
        run.up = true;
        run.upAtMs = clock.now();
        owner.connected(epoch);
      },
      batch: (batch) => tell(() => owner.batch(batch)),
      snapshotBegin: (position) => tell(() => owner.snapshotBegin(position)),
      snapshotPart: (batch) => tell(() => owner.snapshotPart(batch)),
      snapshotEnd: () => tell(() => owner.snapshotEnd()),
      load: (sample) => tell(() => owner.load(sample)),
      heartbeat: () => tell(() => owner.heartbeat()),
      stray: () => tell(() => owner.stray?.()),
      upstreamState: (state, reason) => tell(() => owner.upstreamState?.(state, reason)),
    };
  }
}

/** A server that cannot feed says for how long it need not be asked. */
function leastPauseOf(error: unknown): number {
  return error instanceof FeedUnsupported ? error.retryAfterMs : 0;
}
