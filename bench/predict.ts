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
 *   train_s_20k                one training of 200 trees of depth 6 on 20,000 rows of 13 columns, mean; train_p90_s_20k for a
 *                              quantile, train_bin_s_20k the part before the first tree; train_mb_20k its memory
 *   decide_p99_change_while_training   p99 of decisions over 8k tokens and 100 endpoints while the router's training worker
 *                              trains without end, over that of decisions beside nothing, less one
 */
import { type Bench, type BenchContext, type Flags, positiveInteger, type Report } from "./lib/bench.ts";
import { Figures } from "./lib/stats.ts";
import { besideFigures } from "./predict/beside.ts";
import { measureScores } from "./predict/score.ts";
import { trainingFigures } from "./predict/train.ts";

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
    const { smoke, progress } = context;
    await trainingFigures({ rows: smoke ? 500 : 20_000, rounds: smoke ? 1 : 9, progress }, figures);
    const beside = smoke ? { rows: 500, rounds: 1, decisions: 50 } : { rows: 20_000, rounds: 9, decisions: 3000 };
    await besideFigures({ ...beside, endpoints: smoke ? 5 : 100, progress }, figures);
    return { setting, figures: figures.toRecord() };
  },
};
