import { deepStrictEqual, ok } from "node:assert/strict";
import { scoresOf, testPlugin, testPool } from "../testing.ts";

const slo = { ttftMs: 100 };

Deno.test("least-latency-scorer: a request whose target is missed everywhere goes where it is answered soonest", () => {
  const scores = (meets: number) => {
    const pool = testPool([
      { predicted: { ttftMs: 900, e2eMs: 900, meets } },
      { predicted: { ttftMs: 300, e2eMs: 300, meets } },
      { predicted: { ttftMs: 300, e2eMs: 300, meets, harmMisses: 2 } },
    ]);
    return scoresOf(testPlugin("least-latency-scorer", {}, pool), pool, { slo });
  };
  // Its time is over; others' targets count as before.
  const [slow, fast, harmful] = scores(0);
  ok(fast === 0.5 && slow < 0.2 && harmful < 0.2, `${scores(0)}`);
  // Where it may be met, that counts.
  const [same, likely] = scores(0.5);
  deepStrictEqual([same, likely], [0.5, 0.5]);
});
