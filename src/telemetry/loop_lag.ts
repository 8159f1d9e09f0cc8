import type { Clock } from "../core/mod.ts";

// Two timers a second cost nothing and see every stall of half a second.
const intervalMs = 500;

/**
 * Measures how long the event loop is held: a timer's delay past its due time, handed to `observe` in milliseconds.
 * Returns what stops it.
 */
export function watchLoopLag(clock: Clock, observe: (lagMs: number) => void): () => void {
  let timer = arm(clock.now());
  function arm(setAtMs: number) {
    return clock.after(intervalMs, () => {
      const now = clock.now();
      observe(Math.max(0, now - setAtMs - intervalMs));
      timer = arm(now);
    }, { background: true });
  }
  return () => timer.cancel();
}
