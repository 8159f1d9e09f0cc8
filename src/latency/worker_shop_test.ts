import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { Prng, systemClock, VirtualClock } from "../core/mod.ts";
import { columns, modelColumns } from "./features.ts";
import { ForestError, type ForestJob, type MadeForest } from "./forest_shop.ts";
import { growForest } from "./grow.ts";
import { openModel } from "./open_model.ts";
import type { FromShop, ToShop } from "./shop_messages.ts";
import { ForestKind } from "./state.ts";
import { type ForestTrainer, TrainingError } from "./trainer.ts";
import { WorkerShop, type WorkerShopOptions } from "./worker_shop.ts";

const never = new AbortController().signal;

const heldBack = (() => {
  const rng = new Prng(8);
  return columns.map(() => Float32Array.from({ length: 30 }, () => rng.float()));
})();

/** A job whose arrays nobody else holds: they are given away. */
function job({ rows = 400, trees = 10, seed = 1 } = {}): ForestJob {
  const rng = new Prng(2), own = modelColumns.ttft;
  const column = () => Float32Array.from({ length: rows }, () => rng.float());
  return {
    target: "ttft",
    set: {
      featureNames: own.map(([name]) => name),
      featureTypes: own.map(() => "float"),
      rows,
      columns: own.map(column),
      labels: column(),
      margins: new Float32Array(rows),
      weights: column().fill(1),
    },
    parameters: {
      quantiles: [0.5, 0.9],
      trees,
      depth: 4,
      learningRate: 0.1,
      rowSample: 0.8,
      columnSample: 0.8,
      minChildWeight: 5,
      gamma: 0,
      l1: 0,
      l2: 0.1,
      bins: 64,
      monotone: own.map(([, sign]) => sign),
      seed,
    },
    heldBack,
  };
}

const told = ({ kind, file, packed, sums, trees }: Omit<MadeForest, "tookMs">) => ({ kind, file, packed, sums, trees });

/** What comes of a job, worked out in this isolate. */
async function expected({ target, set, parameters, heldBack }: ForestJob) {
  return told(openModel(target, await growForest(set, parameters), heldBack, parameters.quantiles[1], true));
}

/** Stands for a worker: keeps what it is asked, and the test answers for it. */
class FakeWorker {
  readonly asked: ToShop[] = [];
  onmessage?: (event: MessageEvent<FromShop>) => void;
  onerror?: (event: ErrorEvent) => void;
  terminated = false;

  postMessage(message: ToShop, transfer: Transferable[]): void {
    // Takes what is given away, as a worker does.
    this.asked.push(structuredClone(message, { transfer }));
  }

  terminate(): void {
    this.terminated = true;
  }

  answer(data: FromShop): void {
    this.onmessage!(new MessageEvent("message", { data }));
  }

  fail(message: string): void {
    this.onerror!(new ErrorEvent("error", { message, cancelable: true }));
  }
}

const made = { ...openModel("ttft", await growForest(job().set, job().parameters), heldBack, 0.9) };
const opened: FromShop = { kind: "opened", forest: made };

function faked(options: Partial<WorkerShopOptions> = {}) {
  const workers: FakeWorker[] = [];
  const clock = new VirtualClock();
  const start = () => {
    workers.push(new FakeWorker());
    return workers.at(-1) as unknown as Worker;
  };
  return { clock, workers, shop: new WorkerShop({ clock, quantile: () => 0.9, start, ...options }) };
}

/** Lets promises go on as far as they can. */
async function settle(): Promise<void> {
  for (let i = 0; i < 30; i++) await Promise.resolve();
}

const lost = (why: string) => ({ name: "ForestError", message: `The worker that makes forests has ended: ${why}` });

Deno.test("a real worker trains what this isolate would, by one forest after the other, and opens files", async () => {
  const shop = new WorkerShop({ clock: systemClock, quantile: () => 0.9 });
  try {
    equal(shop.ordered, false);
    const given = job();
    const jobs = [shop.train(given, never), shop.train(job({ seed: 2 }), never)];
    const [first, second] = await Promise.all(jobs);
    deepStrictEqual(told(first), await expected(job()));
    deepStrictEqual(told(second), await expected(job({ seed: 2 })));
    ok(first.kind === ForestKind.Residual && first.tookMs > 0);
    equal(given.set.labels.length, 0, "the rows are given away");

    const again = await shop.load("ttft", first.file, heldBack);
    deepStrictEqual(told(again), told(first), "its file says what it is");
    const unusable = new TextEncoder().encode('{"learner": 5}');
    await rejects(
      shop.load("ttft", unusable, heldBack),
      (error) => error instanceof ForestError && /learner/.test(error.message),
    );
    await rejects(
      shop.load("tpot", first.file, heldBack).then(() => shop.load("ttft", first.file.slice(9), heldBack)),
      ForestError,
    );
    await rejects(shop.train({ ...job(), parameters: { ...job().parameters, depth: 0 } }, never), ForestError);
    deepStrictEqual(told(await shop.train(job(), never)), told(first), "what failed does not stay");
  } finally {
    await shop.stop();
  }
  await rejects(shop.load("ttft", made.file, heldBack), { message: "Cannot make a forest: the shop is stopped" });
});

