/** The isolate that grows forests and reads their files. */
/// <reference lib="deno.worker" />
import { reasonOf, sleep, systemClock } from "../core/mod.ts";
import { TreeTrainer } from "../hotpath/mod.ts";
import { openModel, residualSum, sumAttribute } from "./open_model.ts";
import type { FromShop, ToShop } from "./shop_messages.ts";
import type { TrainingParameters, TrainingSet } from "./trainer.ts";
import { ensembleOf, trainingOptions } from "./training.ts";
import { writeModelUbjson } from "./xgboost/write_model.ts";

/** Between two pauses, so that others on the same core wait no longer. */
const spellMs = 2;

/** Grows a forest, working for `share` of the time. */
async function grow(set: TrainingSet, parameters: TrainingParameters, share: number): Promise<Uint8Array> {
  const trainer = await TreeTrainer.create(set, trainingOptions(set, parameters));
  let startMs = systemClock.now();
  while (trainer.step()) {
    const workedMs = systemClock.now() - startMs;
    if (workedMs < spellMs) continue;
    await sleep(systemClock, workedMs * (1 / share - 1));
    startMs = systemClock.now();
  }
  return writeModelUbjson(ensembleOf(trainer.finish(), set, parameters, { [sumAttribute]: residualSum }));
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
