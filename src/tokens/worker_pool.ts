import type { Clock, Timer } from "../core/mod.ts";
import type { AnswerJob, Job, JobAnswer, TokenizerOrigin } from "./jobs.ts";
import type { ChatSettings } from "./prompt_tokenizer.ts";
import type { TokenizerData } from "./tokenizer_files.ts";
import type { FromWorker, ToWorker } from "./worker_messages.ts";

/** Pause before a worker that died is started again; doubles with each death in a row, up to a minute. */
const restartMs = 500;
const restartMsMax = 60_000;

/** A job that takes longer means that its worker hangs: the longest prompt takes about a second. */
const jobMsMax = 30_000;

export interface WorkerPoolOptions {
  readonly count: number;
  /** Jobs that may wait for a worker; more are answered `busy`. */
  readonly queueMax: number;
  /** Of the token cache of one worker. */
  readonly cacheBytesMax: number;
  readonly clock: Clock;
  /** Starts a worker. Default: `worker.ts` beside this file. */
  readonly start?: () => Worker;
}

interface Model {
  readonly data: TokenizerData;
  readonly settings: ChatSettings;
}

/** One thing to say to a worker, and who waits for what it says back. */
interface Task {
  readonly message: ToWorker;
  readonly transfer: Transferable[];
  readonly resolve: (answer: FromWorker | undefined) => void;
  /** Worker that has seen the beginning of this prompt before; -1 for none. */
  readonly preferred: number;
}

