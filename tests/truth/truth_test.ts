import { deepStrictEqual } from "node:assert/strict";
import { Hotpath } from "../../src/hotpath/mod.ts";
import { emptyCoverage, World } from "./world.ts";

/** A failing seed is the whole report: FIRST=<seed> SEEDS=1 repeats it. */
const first = Number(Deno.env.get("FIRST") ?? 1);
const seeds = Number(Deno.env.get("SEEDS") ?? 1000);
const steps = 60;

const slots = 8;
const treeBytes = 1 << 20;
const { blockTree } = await Hotpath.load(
  { endpoints: slots, blockTreeBytes: treeBytes, bodyBytesMax: 64, prefixTokensMax: 1024 },
  7,
);

Deno.test("a feed is LIVE only while the tree is the engine's true cache, and comes back to it", async () => {
  const coverage = emptyCoverage();
  for (let seed = first; seed < first + seeds; seed++) {
    blockTree.init(treeBytes);
    try {
      await new World(seed, blockTree, seed % slots, coverage).run(steps);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  // Every kind of trouble was met, in a good part of the seeds.
  const rare = Object.entries(coverage).filter(([, count]) => count < seeds / 2).map(([name]) => name);
  if (seeds >= 100) deepStrictEqual(rare, []);
});
