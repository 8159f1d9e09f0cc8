/**
 * CPU time of the calling thread: what an isolate itself did, whatever else the machine was doing. It does not run while
 * the thread waits, for another process's turn on its core or for helper threads of the garbage collector.
 */

/** Where `clock_gettime` is, and its number for the calling thread's CPU time. */
const places: Partial<Record<typeof Deno.build.os, { readonly library: string; readonly clockId: number }>> = {
  linux: { library: "libc.so.6", clockId: 3 },
  darwin: { library: "libSystem.dylib", clockId: 16 },
};

/** Reads the CPU milliseconds of the thread that calls it; undefined where the system's library cannot be called. */
export function threadClock(): (() => number) | undefined {
  const place = places[Deno.build.os];
  if (!place) return undefined;
  const time = new BigInt64Array(2);
  try {
    const { symbols } = Deno.dlopen(place.library, {
      clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
    });
    const read = () => {
      if (symbols.clock_gettime(place.clockId, time) !== 0) return NaN;
      return Number(time[0]) * 1e3 + Number(time[1]) / 1e6;
    };
    return Number.isNaN(read()) ? undefined : read;
  } catch {
    return undefined;
  }
}

/**
 * The longest that the event loop was held up by work of this isolate: CPU time between two ticks of a timer of 1 ms, so
 * that a few short turns may count as one. Code and garbage collection count, preemption by other processes does not.
 */
export class TurnWatch {
  readonly #clock: () => number;
  #lastMs: number;
  /** Milliseconds of CPU; final once the watch is stopped. */
  longestMs = 0;
  #timer?: ReturnType<typeof setTimeout>;

  constructor(clock: () => number) {
    this.#clock = clock;
    this.#lastMs = clock();
    this.#wait();
  }

  /** Ends the watch; the turn under way counts. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#note();
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      this.#note();
      this.#wait();
    }, 1);
  }

  #note(): void {
    const nowMs = this.#clock();
    this.longestMs = Math.max(this.longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }
}
