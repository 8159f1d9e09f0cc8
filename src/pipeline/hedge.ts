/** A second attempt beside one that is slow to answer. */
import { type Clock, Quantile } from "../core/mod.ts";

export interface HedgeOptions {
  /** Wait before the second attempt; `p95` is what 95 of 100 streams answered within. Absent: there is none. */
  readonly after?: number | "p95";
  /**
   * Uncached prompt tokens above which there is none. A second attempt computes the prompt again: of a short one that
   * costs a fraction of a second at one endpoint, of a long one as much as the wait it might spare.
   */
  readonly promptTokensMax: number;
}

// Below so many answers their 95th part says nothing.
const samplesMin = 50;
const windowSamples = 512;
// However fast the pool answers, two attempts at once help nobody.
const leastMs = 20;

/**
 * When a second attempt is worth making. Streams alone: the first byte of a plain answer comes with its last token, so a
 * second attempt would generate all of it twice.
 */
export class HedgeTiming {
  readonly #answers = new Quantile(0.95, windowSamples);

  /** A stream of a prompt that might have been hedged gave its first token so long after it was sent. */
  observe(ms: number): void {
    this.#answers.add(ms);
  }

  /** Wait before a second attempt at a stream; undefined for none. */
  delayMs({ after }: HedgeOptions): number | undefined {
    if (typeof after === "number") return after;
    if (after === undefined || this.#answers.count < samplesMin) return undefined;
    return Math.max(leastMs, this.#answers.value());
  }
}

/**
 * What `first` gives or, where it takes longer than `afterMs`, what the faster of it and `second` gives. Rejects with the
 * last failure when all have failed. `second` returns undefined when there is none to begin.
 */
export function hedged<T>(
  clock: Clock,
  afterMs: number,
  first: Promise<T>,
  second: () => Promise<T> | undefined,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let open = 1;
    const failed = (error: unknown) => {
      timer.cancel();
      if (--open === 0) reject(error);
    };
    const won = (value: T) => {
      timer.cancel();
      resolve(value);
    };
    const timer = clock.after(afterMs, () => {
      const other = second();
      if (!other) return;
      open++;
      other.then(won, failed);
    });
    first.then(won, failed);
  });
}
