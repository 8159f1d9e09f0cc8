/** What is served next at an endpoint. */
import type { FlowConfig } from "../config/mod.ts";
import type { Domain } from "./band.ts";
import type { LaneBand } from "./lane.ts";
import type { Lanes } from "./lanes.ts";
import { comesFirst } from "./ordering.ts";

/** Strictly by priority, but for the shares that bands have, and then by the fairness policy of each. */
export class Turns {
  readonly #lanes: Pick<Lanes, "at">;
  #aging: FlowConfig["aging"];
  /** Whether any band may be owed dispatches. */
  #shares = false;
  #dispatches = 0;

  constructor(lanes: Pick<Lanes, "at">, config: FlowConfig) {
    this.#lanes = lanes;
    this.use(config);
  }

  use({ aging, bands, defaultBand, defaultNegativeBand }: FlowConfig): void {
    this.#aging = aging;
    this.#shares = aging !== undefined || [...bands, defaultBand, defaultNegativeBand].some(({ share }) => share > 0);
  }

  /** Whose turn it is: the band that is owed most, else the highest; of several lanes the first by their order. */
  next(slot: number): LaneBand | undefined {
    return this.#first(slot, this.#shares);
  }

  /** The same as if nobody were owed anything. */
  unowed(slot: number): LaneBand | undefined {
    return this.#first(slot, false);
  }

  /** All that wait for the slot are owed their share of this dispatch; one of them has had it. */
  served(served: Domain, slot: number, nowMs: number): void {
    if (!this.#shares) return;
    const dispatch = ++this.#dispatches, aging = this.#aging;
    if (served.size > 0) served.credit--;
    for (const lane of this.#lanes.at(slot)) {
      for (const { size, band, domain } of lane.bands) {
        if (size === 0) continue;
        const aged = aging && nowMs - band.oldest!.enqueuedAtMs > aging.afterMs ? aging.share : 0;
        domain.owe(Math.max(band.config.share, aged), dispatch);
      }
    }
    if (served.credit < 0) served.credit = 0;
  }

  #first(slot: number, shares: boolean): LaneBand | undefined {
    let best: LaneBand | undefined;
    for (const lane of this.#lanes.at(slot)) {
      for (const band of lane.bands) {
        if (band.size === 0) continue;
        if (!best || before(band, best, shares)) best = band;
        // The lane's other bands are lower.
        if (!shares) break;
      }
    }
    return best;
  }
}

function before(one: LaneBand, other: LaneBand, shares: boolean): boolean {
  if (shares) {
    const owed = one.domain.owed, otherOwed = other.domain.owed;
    if (owed !== otherOwed) return owed > otherOwed;
  }
  if (one.band !== other.band) return one.band.priority > other.band.priority;
  const a = one.next(), b = other.next();
  if (one.domain === other.domain && !one.domain.fairness.pick) return one.domain.fairness.before(a, b);
  return comesFirst(a.head, b.head);
}
