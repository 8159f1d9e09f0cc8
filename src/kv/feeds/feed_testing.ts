import { systemClock } from "../../core/mod.ts";
import type { KvBatch } from "../../protocol/mod.ts";
import { type FeedDeps, Turns } from "./turns.ts";
import type { FeedSink, LoadSample } from "./types.ts";

/** Writes down everything it is told and lets tests wait for it. */
export class TestSink implements FeedSink {
  readonly batches: KvBatch[] = [];
  readonly loads: LoadSample[] = [];
  connects = 0;
  strays = 0;
  heartbeats = 0;
  /** Times that the load told last was said to hold. */
  confirmations = 0;
  #waiting: { done: () => boolean; resolve: () => void }[] = [];

  get seqs(): number[] {
    return this.batches.map(({ seq }) => seq);
  }

  connected(): void {
    this.connects++;
    this.#check();
  }

  batch(batch: KvBatch): void {
    this.batches.push(batch);
    this.#check();
  }

  stray(): void {
    this.strays++;
    this.#check();
  }

  load(sample: LoadSample): void {
    if (Object.keys(sample).length === 0) this.confirmations++;
    else this.loads.push(sample);
    this.#check();
  }

  heartbeat(): void {
    this.heartbeats++;
    this.#check();
  }

  snapshotBegin(): void {
    throw new Error("Engines send no snapshots");
  }

  snapshotPart(): void {
    throw new Error("Engines send no snapshots");
  }

  snapshotEnd(): void {
    throw new Error("Engines send no snapshots");
  }

  /** Resolves once `done` holds, looked at after every call. */
  until(done: () => boolean): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ done, resolve }));
  }

  #check(): void {
    this.#waiting = this.#waiting.filter(({ done, resolve }) => {
      if (!done()) return true;
      resolve();
      return false;
    });
  }
}

/** Real time, a turn of its own. */
export function testDeps(): FeedDeps {
  return { clock: systemClock, turns: new Turns(systemClock) };
}

export const fromStart = { epoch: "", seq: -1 };
