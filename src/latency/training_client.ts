import { type Clock, reasonOf, type Timer } from "../core/mod.ts";
import type { TrainingJob } from "./training_job.ts";
import type { FromTrainer, ToTrainer } from "./training_messages.ts";
import type { Ensemble } from "./xgboost/ensemble.ts";

/** A job that takes longer means that its worker hangs: 200,000 rows and six outputs take about 15 s, at rest for 0.9 of the time 150 s. */
const jobMsMax = 300_000;

/**
 * Why nothing was learnt: another job is under way; the caller gave up; the worker was closed; it died or hung; the data
 * or options cannot be learnt from.
 */
export type TrainingFailure = "busy" | "cancelled" | "closed" | "lost" | "refused";

export class TrainingError extends Error {
  override readonly name = "TrainingError";

  constructor(readonly reason: TrainingFailure, message: string) {
    super(message);
  }
}

/** The job under way. */
interface Pending {
  readonly stop: Int32Array<SharedArrayBuffer>;
  readonly watch: Timer;
  readonly resolve: (ensembles: readonly Ensemble[]) => void;
  readonly reject: (error: TrainingError) => void;
}

/** A worker that learns forests, one job at a time. It is started with the first job, and with the next one after it died. */
export class TrainingWorker {
  readonly #clock: Clock;
  readonly #start: () => Worker;
  #worker: Worker | undefined;
  #pending: Pending | undefined;
  #closed = false;
  /** Workers that died or hung. */
  deaths = 0;

  /** `start` makes a worker. @default {`training_worker.ts` beside this file} */
  constructor(clock: Clock, start?: () => Worker) {
    this.#clock = clock;
    this.#start = start ?? (() => new Worker(new URL("./training_worker.ts", import.meta.url), { type: "module" }));
  }

  get isBusy(): boolean {
    return this.#pending !== undefined;
  }

  /**
   * One model a target. The arrays of the job's data go to the worker and cannot be used here any more, unless it is
   * refused as `busy`, `cancelled` or `closed` at once. Rejects with a TrainingError.
   */
  train(job: TrainingJob, signal?: AbortSignal): Promise<readonly Ensemble[]> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new TrainingError("closed", "Cannot learn as the trainer was closed"));
      if (signal?.aborted) return reject(new TrainingError("cancelled", "The training was cancelled"));
      if (this.#pending) return reject(new TrainingError("busy", "Cannot learn as another job is under way"));
      const stop = new Int32Array(new SharedArrayBuffer(4));
      const cancel = () => {
        Atomics.store(stop, 0, 1);
        Atomics.notify(stop, 0);
      };
      const done = <T>(tell: (value: T) => void) => (value: T) => {
        signal?.removeEventListener("abort", cancel);
        tell(value);
      };
      signal?.addEventListener("abort", cancel, { once: true });
      const watch = this.#clock.after(jobMsMax, () => this.#died("hangs"), { background: true });
      this.#pending = { stop, watch, resolve: done(resolve), reject: done(reject) };
      try {
        this.#worker ??= this.#open();
        this.#worker.postMessage({ job, stop } satisfies ToTrainer, buffersOf(job));
      } catch (error) {
        this.#take()?.reject(new TrainingError("refused", `Cannot give the job to the worker: ${reasonOf(error)}`));
      }
    });
  }

  /** Ends the worker; a job under way rejects as `closed`. */
  close(): void {
    this.#closed = true;
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#take()?.reject(new TrainingError("closed", "Cannot learn as the trainer was closed"));
  }

  #open(): Worker {
    const worker = this.#start();
    worker.onmessage = ({ data }: MessageEvent<FromTrainer>) => {
      const pending = this.#take();
      if (data.kind === "trained") pending?.resolve(data.ensembles);
      else if (data.kind === "refused") pending?.reject(new TrainingError("refused", data.message));
      else pending?.reject(new TrainingError("cancelled", "The training was cancelled"));
    };
    worker.onerror = (event) => {
      event.preventDefault();
      if (worker === this.#worker) this.#died(event.message);
    };
    return worker;
  }

  #died(how: string): void {
    this.deaths++;
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#take()?.reject(new TrainingError("lost", `The training was lost with its worker: ${how}`));
  }

  #take(): Pending | undefined {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.watch.cancel();
    return pending;
  }
}

/** Memory of the job's data, each once. */
function buffersOf({ targets }: TrainingJob): ArrayBuffer[] {
  const arrays = targets.flatMap(({ data: { columns, labels, weights, margins } }) => [
    ...columns,
    labels,
    ...[weights, margins].filter((array) => array !== undefined),
  ]);
  return [...new Set(arrays.map(({ buffer }) => buffer))].filter((buffer) => buffer instanceof ArrayBuffer);
}
