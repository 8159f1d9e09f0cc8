/** The isolate that learns forests, so that no edge's event loop waits for it. */
/// <reference lib="deno.worker" />
import { systemClock } from "../core/mod.ts";
import { runTraining } from "./training_job.ts";
import type { FromTrainer, ToTrainer } from "./training_messages.ts";

async function answer({ job, stop }: ToTrainer): Promise<FromTrainer> {
  const rest = (ms: number) => Atomics.load(stop, 0) !== 0 || (ms > 0 && Atomics.wait(stop, 0, 0, ms) !== "timed-out");
  try {
    const ensembles = await runTraining(job, systemClock, rest);
    return ensembles ? { kind: "trained", ensembles } : { kind: "stopped" };
  } catch (error) {
    if (error instanceof RangeError) return { kind: "refused", message: error.message };
    throw error;
  }
}

self.onmessage = async ({ data }: MessageEvent<ToTrainer>) => self.postMessage(await answer(data));
