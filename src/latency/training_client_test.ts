import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { systemClock, VirtualClock } from "../core/mod.ts";
import { defaultTraining } from "./training.ts";
import { TrainingError, TrainingWorker } from "./training_client.ts";
import { runTraining, type TrainingJob } from "./training_job.ts";
import type { FromTrainer, ToTrainer } from "./training_messages.ts";

function jobOf(rows: number, trees = 5): TrainingJob {
  const column = Float32Array.from({ length: rows }, (_, row) => row % 17);
  const data = { rows, columns: [column, column.map((x) => x * x)], labels: column.map((x) => 3 * x + 1) };
  return {
    targets: [{
      columns: [{ name: "a", type: "float" }, { name: "b", type: "float" }],
      data,
      options: { ...defaultTraining, trees, objective: "squared-error", seed: 1 },
    }],
    niceShare: 0,
  };
}

const failure = (reason: string) => (error: unknown) => error instanceof TrainingError && error.reason === reason;

/** Stands for a worker: keeps what it is told; the test answers for it. */
class FakeWorker extends EventTarget {
  readonly told: ToTrainer[] = [];
  onmessage?: (event: MessageEvent<FromTrainer>) => void;
  onerror?: (event: ErrorEvent) => void;
  terminated = false;

  postMessage(message: ToTrainer): void {
    this.told.push(message);
  }

  terminate(): void {
    this.terminated = true;
  }

  answer(data: FromTrainer): void {
    this.onmessage!(new MessageEvent("message", { data }));
  }
}

function setUp(): { clock: VirtualClock; trainer: TrainingWorker; workers: FakeWorker[] } {
  const clock = new VirtualClock(), workers: FakeWorker[] = [];
  const start = () => {
    workers.push(new FakeWorker());
    return workers.at(-1) as unknown as Worker;
  };
  return { clock, trainer: new TrainingWorker(clock, start), workers };
}

Deno.test("train() learns in a worker what would be learnt here, takes the arrays, and refuses what cannot be", async () => {
  const trainer = new TrainingWorker(systemClock);
  try {
    const job = jobOf(200);
    const here = await runTraining(structuredClone(job), systemClock, () => false);
    const there = await trainer.train(job);
    deepStrictEqual(there, here);
    equal(job.targets[0].data.labels.length, 0);
    await rejects(trainer.train(jobOf(0)), failure("refused"));
    await rejects(trainer.train(job), failure("refused"));
    equal(trainer.deaths, 0);
    equal((await trainer.train(jobOf(200))).length, 1);
  } finally {
    trainer.close();
  }
});

Deno.test("a signal stops a worker that is at work, and one that rests", async () => {
  for (const niceShare of [0, 0.9]) {
    const trainer = new TrainingWorker(systemClock), abort = new AbortController();
    try {
      const pending = trainer.train({ ...jobOf(20_000, 100_000), niceShare }, abort.signal);
      abort.abort();
      await rejects(pending, failure("cancelled"));
      equal(trainer.isBusy, false);
      equal((await trainer.train(jobOf(50)))[0].trees.length, 5);
    } finally {
      trainer.close();
    }
  }
});

Deno.test("train() takes one job at a time, from a worker that starts with the first", async () => {
  const { trainer, workers } = setUp();
  equal(workers.length, 0);
  const first = trainer.train(jobOf(10));
  ok(trainer.isBusy);
  await rejects(trainer.train(jobOf(10)), failure("busy"));
  workers[0].answer({ kind: "trained", ensembles: [] });
  deepStrictEqual(await first, []);
  const second = trainer.train(jobOf(10));
  deepStrictEqual([workers.length, workers[0].told.length], [1, 2]);
  workers[0].answer({ kind: "refused", message: "too few rows" });
  await rejects(second, { name: "TrainingError", reason: "refused", message: "too few rows" });
});

Deno.test("train() tells the worker to stop when its signal aborts, and asks nothing when it has", async () => {
  const { trainer, workers } = setUp(), abort = new AbortController();
  const pending = trainer.train(jobOf(10), abort.signal);
  equal(workers[0].told[0].stop[0], 0);
  abort.abort();
  equal(workers[0].told[0].stop[0], 1);
  workers[0].answer({ kind: "stopped" });
  await rejects(pending, failure("cancelled"));
  await rejects(trainer.train(jobOf(10), abort.signal), failure("cancelled"));
  equal(workers[0].told.length, 1);
});

Deno.test("a worker that dies or hangs loses its job, and the next job starts another", async () => {
  const { clock, trainer, workers } = setUp();
  const first = trainer.train(jobOf(10));
  workers[0].onerror!(new ErrorEvent("error", { message: "out of memory", cancelable: true }));
  await rejects(first, { reason: "lost", message: "The training was lost with its worker: out of memory" });
  const second = trainer.train(jobOf(10));
  clock.advance(300_000);
  await rejects(second, failure("lost"));
  deepStrictEqual(workers.map(({ terminated }) => terminated), [true, true]);
  equal(trainer.deaths, 2);
  const third = trainer.train(jobOf(10));
  workers[2].answer({ kind: "trained", ensembles: [] });
  deepStrictEqual(await third, []);
  equal(clock.step(), false, "no watch is left");
});

Deno.test("close() ends the worker and the job under way, and refuses those that come", async () => {
  const { trainer, workers } = setUp();
  const pending = trainer.train(jobOf(10));
  trainer.close();
  await rejects(pending, failure("closed"));
  await rejects(trainer.train(jobOf(10)), failure("closed"));
  ok(workers[0].terminated);
});
