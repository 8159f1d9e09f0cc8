import { ok } from "node:assert/strict";
import fc from "fast-check";
import { normalQuantile, normalShare } from "./normal.ts";

Deno.test("normalShare() is that of the tables to 1.5e-7, and symmetric", () => {
  const table = [[0, 0.5], [0.25, 0.5987063257], [1, 0.8413447461], [1.2815515655, 0.9], [2, 0.9772498681], [
    3.0902323062,
    0.999,
  ], [5, 0.9999997133]];
  for (const [z, share] of table) {
    ok(Math.abs(normalShare(z) - share) <= 1.5e-7, `${z}: ${normalShare(z)}`);
    ok(Math.abs(normalShare(-z) - (1 - share)) <= 1.5e-7, `${-z}: ${normalShare(-z)}`);
  }
});

Deno.test("normalQuantile() is where normalShare() is the share", () => {
  fc.assert(fc.property(fc.double({ min: 0.001, max: 0.999, noNaN: true }), (share) => {
    ok(Math.abs(normalShare(normalQuantile(share)) - share) < 1e-6);
  }));
});
