import { equal, ok } from "node:assert/strict";
import { Prng } from "./prng.ts";
import { Quantile } from "./quantile.ts";

Deno.test("Quantile follows the last samples and no others", () => {
  const quantile = new Quantile(0.95, 100);
  ok(Number.isNaN(quantile.value()));
  quantile.add(7);
  equal(quantile.value(), 7);
  const prng = new Prng(1);
  for (let i = 0; i < 1000; i++) quantile.add(prng.float());
  equal(quantile.count, 100);
  ok(Math.abs(quantile.value() - 0.95) < 0.06, `${quantile.value()}`);
  for (let i = 0; i < 100; i++) quantile.add(5);
  equal(quantile.value(), 5);
});
