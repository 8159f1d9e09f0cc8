import { type HeapItem, IndexedHeap } from "./heap.ts";

/** A timer that can be cancelled; cancelling one that already fired does nothing. */
export interface Timer {
  cancel(): void;
}

/** Time as an argument: everything that waits or stamps takes one, so that tests and replays run in virtual time. */
export interface Clock {
  /** Monotonic milliseconds, fractional, from an arbitrary origin. */
  now(): number;
  /** Milliseconds since the Unix epoch; only for what people or other machines read. */
  wallMs(): number;
  /** Calls `fn` once after `ms`. A background timer does not keep the process alive. */
  after(ms: number, fn: () => void, options?: { background?: boolean }): Timer;
}

/** The machine's clock. The only place that reads `Date.now` or sets a timer. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallMs: () => Date.now(),
  after(ms, fn, options) {
    const id = setTimeout(fn, ms);
    if (options?.background) Deno.unrefTimer(id);
    return { cancel: () => clearTimeout(id) };
  },
};

/**
 * A clock of this isolate that agrees with another's to a millisecond: each isolate counts from its own start. `originMs`
 * is the other's `wallMs() - now()`, read at about the same moment as this is called.
 */
export function alignedClock(own: Clock, originMs: number): Clock {
  const shiftMs = own.wallMs() - own.now() - originMs;
  return {
    now: () => own.now() + shiftMs,
    wallMs: () => own.wallMs(),
    after: (ms, fn, options) => own.after(ms, fn, options),
  };
}

/** Resolves after `ms`; rejects with the signal's reason when `signal` aborts first. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const timer = clock.after(ms, () => {
      signal?.removeEventListener("abort", stop);
      resolve();
    });
    const stop = () => {
      timer.cancel();
      reject(signal!.reason);
    };
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** Waits for `work`, but no longer than `ms`; rejects as it does. What goes on after that is nobody's concern here. */
export async function within(clock: Clock, ms: number, work: Promise<unknown> | undefined): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = clock.after(ms, late.resolve);
  try {
    await Promise.race([work, late.promise]);
  } finally {
    timer.cancel();
  }
}

interface Entry extends HeapItem {
  readonly at: number;
  readonly seq: number;
  readonly fn: () => void;
}

/** A clock that moves only when told. Timers with the same due time fire in the order they were set. */
export class VirtualClock implements Clock {
  #now = 0;
  #seq = 0;
  readonly #timers = new IndexedHeap<Entry>((a, b) => a.at < b.at || (a.at === b.at && a.seq < b.seq));

  now(): number {
    return this.#now;
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#now;
  }

  after(ms: number, fn: () => void): Timer {
    const entry: Entry = { at: this.#now + Math.max(0, ms), seq: this.#seq++, fn, heapAt: -1 };
    this.#timers.push(entry);
    return {
      cancel: () => {
        if (entry.heapAt >= 0) this.#timers.remove(entry);
      },
    };
  }

  /** Fires the next timer and moves to its time; false when none is left or it lies beyond `limitMs`. */
  step(limitMs = Infinity): boolean {
    const next = this.#timers.peek();
    if (!next || next.at > limitMs) return false;
    this.#timers.pop();
    this.#now = next.at;
    next.fn();
    return true;
  }

  /** Fires every timer due within the next `ms`, then stands at that time. */
  advance(ms: number): void {
    const target = this.#now + ms;
    while (this.step(target));
    this.#now = target;
  }
}
