import { deepStrictEqual, equal, ok, rejects } from "node:assert/strict";
import { VirtualClock } from "../core/mod.ts";
import type { Job } from "./jobs.ts";
import { readTokenizerFiles } from "./tokenizer_files.ts";
import { smallFiles } from "./vocabulary_fixture.ts";
import type { FromWorker, ToWorker } from "./worker_messages.ts";
import { WorkerPool } from "./worker_pool.ts";

/** Stands for a worker: keeps what it is told; the test answers for it. */
class FakeWorker extends EventTarget {
  static all: FakeWorker[] = [];
  readonly told: ToWorker[] = [];
  onmessage?: (event: MessageEvent<FromWorker>) => void;
  onerror?: (event: Event) => void;
  terminated = false;

  constructor() {
    super();
    FakeWorker.all.push(this);
  }

  postMessage(message: ToWorker): void {
    this.told.push(message);
  }

  terminate(): void {
    this.terminated = true;
  }

  get jobs(): number[] {
    return this.told.flatMap((message) => message.kind === "job" ? [message.job.body[0]] : []);
  }

  answer(id: number): void {
    const answer = { tokens: Uint32Array.of(id), source: "tokenizer", cachedTokens: 0 } as const;
    this.onmessage!(new MessageEvent("message", { data: { kind: "done", answer, cacheBytes: 10 * id } }));
  }

  die(): void {
    this.onerror!(new Event("error", { cancelable: true }));
  }
}

function setUp(count = 1, queueMax = 8): { clock: VirtualClock; pool: WorkerPool; workers: FakeWorker[] } {
  FakeWorker.all = [];
  const clock = new VirtualClock();
  const start = () => new FakeWorker() as unknown as Worker;
  return {
    clock,
    pool: new WorkerPool({ count, queueMax, cacheBytesMax: 1000, clock, start }),
    workers: FakeWorker.all,
  };
}

const job = (id: number): Job => ({ kind: "prompt", model: "m", api: "completions", body: Uint8Array.of(id) });

async function outcome(pending: Promise<unknown>): Promise<unknown> {
  const answer = await pending as { reason?: string; tokens?: Uint32Array };
  return answer.reason ?? answer.tokens![0];
}

Deno.test("run() gives one job at a time to a worker that starts with the first, and answers in order", async () => {
  const { pool, workers } = setUp();
  equal(workers.length, 0);
  const first = outcome(pool.run(job(1))), second = outcome(pool.run(job(2)));
  deepStrictEqual(workers.map((worker) => worker.jobs), [[1]]);
  equal(pool.waiting, 1);
  workers[0].answer(1);
  deepStrictEqual(workers[0].jobs, [1, 2]);
  workers[0].answer(2);
  deepStrictEqual(await Promise.all([first, second]), [1, 2]);
  equal(pool.cacheBytes, 20);
});

Deno.test("run() leaves the caller's body as it is", async () => {
  const { pool, workers } = setUp();
  const own = job(7);
  const pending = pool.run(own);
  workers[0].answer(7);
  await pending;
  equal(own.body[0], 7);
});

Deno.test("run() uses another worker when the one that knows the prompt is busy", async () => {
  const { pool, workers } = setUp(2);
  const pending = [outcome(pool.run(job(1))), outcome(pool.run(job(1)))];
  equal(workers.length, 2);
  workers[0].answer(1);
  workers[1].answer(2);
  deepStrictEqual(await Promise.all(pending), [1, 2]);
  // Idle both: the same beginning goes to the same worker each time.
  for (let i = 0; i < 3; i++) {
    const again = pool.run(job(1));
    const taken = workers.findIndex((worker) => worker.jobs.length > i + 1);
    workers[taken].answer(3);
    await again;
  }
  deepStrictEqual(workers.map((worker) => worker.jobs.length).sort(), [1, 4]);
});

