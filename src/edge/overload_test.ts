import { deepStrictEqual, equal } from "node:assert/strict";
import { OverloadGuard } from "./overload.ts";

function guarded() {
  const state = { active: 0 };
  const shed: string[] = [];
  const guard = new OverloadGuard(
    { loopLagMs: 1000, requestsMax: 100 },
    () => state.active,
    (reason, negative) => shed.push(`${reason} ${negative}`),
  );
  const levels = (active: readonly number[]) => active.map((count) => (state.active = count, guard.level));
  return { state, shed, guard, levels };
}

Deno.test("OverloadGuard rises with requests under way and falls only well below what it rose at", () => {
  const { levels } = guarded();
  deepStrictEqual(levels([0, 79, 80, 99, 100, 150]), [0, 0, 1, 1, 2, 2]);
  deepStrictEqual(levels([99, 90, 89, 80, 73, 71, 72]), [2, 2, 1, 1, 1, 0, 0]);
  deepStrictEqual(levels([79, 80]), [0, 1]);
});

Deno.test("OverloadGuard takes one held loop for nothing, two for overload, until two are short", () => {
  const { guard } = guarded();
  const after = (...lags: number[]) => lags.map((ms) => (guard.lag(ms), guard.level));
  deepStrictEqual(after(5000, 10, 5000, 10), [0, 0, 0, 0]);
  deepStrictEqual(after(1000, 1200), [0, 2]);
  deepStrictEqual(after(600, 450, 400, 390, 390), [2, 2, 1, 1, 0]);
  deepStrictEqual(after(850, 850, 390, 390), [0, 1, 1, 0]);
});

Deno.test("OverloadGuard refuses negative priorities first and says what was too much", () => {
  const { guard, state, shed } = guarded();
  equal(guard.refusal(() => -1), undefined);
  state.active = 85;
  equal(guard.refusal(() => 0), undefined);
  const refusal = guard.refusal(() => -1)!;
  deepStrictEqual([refusal.outcome, refusal.retryAfterS], ["rejected-overloaded", 1]);
  state.active = 100;
  equal(guard.refusal(() => 5)!.outcome, "rejected-overloaded");
  state.active = 0;
  guard.lag(2000);
  guard.lag(2000);
  guard.refusal(() => 0);
  deepStrictEqual(shed, ["requests true", "requests false", "loop-lag false"]);
});
