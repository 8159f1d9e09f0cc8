import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import { defaultTraining } from "./training.ts";
import { runTraining, type TrainingTarget } from "./training_job.ts";

function target(objective: "squared-error" | "quantile", rows = 40): TrainingTarget {
  const column = Float32Array.from({ length: rows }, (_, row) => row);
  return {
    columns: [{ name: "load", type: "float" }],
    data: { rows, columns: [column], labels: column.map((x) => 2 * x) },
    options: { ...defaultTraining, trees: 4, objective, quantiles: [0.5], seed: 1 },
    attributes: { for: objective },
  };
}

/** A clock on which 3 ms pass between two looks. */
function restless(): { clock: VirtualClock; looks: number } {
  const clock = new VirtualClock(), seen = { clock, looks: 0 };
  const now = clock.now.bind(clock);
  clock.now = () => {
    clock.advance(3);
    seen.looks++;
    return now();
  };
  return seen;
}

Deno.test("runTraining() gives one model a target and rests its share of the time after every round", async () => {
  const rests: number[] = [];
  const job = { targets: [target("squared-error"), target("quantile")], niceShare: 0.25 };
  const ensembles = await runTraining(job, restless().clock, (ms) => {
    rests.push(ms);
    return false;
  });
  deepStrictEqual(ensembles?.map(({ objective }) => objective), ["reg:squarederror", "reg:quantileerror"]);
  deepStrictEqual(ensembles?.map(({ trees }) => trees.length), [4, 4]);
  deepStrictEqual(ensembles?.map(({ attributes }) => attributes.for), ["squared-error", "quantile"]);
  // 3 ms of work are three quarters of 4 ms.
  deepStrictEqual(rests, new Array(8).fill(1));
});

Deno.test("runTraining() ends between two rounds when told to stop", async () => {
  let rounds = 0;
  const job = { targets: [target("squared-error")], niceShare: 0 };
  equal(await runTraining(job, new VirtualClock(), () => ++rounds === 2), undefined);
  equal(rounds, 2);
});

Deno.test("runTraining() refuses a share of rest that would never let it end, and data that say nothing", async () => {
  for (const niceShare of [-0.1, 0.95, NaN]) {
    await rejects(
      runTraining({ targets: [], niceShare }, new VirtualClock(), () => false),
      /niceShare must be from 0 to 0.9/,
    );
  }
  const empty = { targets: [target("squared-error", 0)], niceShare: 0 };
  await rejects(runTraining(empty, new VirtualClock(), () => false), RangeError);
  ok(await runTraining({ targets: [], niceShare: 0.9 }, new VirtualClock(), () => false));
});
