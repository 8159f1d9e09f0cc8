/** From what is known about a feed to its one state. */
import { type Clock, FeedState } from "../core/mod.ts";

/** What a feed's state follows from. */
export interface Facts {
  /** What is being fetched or waited for; "" when nothing is. */
  readonly task: string;
  /** Whether anything was told. */
  readonly told: boolean;
  /** What was missed for good; "" when nothing was. */
  readonly hole: string;
  /** Why it is not known whether something was missed; "" when it is. */
  readonly doubt: string;
  /** Changes that wait for an unknown block. */
  readonly waiting: number;
  /** How far the publisher itself can be relied on, when it is not the engine. */
  readonly upstream?: Standing;
}

export interface Standing {
  readonly state: FeedState;
  /** "" when LIVE. */
  readonly reason: string;
}

/** A feed that missed something and waits for blocks' parents as well is SUSPECT: the parents may be what was missed. */
export function standingOf(facts: Facts): Standing {
  const own = ownStanding(facts);
  const { upstream } = facts;
  return upstream && upstream.state < own.state ? upstream : own;
}

function ownStanding({ task, told, hole, doubt, waiting }: Facts): Standing {
  if (task !== "") return { state: FeedState.Resync, reason: task };
  if (!told) return { state: FeedState.Blind, reason: hole };
  if (hole !== "") return { state: FeedState.Suspect, reason: hole };
  if (doubt !== "") return { state: FeedState.Suspect, reason: doubt };
  if (waiting > 0) return { state: FeedState.Resync, reason: "changes wait for an unknown block" };
  return { state: FeedState.Live, reason: "" };
}

/** The state as it is, since when, and who is told of a change. */
export class StandingKeeper {
  readonly #clock: Clock;
  readonly #onState?: (state: FeedState, before: FeedState, reason: string) => void;
  #now: Standing;
  #sinceMs: number;

  constructor(clock: Clock, facts: Facts, onState?: (state: FeedState, before: FeedState, reason: string) => void) {
    this.#clock = clock;
    this.#onState = onState;
    this.#now = standingOf(facts);
    this.#sinceMs = clock.now();
  }

  get state(): FeedState {
    return this.#now.state;
  }

  get status(): Standing & { readonly sinceMs: number } {
    return { ...this.#now, sinceMs: this.#sinceMs };
  }

  update(facts: Facts): void {
    const before = this.#now.state;
    this.#now = standingOf(facts);
    if (this.#now.state === before) return;
    this.#sinceMs = this.#clock.now();
    this.#onState?.(this.#now.state, before, this.#now.reason);
  }
}
