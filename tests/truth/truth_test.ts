import { ok } from "node:assert/strict";
import { BlockTreeTwin } from "../../src/hotpath/block_tree_twin.ts";
import { emptyCoverage, World } from "./world.ts";

const seeds = Number(Deno.env.get("SEEDS") ?? 1000);
const first = Number(Deno.env.get("FIRST") ?? 1);

Deno.test("a feed is LIVE only while the tree is the engine's true cache, and comes back to it", async () => {
  const coverage = emptyCoverage();
  for (let seed = first; seed < first + seeds; seed++) {
    const tree = new BlockTreeTwin(8, 7n);
    try {
      await new World(seed, tree, seed % 8, coverage).run(60);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  console.log(coverage);
  for (const [name, count] of Object.entries(coverage)) ok(count > seeds / 4, `${name}: ${count}`);
});
