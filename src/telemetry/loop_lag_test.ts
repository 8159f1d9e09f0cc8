import { deepStrictEqual } from "node:assert/strict";
import { type Timer, VirtualClock } from "../core/mod.ts";
import { watchLoopLag } from "./mod.ts";

/** A clock whose timers fire late. */
class LateClock extends VirtualClock {
  lateMs = 0;
  override after(ms: number, fn: () => void): Timer {
    return super.after(ms + this.lateMs, fn);
  }
}

Deno.test("watchLoopLag() reports how late its timer fires, until stopped", () => {
  const clock = new LateClock();
  const lags: number[] = [];
  const stop = watchLoopLag(clock, (lagMs) => lags.push(lagMs));
  clock.advance(500);
  clock.lateMs = 70;
  clock.advance(500);
  clock.advance(570);
  stop();
  clock.advance(5000);
  deepStrictEqual(lags, [0, 0, 70]);
});
