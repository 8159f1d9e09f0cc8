/** Reads a replay to its end, within bounds of time. */
import type { Clock } from "../core/mod.ts";
import type { KvBatch } from "../protocol/mod.ts";
import type { FeedSource } from "./feeds/types.ts";

export interface ReplayParts {
  readonly source: FeedSource;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Longest silence between two batches. */
  readonly idleMs: number;
}

/**
 * Gives every batch with `seq >= from` to `take`, until it answers false. Rejects with the signal's reason when it aborts,
 * and when the source fails or is silent for too long.
 */
export async function readReplay(parts: ReplayParts, from: number, take: (batch: KvBatch) => boolean): Promise<void> {
  const { source, clock, signal, idleMs } = parts;
  signal.throwIfAborted();
  const abort = new AbortController();
  const stopped = Promise.withResolvers<never>();
  // Also when nobody waits for it any more.
  stopped.promise.catch(() => {});
  const stop = (reason: unknown) => {
    stopped.reject(reason);
    abort.abort(reason);
  };
  const cancelled = () => stop(signal.reason);
  signal.addEventListener("abort", cancelled, { once: true });
  const silent = () => stop(new Error(`Cannot replay as nothing came for ${idleMs} ms`));
  let timer = clock.after(idleMs, silent, { background: true });
  const batches = source.replay!(from, abort.signal)[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([batches.next(), stopped.promise]);
      if (next.done || abort.signal.aborted || !take(next.value)) break;
      timer.cancel();
      timer = clock.after(idleMs, silent, { background: true });
    }
    abort.signal.throwIfAborted();
  } finally {
    timer.cancel();
    signal.removeEventListener("abort", cancelled);
    abort.abort();
    // A source that was left in the middle cleans up; it may take its time.
    batches.return?.().catch(() => {});
  }
}
