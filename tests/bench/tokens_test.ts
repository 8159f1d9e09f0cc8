import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { Progress } from "../../bench/lib/progress.ts";
import { threadClock, TurnWatch } from "../../bench/lib/thread_clock.ts";
import { tokens } from "../../bench/tokens.ts";
import { sleep, systemClock } from "../../src/core/mod.ts";

const clock = threadClock();

Deno.test("bench tokens measures cold, cached and short prompts, in one isolate and through a worker", async () => {
  const { figures } = await tokens.run({}, { smoke: true, progress: new Progress() });
  for (const name of ["tokens_per_s_cold", "library_tokens_per_s", "load_ms", "short_ms_p50", "cached_cost_ratio"]) {
    ok(figures[name] > 0, name);
  }
  for (const prefix of ["", "worker_"]) {
    for (const name of ["ms_100k_cold", "ms_100k_95pct_cached"]) ok(figures[prefix + name] > 0, prefix + name);
  }
  ok(figures.short_ms_p50 <= figures.short_ms_p99);
  // Of the few messages of a smoke run, cut from whatever the documents say, the last is new.
  ok(figures.cached_share > 0.5 && figures.cached_share < 1, `${figures.cached_share}`);
  for (const name of ["max_block_ms", "load_block_ms"]) equal(figures[name] > 0, clock !== undefined, name);
});

Deno.test({
  name: "threadClock() runs while the thread works and stands while it waits",
  ignore: clock === undefined,
  fn: async () => {
    const busyFromMs = clock!();
    const startMs = performance.now();
    while (clock!() - busyFromMs < 20);
    ok(performance.now() - startMs >= 19);
    const idleFromMs = clock!();
    await sleep(systemClock, 60);
    ok(clock!() - idleFromMs < 50);
  },
});

Deno.test("TurnWatch gives the longest turn, not their sum, and counts the one under way", async () => {
  let workMs = 0;
  const watch = new TurnWatch(() => workMs);
  const longest: number[] = [];
  for (const ms of [3, 7, 2]) {
    workMs += ms;
    await sleep(systemClock, 5);
    longest.push(watch.longestMs);
  }
  workMs += 9;
  watch.stop();
  deepStrictEqual([...longest, watch.longestMs], [3, 7, 7, 9]);
});
