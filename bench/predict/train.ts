/**
 * The part of `predict` that learns: how long does it take to learn a forest from 20,000 rows?
 *
 * Measured, on one thread, in this process: `TreeTrainer` from arrays in memory to the finished forest, binning included;
 * 200 trees of depth 6 from 13 columns with llm-d's hyper-parameters. Made up: the rows, latencies of a simulated fleet.
 *
 *   train_s_20k, train_p90_s_20k   seconds, for the mean and for the 90th percentile
 *   train_bin_s_20k                the part of it before the first tree
 *   train_mb_20k                   memory the trainer works in
 */
import { TreeTrainer } from "../../src/hotpath/mod.ts";
import { defaultTraining, type ForestOptions, trainingOptions } from "../../src/latency/mod.ts";
import type { Progress } from "../lib/progress.ts";
import type { Figures } from "../lib/stats.ts";
import { latencyColumns, simulateLatencies } from "./latency_data.ts";

export interface TrainingSetting {
  /** 20,000 where the figures are to mean what they say. */
  readonly rows: number;
  readonly rounds: number;
  readonly progress: Progress;
}

/** Adds the figures of `rounds` trainings of each kind. */
export async function trainingFigures({ rows, rounds, progress }: TrainingSetting, figures: Figures): Promise<void> {
  const { columns, ttftMs } = simulateLatencies(rows, 1);
  const data = { rows, columns, labels: ttftMs };
  const kinds: [string, ForestOptions][] = [
    ["train_s_20k", { ...defaultTraining, objective: "squared-error", seed: 1 }],
    ["train_p90_s_20k", { ...defaultTraining, objective: "quantile", quantiles: [0.9], seed: 1 }],
  ];
  for (let round = 0; round < rounds; round++) {
    progress.update("training", round, rounds);
    for (const [name, options] of kinds) {
      const startMs = performance.now();
      const trainer = await TreeTrainer.create(data, trainingOptions(options, latencyColumns));
      const binnedMs = performance.now();
      while (trainer.step());
      trainer.finish();
      figures.add(name, (performance.now() - startMs) / 1000);
      figures.add("train_bin_s_20k", (binnedMs - startMs) / 1000);
      figures.add("train_mb_20k", trainer.bytes / 1e6);
    }
  }
}
