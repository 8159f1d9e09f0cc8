import { RouterError } from "../core/mod.ts";

/** Memory that one request body holds. */
export interface BodyShare {
  /** Holds `bytes` from now on. Throws `RouterError` and holds what it held when there is no room. */
  grow(bytes: number): void;
  /** Gives everything back, once. */
  release(): void;
}

/** Bounds the memory of all request bodies at once. A body that has no room is refused, not queued: it would hold a connection. */
export class BodyBudget {
  readonly #bytesMax: () => number;
  #used = 0;

  /** `bytesMax` is asked each time: it changes with the configuration. */
  constructor(bytesMax: () => number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes that are held. */
  get used(): number {
    return this.#used;
  }

  /** Takes `bytes` of a body that will have `length`. Throws `RouterError` when there is no room for all of it now. */
  take(bytes: number, length = bytes): BodyShare {
    let held = 0;
    const room = (to: number) => {
      if (this.#used - held + to > this.#bytesMax()) {
        throw new RouterError("rejected-body-memory", "The router holds as many request bodies as its memory allows");
      }
    };
    const grow = (to: number) => {
      room(to);
      this.#used += to - held;
      held = to;
    };
    room(length);
    grow(bytes);
    return {
      grow,
      release: () => {
        this.#used -= held;
        held = 0;
      },
    };
  }
}
