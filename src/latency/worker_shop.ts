/** The shop in a worker: trees are grown and files are read where no request waits for it. */
import type { Clock, Timer } from "../core/mod.ts";
import type { Target } from "./features.ts";
import { ForestError, type ForestJob, type ForestShop, type MadeForest } from "./forest_shop.ts";
import type { FromShop, ToShop } from "./shop_messages.ts";
import type { ForestTrainer } from "./trainer.ts";

/** A worker that is silent for so long hangs: the largest training takes a few seconds. */
const silentMsMax = 120_000;
/** Share of the time that the worker works while it trains: the rest is the edges', on a machine whose cores are all used. */
const workShare = 0.5;

export interface WorkerShopOptions {
  readonly clock: Clock;
  /** The high quantile, of files that have several. */
  readonly quantile: () => number;
  /** Trains instead of the worker. */
  readonly trainer?: ForestTrainer;
  /** Starts a worker. Default: `shop_worker.ts` beside this file. */
  readonly start?: () => Worker;
}

interface Task {
  readonly resolve: (answer: FromShop) => void;
  readonly reject: (error: ForestError) => void;
}

/** What goes to the worker and is of no use here any more. */
function buffersOf({ columns, labels, margins, weights }: ForestJob["set"]): Transferable[] {
  return [...columns, labels, margins, weights].map(({ buffer }) => buffer as ArrayBuffer);
}

/** One task at a time; the worker is started when it is first needed, and anew after it died. */
export class WorkerShop implements ForestShop {
  readonly #options: WorkerShopOptions;
  readonly ordered: boolean;
  #worker: Worker | undefined;
  #task: Task | undefined;
  #watch: Timer | undefined;
  /** Ends when the task before is done. */
  #last: Promise<unknown> = Promise.resolve();
  #stopped = false;

  constructor(options: WorkerShopOptions) {
    this.#options = options;
    this.ordered = options.trainer !== undefined;
  }

  async train({ target, set, parameters, heldBack }: ForestJob, signal: AbortSignal): Promise<MadeForest> {
    const { clock, trainer } = this.#options;
    const startMs = clock.now();
    const file = trainer
      ? await trainer.train(target, set, parameters, signal)
      : await this.#grow(set, parameters, signal);
    return { ...await this.load(target, file, heldBack, true), tookMs: clock.now() - startMs };
  }

  async load(
    target: Target,
    file: Uint8Array,
    heldBack: readonly Float32Array[],
    residual = false,
  ): Promise<MadeForest> {
    const startMs = this.#options.clock.now();
    const quantile = this.#options.quantile();
    const answer = await this.#ask({ kind: "open", target, file, heldBack, quantile, residual });
    if (answer.kind !== "opened") throw new ForestError("The worker answered something else");
    return { ...answer.forest, tookMs: this.#options.clock.now() - startMs };
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#fail("it is stopped");
    await this.#options.trainer?.stop();
  }

  async #grow(set: ForestJob["set"], parameters: ForestJob["parameters"], signal: AbortSignal): Promise<Uint8Array> {
    const answer = await this.#ask({ kind: "train", set, parameters, share: workShare }, signal);
    if (answer.kind !== "trained") throw new ForestError("The worker answered something else");
    return answer.file;
  }

  /** Asks once what was asked before is answered. */
  #ask(message: ToShop, signal?: AbortSignal): Promise<FromShop> {
    const answer = this.#last.then(() => this.#askNow(message, signal));
    this.#last = answer.catch(() => {});
    return answer;
  }

  async #askNow(message: ToShop, signal: AbortSignal | undefined): Promise<FromShop> {
    if (this.#stopped) throw new ForestError("Cannot make a forest: the shop is stopped");
    if (signal?.aborted) throw new ForestError("Cannot make a forest: nobody waits for it any more");
    // What is half grown is of no use to anybody.
    const end = () => this.#fail("nobody waits for it any more");
    signal?.addEventListener("abort", end, { once: true });
    try {
      return await new Promise((resolve, reject) => {
        this.#worker ??= this.#start();
        this.#worker.postMessage(message, message.kind === "train" ? buffersOf(message.set) : []);
        this.#task = { resolve, reject };
        this.#watch = this.#options.clock.after(silentMsMax, () => this.#fail("it hangs"), { background: true });
      });
    } finally {
      signal?.removeEventListener("abort", end);
    }
  }

  #start(): Worker {
    const worker = this.#options.start?.() ??
      new Worker(new URL("./shop_worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<FromShop>) => {
      // What it still said before its end is of a task that was given up.
      if (worker !== this.#worker) return;
      const task = this.#take();
      if (data.kind === "failed") task?.reject(new ForestError(data.message));
      else task?.resolve(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#fail(event.message);
    };
    return worker;
  }

  /** The worker is of no use any more; another is started for the next task. */
  #fail(why: string): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#take()?.reject(new ForestError(`The worker that makes forests has ended: ${why}`));
  }

  #take(): Task | undefined {
    this.#watch?.cancel();
    const task = this.#task;
    this.#task = undefined;
    return task;
  }
}
