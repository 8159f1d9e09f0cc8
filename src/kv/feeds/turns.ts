import { setImmediate } from "node:timers";
import type { Clock } from "../../core/mod.ts";

/**
 * Time that feeds may hold the event loop before its timers and sockets get their turn. One object for all feeds of an
 * isolate: queued batches arrive as resolved promises, so a hundred feeds that each kept an account of their own would
 * together never let go.
 */
export class Turns {
  readonly #clock: Clock;
  readonly #budgetMs: number;
  #openedAtMs = 0;
  #end: Promise<void> | undefined;

  /** `budgetMs`: 2 by default, a tenth of the time between two tokens of a fast stream. */
  constructor(clock: Clock, budgetMs = 2) {
    this.#clock = clock;
    this.#budgetMs = budgetMs;
  }

  /** Asked before each piece of work; opens a turn when none is open. */
  exhausted(): boolean {
    const now = this.#clock.now();
    if (!this.#end) {
      this.#openedAtMs = now;
      this.#end = new Promise((resolve) =>
        setImmediate(() => {
          this.#end = undefined;
          resolve();
        })
      );
      return false;
    }
    return now - this.#openedAtMs >= this.#budgetMs;
  }

  /** Resolves when the event loop has gone round. */
  async next(): Promise<void> {
    await this.#end;
  }
}

/** What every source of an isolate shares. */
export interface FeedDeps {
  readonly clock: Clock;
  readonly turns: Turns;
}
