/** Decisions while forests are trained beside them, over decisions while nothing is trained. */
import { latencyDefaults } from "../../src/config/latency_defaults.ts";
import { Prng, systemClock } from "../../src/core/mod.ts";
import { boosting, columns, modelColumns, WorkerShop } from "../../src/latency/mod.ts";
import { DecidingPool } from "../decide/decisions.ts";
import { chatBody } from "../decide/population.ts";
import type { Progress } from "../lib/progress.ts";
import { type Figures, quantile } from "../lib/stats.ts";
import { randomColumns } from "./forests.ts";

export interface BesideSetting {
  readonly rows: number;
  readonly rounds: number;
  /** Decisions that a p99 is of. */
  readonly decisions: number;
  readonly endpoints: number;
  readonly progress: Progress;
}

const promptTokens = 8192;
/** As a served request leaves the edge idle now and then: so many decisions, then a turn of the event loop. */
const burst = 50;

/**
 * `decide_p99_change_while_training`: p99 of decisions over 8k tokens while the shop's worker trains without end, over that of
 * the same decisions before; the policy predicts. Interleaved by rounds.
 */
export async function besideFigures(setting: BesideSetting, figures: Figures): Promise<void> {
  const { rows, rounds, decisions, endpoints, progress } = setting;
  const pool = await DecidingPool.create(endpoints, "predicted");
  const bodies = Array.from({ length: 32 }, (_, i) => chatBody(promptTokens, i % 8, 1000 + i, i % 4 !== 0));
  for (const { earlier } of bodies) pool.serve(earlier);
  const p99 = async () => {
    const tookMs: number[] = [];
    while (tookMs.length < decisions) {
      tookMs.push(...pool.decide(bodies, burst).wholeMs);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return quantile(Float64Array.from(tookMs).sort(), 0.99);
  };
  await p99();
  const shop = new WorkerShop({ clock: systemClock, quantile: () => latencyDefaults.quantile });
  try {
    for (let round = 0; round < rounds; round++) {
      progress.update("beside training", round, rounds);
      const alone = await p99();
      const stop = new AbortController();
      const training = trainOn(shop, rows, stop.signal);
      const beside = await p99();
      stop.abort();
      await training;
      figures.add("decide_p99_alone_ms", alone);
      figures.add("decide_p99_training_ms", beside);
      figures.add("decide_p99_change_while_training", beside / alone - 1);
    }
  } finally {
    await shop.stop();
  }
}

/** One training after the other, of two quantiles as the router has them, until it is enough. */
async function trainOn(shop: WorkerShop, rows: number, signal: AbortSignal): Promise<void> {
  const prng = new Prng(1);
  const own = modelColumns.ttft;
  while (!signal.aborted) {
    const [labels, ...values] = randomColumns(own.length + 1, rows, prng);
    const set = {
      featureNames: own.map(([name]) => name),
      featureTypes: own.map(() => "float" as const),
      rows,
      columns: values,
      labels,
      margins: new Float32Array(rows),
      weights: new Float32Array(rows).fill(1),
    };
    const { trees, depth, learningRate } = latencyDefaults.training;
    const parameters = {
      ...boosting,
      quantiles: [0.5, latencyDefaults.quantile],
      trees,
      depth,
      learningRate,
      monotone: own.map(([, sign]) => sign),
      seed: 1,
    };
    const heldBack = columns.map(() => new Float32Array(512));
    await shop.train({ target: "ttft", set, parameters, heldBack }, signal).catch((error) => {
      if (!signal.aborted) throw error;
    });
  }
}
