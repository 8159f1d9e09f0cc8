/** Whether the publisher behind a link is the one from before, and whether the link can have lost something. */
import type { Clock, Timer } from "../core/mod.ts";

/** A process start time and a batch's timestamp come from two clocks of one host, one of them in ticks. */
const startToleranceS = 1;

export class Continuity {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #changed: () => void;
  #doubt = "";
  #grace: Timer | undefined;
  /** What has yet to show that the publisher is the one from before. */
  #awaitsBatch = false;
  #awaitsStart = false;
  #startSeconds: number | undefined;

  /** `changed` is called when a lost link has been away for too long. */
  constructor(clock: Clock, graceMs: number, changed: () => void) {
    this.#clock = clock;
    this.#graceMs = graceMs;
    this.#changed = changed;
  }

  /** Why what is known may be outdated though nothing is known to be missing; "" when it is not. */
  get doubt(): string {
    return this.#doubt;
  }

  /** The next batch must show, by its timestamp, that it is not of another life. */
  get awaitsBatch(): boolean {
    return this.#awaitsBatch;
  }

  /** It is not known what happened since; the doubt that is already there stays. */
  raise(doubt: string): void {
    this.#doubt ||= doubt;
  }

  /** Nothing was missed, and the publisher is the one from before or what it was before does not matter. */
  certain(): void {
    this.#doubt = "";
    this.#awaitsBatch = this.#awaitsStart = false;
  }

  linkUp(): void {
    this.#grace?.cancel();
    this.#grace = undefined;
  }

  /** The link is up again, and only what it tells can show that nothing was missed. */
  awaitProof(): void {
    this.#awaitsBatch = true;
    // Within the grace no engine restarts; where start times are never told, batches in order must do.
    this.#awaitsStart = this.#doubt !== "" && this.#startSeconds !== undefined;
  }

  linkDown(reason: string): void {
    this.linkUp();
    this.#awaitsBatch = this.#awaitsStart = false;
    if (this.#doubt !== "") return;
    this.#grace = this.#clock.after(this.#graceMs, () => {
      this.#doubt = `the link is down: ${reason}`;
      this.#changed();
    }, { background: true });
  }

  /** A batch came that follows the last one. */
  batchFollows(): void {
    if (!this.#awaitsBatch) return;
    this.#awaitsBatch = false;
    this.#prove();
  }

  /**
   * The engine's process started at this Unix time; `firstBatchSeconds` is when its first batch that is known was made, 0
   * when that is not known. True when the process is another than the one that made it.
   */
  started(startSeconds: number, firstBatchSeconds: number, linkIsUp: boolean): boolean {
    const known = this.#startSeconds;
    this.#startSeconds = startSeconds;
    const before = firstBatchSeconds > 0 ? firstBatchSeconds : known;
    if (before !== undefined && startSeconds > before + startToleranceS) return true;
    if (linkIsUp && this.#awaitsStart) {
      this.#awaitsStart = false;
      this.#prove();
    }
    return false;
  }

  stop(): void {
    this.#grace?.cancel();
  }

  #prove(): void {
    if (this.#awaitsBatch || this.#awaitsStart) this.#doubt &&= "it is not known whether the engine restarted";
    else this.#doubt = "";
  }
}
