import { equal, ok } from "node:assert/strict";
import { index } from "../../bench/index.ts";
import { Progress } from "../../bench/lib/progress.ts";

Deno.test("bench index measures the tree, and finds in it what the traffic says", async () => {
  const { figures } = await index.run({}, { smoke: true, progress: new Progress() });
  for (const name of ["block_ops_per_s", "lookup_us_p50_128", "lookup_us_p99_128", "bytes_per_holder", "blocks"]) {
    for (const prefix of ["", "unshared_"]) ok(figures[prefix + name] > 0, prefix + name);
  }
  equal(figures.unshared_blocks, figures.unshared_pairs);
  ok(figures.blocks < figures.pairs);
  ok(figures.bytes_per_holder < figures.unshared_bytes_per_holder && figures.unshared_bytes_per_holder < 48);
});
