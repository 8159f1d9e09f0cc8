/**
 * `predict`: what does it cost to ask the latency models?
 *
 *     deno task bench predict [--trees 200] [--depth 6] [--rounds 15] [--json]
 *
 * Measured, on one thread, through the door the router uses: columns are filled and every endpoint is scored by two
 * forests, 13 and 9 features, in one call. Made up: the forests (full trees, everything by chance) and the rows. At the end
 * a sample of the scores is compared with sums made here; a difference fails the run.
 *
 *   us_per_endpoint            both forests, one endpoint of a call with 100
 *   ms_10, ms_100, ms_1000     one call with so many endpoints, again and again
 *   ms_100_cold                the same after 16 MiB of other memory were written
 *   forest_kb_0, forest_kb_1   size of the packed forests
 */
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { Figures } from "./lib/stats.ts";
import { measureScores } from "./predict/score.ts";

export const predict: Bench = {
  name: "predict",
  summary: "What does it cost to ask the latency models?",
  flags: [
    { flag: "--trees <n>", about: "trees of each forest", fallback: "200" },
    { flag: "--depth <n>", about: "levels of each tree", fallback: "6" },
    { flag: "--rounds <n>", about: "rounds over all pool sizes", fallback: "15" },
  ],
  async run(flags: Flags, context: BenchContext): Promise<Report> {
    const setting = context.smoke ? { trees: 20, depth: 6, rounds: 1, rowsARound: 1000 } : {
      trees: positiveInteger(flags, "trees"),
      depth: positiveInteger(flags, "depth"),
      rounds: positiveInteger(flags, "rounds"),
      rowsARound: 20_000,
    };
    const figures = new Figures();
    await measureScores(setting, figures, context);
    return { setting, figures: figures.toRecord() };
  },
};
