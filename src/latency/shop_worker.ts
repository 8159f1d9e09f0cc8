/** The isolate that grows forests and reads their files. */
/// <reference lib="deno.worker" />
import { reasonOf, sleep, systemClock } from "../core/mod.ts";
import { growForest } from "./grow.ts";
import { openModel } from "./open_model.ts";
import type { FromShop, ToShop } from "./shop_messages.ts";

/** Between two pauses, so that others on the same core wait no longer. */
const spellMs = 2;

/** Pauses so that the work takes `share` of the time. */
function pauses(share: number): () => Promise<void> | undefined {
  let startMs = systemClock.now();
  return () => {
    const workedMs = systemClock.now() - startMs;
    if (workedMs < spellMs || share >= 1) return undefined;
    return sleep(systemClock, workedMs * (1 / share - 1)).then(() => void (startMs = systemClock.now()));
  };
}

async function handle(message: ToShop): Promise<FromShop> {
  try {
    if (message.kind === "train") {
      return { kind: "trained", file: await growForest(message.set, message.parameters, pauses(message.share)) };
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
