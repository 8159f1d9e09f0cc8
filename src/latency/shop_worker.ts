/** The isolate that grows forests and reads their files. */
/// <reference lib="deno.worker" />
import { reasonOf, sleep, systemClock } from "../core/mod.ts";
import { TreeTrainer } from "../hotpath/mod.ts";
import { openModel, residualSum, sumAttribute } from "./open_model.ts";
import type { FromShop, ToShop } from "./shop_messages.ts";
import type { TrainingParameters, TrainingSet } from "./trainer.ts";
import { ensembleOf, type ForestOptions, trainingOptions } from "./training.ts";
import { writeModelUbjson } from "./xgboost/write.ts";

/** Between two pauses, so that others on the same core wait no longer. */
const spellMs = 2;

/** Grows a forest, working for `share` of the time. */
async function grow(set: TrainingSet, parameters: TrainingParameters, share: number): Promise<Uint8Array> {
  const { rowSample, columnSample, quantiles, monotone, ...same } = parameters;
  const options: ForestOptions = {
    ...same,
    subsample: rowSample,
    columnsByTree: columnSample,
    objective: quantiles.length === 0 ? "squared-error" : "quantile",
    quantiles,
  };
  const columns = set.featureNames.map((name, c) => ({
    name,
    type: set.featureTypes[c],
    monotone: monotone[c] as -1 | 0 | 1 | undefined,
  }));
  const trainer = await TreeTrainer.create(set, trainingOptions(options, columns));
  let startMs = systemClock.now();
  while (trainer.step()) {
    const workedMs = systemClock.now() - startMs;
    if (workedMs < spellMs) continue;
    await sleep(systemClock, workedMs * (1 / share - 1));
    startMs = systemClock.now();
  }
  return writeModelUbjson(ensembleOf(trainer.finish(), options, columns, { [sumAttribute]: residualSum }));
}

async function handle(message: ToShop): Promise<FromShop> {
  try {
    if (message.kind === "train") {
      return { kind: "trained", file: await grow(message.set, message.parameters, message.share) };
    }
    const { target, file, heldBack, quantile, residual } = message;
    return { kind: "opened", forest: openModel(target, file, heldBack, quantile, residual) };
  } catch (error) {
    return { kind: "failed", message: reasonOf(error) };
  }
}

self.onmessage = async ({ data }: MessageEvent<ToShop>) => {
  self.postMessage(await handle(data));
};