Deno.test("a training that is given up ends at once, and the next one is made by another worker", async () => {
  const started: Worker[] = [];
  const start = () => {
    started.push(new Worker(new URL("./shop_worker.ts", import.meta.url), { type: "module" }));
    return started.at(-1)!;
  };
  const shop = new WorkerShop({ clock: systemClock, quantile: () => 0.9, start });
  try {
    // Would take many seconds.
    const long = new AbortController();
    const training = shop.train(job({ rows: 40_000, trees: 1000 }), long.signal);
    const next = shop.train(job(), never);
    await settle();
    equal(started.length, 1);
    long.abort();
    await rejects(training, lost("nobody waits for it any more"));
    deepStrictEqual(told(await next), await expected(job()));
    equal(started.length, 2);
  } finally {
    await shop.stop();
  }
});

Deno.test("a real worker that dies takes its task with it and nothing else", async () => {
  const code = "self.onmessage = () => { throw new Error('a defect'); };";
  let starts = 0;
  const start = () =>
    ++starts === 1
      ? new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" })
      : new Worker(new URL("./shop_worker.ts", import.meta.url), { type: "module" });
  const shop = new WorkerShop({ clock: systemClock, quantile: () => 0.9, start });
  try {
    await rejects(shop.load("ttft", made.file, heldBack), { name: "ForestError", message: /a defect/ });
    deepStrictEqual(told(await shop.load("ttft", made.file, heldBack)), told(made));
    equal(starts, 2);
  } finally {
    await shop.stop();
  }
});

Deno.test("a worker is started by the first task and is asked one thing at a time", async () => {
  const { shop, workers, clock } = faked();
  equal(workers.length, 0);
  const first = shop.load("ttft", Uint8Array.of(1), heldBack),
    second = shop.load("tpot", Uint8Array.of(2), heldBack, true);
  await settle();
  const [worker] = workers;
  deepStrictEqual(worker.asked, [
    { kind: "open", target: "ttft", file: Uint8Array.of(1), heldBack, quantile: 0.9, residual: false },
  ]);
  clock.advance(40);
  worker.answer(opened);
  deepStrictEqual(await first, { ...made, tookMs: 40 });
  await settle();
  equal(worker.asked.length, 2);
  worker.answer({ kind: "failed", message: "no model" });
  await rejects(second, { name: "ForestError", message: "no model" });
  const third = shop.train(job(), never);
  await settle();
  deepStrictEqual([worker.asked[2].kind, workers.length], ["train", 1]);
  worker.answer({ kind: "trained", file: made.file });
  await settle();
  deepStrictEqual([worker.asked[3].kind, "residual" in worker.asked[3] && worker.asked[3].residual], ["open", true]);
  worker.answer(opened);
  deepStrictEqual(told(await third), told(made));
});

Deno.test("who gives up what has not begun ends nobody else's, and it never begins", async () => {
  const { shop, workers } = faked();
  const running = shop.load("ttft", Uint8Array.of(1), heldBack);
  const given = new AbortController();
  const waiting = shop.train(job(), given.signal);
  await settle();
  given.abort();
  await settle();
  equal(workers[0].terminated, false);
  workers[0].answer(opened);
  await running;
  const refused = { name: "ForestError", message: "Cannot make a forest: nobody waits for it any more" };
  await rejects(waiting, refused);
  await rejects(shop.train(job(), AbortSignal.abort()), refused);
  deepStrictEqual([workers.length, workers[0].asked.length], [1, 1]);
});

Deno.test("a worker that hangs is replaced after two minutes, and what it says then is of nobody", async () => {
  const { shop, workers, clock } = faked();
  const hanging = shop.load("ttft", Uint8Array.of(1), heldBack);
  await settle();
  clock.advance(119_999);
  equal(workers[0].terminated, false);
  clock.advance(1);
  await rejects(hanging, lost("it hangs"));
  equal(workers[0].terminated, true);
  const next = shop.load("tpot", Uint8Array.of(2), heldBack);
  await settle();
  workers[0].answer({ kind: "failed", message: "too late" });
  workers[0].fail("too late");
  equal(workers[1].terminated, false);
  workers[1].answer(opened);
  deepStrictEqual(told(await next), told(made));
  // Nothing is watched any more.
  clock.advance(1e6);
  equal(workers[1].terminated, false);
});

Deno.test("stop() ends what is under way and what waits", async () => {
  const { shop, workers } = faked();
  const running = shop.train(job(), never), waiting = shop.load("ttft", made.file, heldBack);
  const ends = Promise.allSettled([running, waiting]);
  await settle();
  await shop.stop();
  equal(workers[0].terminated, true);
  deepStrictEqual((await ends).map((end) => end.status === "rejected" && end.reason.message), [
    lost("it is stopped").message,
    "Cannot make a forest: the shop is stopped",
  ]);
  equal(workers.length, 1);
});

Deno.test("a trainer trains in place of the worker, which opens what it made, in the order of time", async () => {
  const trained: unknown[] = [];
  let stopped = false;
  const trainer: ForestTrainer = {
    train(target, set, parameters, signal) {
      trained.push([target, set.rows, parameters.trees, signal]);
      if (parameters.seed === 9) return Promise.reject(new TrainingError("busy", "It takes no more"));
      return Promise.resolve(Uint8Array.of(7));
    },
    stop() {
      stopped = true;
      return Promise.resolve();
    },
  };
  const { shop, workers } = faked({ trainer });
  equal(shop.ordered, true);
  const training = shop.train(job(), never);
  await settle();
  deepStrictEqual(trained, [["ttft", 400, 10, never]]);
  deepStrictEqual(workers[0].asked, [
    { kind: "open", target: "ttft", file: Uint8Array.of(7), heldBack, quantile: 0.9, residual: true },
  ]);
  workers[0].answer(opened);
  deepStrictEqual(told(await training), told(made));
  await rejects(shop.train(job({ seed: 9 }), never), TrainingError);
  await shop.stop();
  ok(stopped);
});
