/** Load of simulated engines on a virtual clock, read as the pool reads it. */
import type { EndpointTable, VirtualClock } from "../../src/core/mod.ts";
import { poolLoadDefaults } from "../../src/config/defaults.ts";
import type { SimEndpoint } from "../../src/sim/sim_endpoint.ts";

/** Samples each engine as the pool's scraper does: often while there is work, ever more seldom while there is none. */
export class VirtualScraper {
  readonly #busy: boolean[] = [];
  readonly #intervalMs: number[] = [];

  constructor(
    readonly clock: VirtualClock,
    readonly fleet: readonly SimEndpoint[],
    readonly table: EndpointTable,
    /** See `ScraperParts.onSample`. */
    readonly onSample: (slot: number, requestsBefore: number) => void = () => {},
  ) {
    const { busyIntervalMs } = poolLoadDefaults;
    // Spread over an interval, so that the samples are of different ages as in life.
    for (let slot = 0; slot < fleet.length; slot++) {
      this.#intervalMs[slot] = busyIntervalMs;
      clock.after(busyIntervalMs * slot / fleet.length, () => this.#scrape(slot));
    }
  }

  /** Work was sent to `slot`. */
  poke(slot: number): void {
    if (this.#busy[slot]) return;
    this.#busy[slot] = true;
    this.#schedule(slot);
  }

  readonly #timers: { cancel(): void }[] = [];

  #schedule(slot: number): void {
    const { busyIntervalMs, idleIntervalMs } = poolLoadDefaults;
    this.#intervalMs[slot] = this.#busy[slot] ? busyIntervalMs : Math.min(idleIntervalMs, this.#intervalMs[slot] * 2);
    this.#timers[slot]?.cancel();
    this.#timers[slot] = this.clock.after(this.#intervalMs[slot], () => this.#scrape(slot));
  }

  #scrape(slot: number): void {
    const { table } = this;
    const { waiting, running, kvUsage } = this.fleet[slot].metrics();
    table.waiting[slot] = waiting;
    table.running[slot] = running;
    table.kvUsage[slot] = kvUsage;
    table.sampleAtMs[slot] = this.clock.now();
    this.onSample(slot, table.requests[slot]);
    this.#busy[slot] = waiting + running > 0 || table.requests[slot] > 0;
    this.#schedule(slot);
  }
}
