import {
  AttemptEnd,
  breakerStateNames,
  endpointMeta,
  endpointStateNames,
  EndpointTable,
  givePermit,
  Prng,
  takePermit,
  VirtualClock,
} from "../core/mod.ts";
import type { BreakerOptions } from "./breaker_types.ts";
import { Breakers } from "./breakers.ts";
import type { HealthCheck } from "./discovery/discovery.ts";
import { Health, type HealthOptions } from "./health.ts";

async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve();
}

/** Endpoints under health checks and breakers, on a virtual clock. */
export class Ward {
  readonly clock = new VirtualClock();
  readonly table = new EndpointTable(8);
  /** Slots whose checks fail, and those whose checks never end. */
  readonly sick = new Set<number>();
  readonly silent = new Set<number>();
  readonly probes: [slot: number, atMs: number][] = [];
  readonly changes: string[] = [];
  readonly ejections: number[] = [];
  readonly reasons: string[] = [];
  readonly ready: number[] = [];
  readonly health: Health;
  readonly breakers: Breakers;

  constructor(options: Partial<HealthOptions> = {}, breaker: Partial<BreakerOptions> = {}) {
    this.health = new Health({
      table: this.table,
      clock: this.clock,
      prng: new Prng(1),
      options,
      probe: async (meta, _check, signal) => {
        const slot = this.table.slotOf(meta.id);
        this.probes.push([slot, this.clock.now()]);
        if (this.silent.has(slot)) {
          await new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("canceled"))));
        }
        if (this.sick.has(slot)) throw new Error("sick");
      },
      observer: {
        stateChanged: (id, from, to, reason) =>
          this.changes.push(`${id} ${endpointStateNames[from]} > ${endpointStateNames[to]}: ${reason}`),
      },
      onReady: (slot) => {
        this.breakers.ready(slot);
        this.ready.push(slot);
      },
      onLost: () => this.breakers.lost(),
    });
    this.breakers = new Breakers({
      table: this.table,
      clock: this.clock,
      options: breaker,
      onOpen: (slot, reason, message, backoffMs) => {
        this.health.eject(slot, message, backoffMs);
        this.ejections.push(backoffMs);
        this.reasons.push(reason);
      },
    });
  }

  add(check?: HealthCheck): number {
    const slot = this.table.add(endpointMeta({ host: "h", port: 1 + this.table.size }));
    this.breakers.track(slot);
    this.health.track(slot, check);
    return slot;
  }

  async run(ms: number): Promise<void> {
    const end = this.clock.now() + ms;
    await settle();
    while (this.clock.step(end)) await settle();
    this.clock.advance(end - this.clock.now());
  }

  /** As the data path does: takes a permit where one is needed, gives it back, and tells how the request went. */
  report(slot: number, end: AttemptEnd, firstTokenMs = NaN, workTokens = 0): boolean {
    const permit = takePermit(this.table, slot);
    if (permit < 0) return false;
    givePermit(this.table, slot, permit);
    const generation = this.table.generation[slot];
    this.breakers.report({ slot, generation, end, firstTokenMs, workTokens, permit });
    return true;
  }

  fail(slot: number, times: number): void {
    for (let i = 0; i < times; i++) this.report(slot, AttemptEnd.Reset);
  }

  succeed(slot: number, times: number): void {
    for (let i = 0; i < times; i++) this.report(slot, AttemptEnd.Answered);
  }

  state(slot: number): string {
    return endpointStateNames[this.table.state[slot]];
  }

  /** State of the circuit. */
  circuit(slot: number): string {
    return breakerStateNames[this.table.breaker[slot]];
  }
}