Deno.test("run() answers busy when as many wait as may", async () => {
  const { pool, workers } = setUp(1, 2);
  const pending = [1, 2, 3].map((id) => outcome(pool.run(job(id))));
  equal(await outcome(pool.run(job(4))), "busy");
  for (const id of [1, 2, 3]) workers[0].answer(id);
  deepStrictEqual(await Promise.all(pending), [1, 2, 3]);
});

Deno.test("run() withdraws what waits when its signal aborts, and does not start what is aborted", async () => {
  const { pool, workers } = setUp();
  const first = outcome(pool.run(job(1)));
  const abort = new AbortController();
  const second = outcome(pool.run(job(2), abort.signal));
  abort.abort();
  equal(await second, "cancelled");
  equal(pool.waiting, 0);
  equal(await outcome(pool.run(job(3), abort.signal)), "cancelled");
  workers[0].answer(1);
  equal(await first, 1);
  deepStrictEqual(workers[0].jobs, [1]);
});

Deno.test("a worker that dies loses its prompt and those behind it, and another is started after a pause", async () => {
  const { clock, pool, workers } = setUp();
  const data = readTokenizerFiles(smallFiles());
  pool.adopt("m", data, {});
  const pending = [1, 2].map((id) => outcome(pool.run(job(id))));
  workers[0].die();
  deepStrictEqual(await Promise.all(pending), ["worker-lost", "worker-lost"]);
  ok(workers[0].terminated);
  equal(pool.deaths, 1);
  equal(await outcome(pool.run(job(3))), "worker-lost");
  clock.advance(500);
  const next = outcome(pool.run(job(4)));
  deepStrictEqual(workers[1].told.map(({ kind }) => kind), ["start", "adopt", "job"]);
  workers[1].answer(4);
  equal(await next, 4);
});

Deno.test("the pause after a death doubles with each in a row", async () => {
  const { clock, pool, workers } = setUp();
  for (const pauseMs of [500, 1000, 2000]) {
    const lost = outcome(pool.run(job(1)));
    workers.at(-1)!.die();
    equal(await lost, "worker-lost");
    clock.advance(pauseMs - 1);
    equal(await outcome(pool.run(job(1))), "worker-lost");
    clock.advance(1);
  }
});

Deno.test("a worker that hangs is taken for dead", async () => {
  const { clock, pool, workers } = setUp();
  const lost = outcome(pool.run(job(1)));
  clock.advance(30_000);
  equal(await lost, "worker-lost");
  ok(workers[0].terminated);
});

Deno.test("close() answers all that wait and ends the workers", async () => {
  const { clock, pool, workers } = setUp();
  const pending = [1, 2].map((id) => outcome(pool.run(job(id))));
  pool.close();
  deepStrictEqual(await Promise.all(pending), ["closed", "closed"]);
  ok(workers[0].terminated);
  equal(await outcome(pool.run(job(3))), "closed");
  equal(clock.step(), false);
});

Deno.test("load() rejects with what the worker says, and when it dies", async () => {
  const { pool, workers } = setUp();
  const failing = pool.load({ directory: "nowhere" });
  workers[0].onmessage!(new MessageEvent("message", { data: { kind: "failed", message: "no such folder" } }));
  await rejects(failing, /no such folder/);
  const lost = pool.load({ directory: "nowhere" });
  workers[0].die();
  await rejects(lost, /worker died/);
});

Deno.test("an error in a real worker loses its prompt and nothing else", async () => {
  const code = "self.onmessage = ({ data }) => { if (data.kind === 'job') throw new Error('a defect'); };";
  const start = () => new Worker(`data:text/javascript,${encodeURIComponent(code)}`, { type: "module" });
  const clock = new VirtualClock();
  const pool = new WorkerPool({ count: 1, queueMax: 8, cacheBytesMax: 1000, clock, start });
  equal(await outcome(pool.run(job(1))), "worker-lost");
  clock.advance(500);
  equal(await outcome(pool.run(job(2))), "worker-lost");
  equal(pool.deaths, 2);
  pool.close();
});