/**
 * Workers with one task each at a time; the rest waits here, where it can be bounded and withdrawn. Started when first
 * needed. A worker that dies answers its task with nothing and is started again after a pause.
 */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #seats: Seat[];
  readonly #models = new Map<string, Model>();
  #queue: Task[] = [];
  #closed = false;
  /** Workers that died or hung. */
  deaths = 0;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#seats = Array.from({ length: options.count }, () => new Seat(this, options));
  }

  get waiting(): number {
    return this.#queue.length;
  }

  get cacheBytes(): number {
    return this.#seats.reduce((sum, seat) => sum + seat.cacheBytes, 0);
  }

  get models(): ReadonlyMap<string, Model> {
    return this.#models;
  }

  /** Reads a tokenizer in a worker; rejects where it cannot be used. */
  async load(origin: TokenizerOrigin): Promise<TokenizerData> {
    const answer = await this.#enqueue({ kind: "load", origin }, [], -1);
    if (answer?.kind === "loaded") return answer.data;
    throw new Error(answer?.kind === "failed" ? answer.message : "Cannot load the tokenizer as its worker died");
  }

  /** Makes a model known to every worker, and to those that start later. */
  adopt(model: string, data: TokenizerData, settings: ChatSettings): void {
    this.#models.set(model, { data, settings });
    for (const seat of this.#seats) seat.tell({ kind: "adopt", model, data, settings });
  }

  /** Does a job; its body is copied. `busy`, `worker-lost`, `cancelled` and `closed` are answers too. */
  async run(job: Job | AnswerJob, signal?: AbortSignal): Promise<JobAnswer> {
    if (this.#closed) return { reason: "closed" };
    if (signal?.aborted) return { reason: "cancelled" };
    if (this.#queue.length >= this.#options.queueMax) return { reason: "busy" };
    if (this.#seats.every((seat) => seat.isPaused)) return { reason: "worker-lost" };
    const body = new Uint8Array(job.body);
    const answer = await this.#enqueue({ kind: "job", job: { ...job, body } }, [body.buffer], this.#home(body), signal);
    if (answer?.kind === "done") return answer.answer;
    return { reason: this.#closed ? "closed" : signal?.aborted ? "cancelled" : "worker-lost" };
  }

  close(): void {
    this.#closed = true;
    for (const seat of this.#seats) seat.close();
    for (const task of this.#queue.splice(0)) task.resolve(undefined);
  }

  /** The worker for a prompt that begins so: its cache has seen the conversation. */
  #home(body: Uint8Array): number {
    let h = 0x811c9dc5;
    for (let i = 0; i < Math.min(body.length, 4096); i++) h = Math.imul(h ^ body[i], 0x01000193);
    return (h >>> 0) % this.#seats.length;
  }

  #enqueue(
    message: ToWorker,
    transfer: Transferable[],
    preferred: number,
    signal?: AbortSignal,
  ): Promise<FromWorker | undefined> {
    return new Promise((resolve) => {
      const withdraw = () => {
        const at = this.#queue.indexOf(task);
        if (at >= 0) this.#queue.splice(at, 1);
        task.resolve(undefined);
      };
      const task: Task = {
        message,
        transfer,
        preferred,
        resolve: (answer) => {
          signal?.removeEventListener("abort", withdraw);
          resolve(answer);
        },
      };
      signal?.addEventListener("abort", withdraw, { once: true });
      this.#queue.push(task);
      this.dispatch();
    });
  }

  /** Gives waiting tasks up when no worker is left to take them soon. */
  abandon(): void {
    if (this.#seats.every((seat) => seat.isPaused)) {
      for (const task of this.#queue.splice(0)) {
        task.resolve(undefined);
      }
    }
  }

  /** Gives waiting tasks to idle workers: to the one that has seen the prompt if it is idle, else to any. */
  dispatch(): void {
    while (this.#queue.length > 0 && !this.#closed) {
      const { preferred } = this.#queue[0];
      const home = preferred >= 0 && this.#seats[preferred].isIdle ? this.#seats[preferred] : undefined;
      const seat = home ?? this.#seats.find((other) => other.isIdle);
      if (!seat) return;
      seat.give(this.#queue.shift()!);
    }
  }
}

/** A place for a worker: empty until a task comes, and for a pause after its worker died. */
class Seat {
  readonly #pool: WorkerPool;
  readonly #options: WorkerPoolOptions;
  #worker?: Worker;
  #task?: Task;
  #watch?: Timer;
  #pause?: Timer;
  #deathsInRow = 0;
  cacheBytes = 0;

  constructor(pool: WorkerPool, options: WorkerPoolOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  get isIdle(): boolean {
    return this.#task === undefined && this.#pause === undefined;
  }

  /** Its worker died a moment ago. */
  get isPaused(): boolean {
    return this.#pause !== undefined;
  }

  tell(message: ToWorker): void {
    this.#worker?.postMessage(message);
  }

  give(task: Task): void {
    this.#worker ??= this.#start();
    this.#task = task;
    this.#watch = this.#options.clock.after(jobMsMax, () => this.#died(), { background: true });
    this.#worker.postMessage(task.message, task.transfer);
  }

  close(): void {
    this.#pause?.cancel();
    this.#end(undefined);
    this.#worker?.terminate();
    this.#worker = undefined;
  }

  #start(): Worker {
    const worker = this.#options.start?.() ?? new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      this.#deathsInRow = 0;
      if (data.kind === "done") this.cacheBytes = data.cacheBytes;
      this.#end(data);
      this.#pool.dispatch();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#died();
    };
    worker.postMessage({ kind: "start", cacheBytesMax: this.#options.cacheBytesMax } satisfies ToWorker);
    for (const [model, { data, settings }] of this.#pool.models) {
      worker.postMessage({ kind: "adopt", model, data, settings } satisfies ToWorker);
    }
    return worker;
  }

  #end(answer: FromWorker | undefined): void {
    this.#watch?.cancel();
    const task = this.#task;
    this.#task = undefined;
    task?.resolve(answer);
  }

  #died(): void {
    this.#pool.deaths++;
    this.#worker?.terminate();
    this.#worker = undefined;
    this.cacheBytes = 0;
    const pauseMs = Math.min(restartMsMax, restartMs * 2 ** this.#deathsInRow++);
    this.#pause = this.#options.clock.after(pauseMs, () => {
      this.#pause = undefined;
      this.#pool.dispatch();
    }, { background: true });
    this.#end(undefined);
    this.#pool.abandon();
    this.#pool.dispatch();
  }
}
