import type { EndpointTable } from "../core/mod.ts";
import type { FlowConfig } from "../config/mod.ts";
import { type Band, type Bands, Held, tenantOf } from "./band.ts";
import type { Tenant } from "./fairness.ts";
import type { Lane, TenantQueue } from "./lane.ts";
import { comesFirst } from "./ordering.ts";
import { Promises } from "./promises.ts";
import { refusals } from "./refusals.ts";
import type { FlowAsk, FlowRefusal, Waiting } from "./types.ts";

/** Requests that were promised their turn come back although the queue is full: as many more, in shares of a limit. */
const promisedStretch = 1.25;
/** With less than this to do nobody is turned away for the sake of those who may come back. */
const nearlyIdleMs = 500;
const nothing = new Held();

export interface AdmissionParts {
  readonly table: Pick<EndpointTable, "requests" | "serviceMs">;
  readonly bands: Bands;
  /** What waits, in all and by tenant. */
  readonly held: Held;
  readonly tenants: ReadonlyMap<string, Held>;
  readonly config: () => FlowConfig;
  /** Ends a request that waits, in favour of another. */
  readonly displace: (item: Waiting) => void;
}

/** Whether a request may wait at all: limits of the queue, and whether its turn would come in time. */
export class Admission {
  readonly promises = new Promises();
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** The arrival of a request that was refused before and comes back when it was told to; undefined for any other. */
  redeem({ promise }: FlowAsk, nowMs: number): number | undefined {
    return promise === undefined ? undefined : this.promises.redeem(promise, nowMs);
  }

  /** How long a request may wait while there are endpoints; 0: for ever. */
  ttlMs({ config }: Band, { ttlMs }: FlowAsk): number {
    return shorter(config.ttlMs ?? this.#parts.config().ttlMs, ttlMs);
  }

  /**
   * The refusal of a request that no limit has room for. One that others can make room for is let in: at most one of its
   * band, and of lower bands as many as it takes. Nobody makes room for one that is refused in the end.
   */
  overLimit(band: Band, lane: Lane, ask: FlowAsk, nowMs: number, promised: boolean): FlowRefusal | undefined {
    const stretch = promised ? promisedStretch : 1;
    const config = this.#parts.config();
    const { held, bands, tenants, displace } = this.#parts;
    const ofTenant = tenantOf(config, ask.tenant) ?? config.tenantLimits;
    const tenantFull = (tenants.get(ask.tenant) ?? nothing).exceeds(ofTenant, ask, stretch);
    if (!tenantFull && !band.held.exceeds(band.config, ask, stretch) && !held.exceeds(config.limits, ask, stretch)) {
      return undefined;
    }
    const full = (whose: string) => this.#full(whose, band, lane, ask, nowMs);
    if (tenantFull) return full(`of tenant ${ask.tenant}`);
    const gone: Held[] = [];
    let victim: Waiting | undefined;
    if (band.held.exceeds(band.config, ask, stretch)) {
      victim = lastOfLongest(band, ask.tenant);
      if (victim) gone.push(heldBy(victim));
      if (!victim || band.held.without(...gone).exceeds(band.config, ask, stretch)) {
        return full(`of priority ${band.priority}`);
      }
    }
    if (held.without(...gone).exceeds(config.limits, ask, stretch)) {
      for (const { priority, held } of bands.list) if (priority < band.priority) gone.push(held);
      if (held.without(...gone).exceeds(config.limits, ask, stretch)) return full("of all requests");
    }
    if (victim) displace(victim);
    while (held.exceeds(config.limits, ask, stretch)) {
      const below = bands.list.findLast(({ held }) => held.requests > 0);
      if (!below || below.priority >= band.priority) break;
      displace(lastOf(below)!);
    }
    return undefined;
  }

  #full(whose: string, band: Band, lane: Lane, ask: FlowAsk, nowMs: number): FlowRefusal {
    if (lane.slots.length === 0) return refusals.noEndpoints(`The queue ${whose} is full and no endpoint is ready`);
    return refusals.full(whose, this.#promise(band, lane, ask, nowMs));
  }

  /** The refusal of a request that would be served too late; it is told when to come again. */
  tooLate(band: Band, lane: Lane, ask: FlowAsk, nowMs: number): FlowRefusal | undefined {
    const { earlyRejection } = this.#parts.config();
    if (earlyRejection === "off" || lane.slots.length === 0) return undefined;
    const rate = this.#rate(lane, nowMs);
    if (rate === undefined) return undefined;
    const ahead = this.#ahead(lane, band, ask.tenant);
    const promised = this.promises.size > 0 ? this.promises.waiting(groupOf(band, lane), nowMs) : 0;
    const ttlMs = this.ttlMs(band, ask);
    const waitMs = ahead / rate, promisedMs = (ahead + promised) / rate;
    if (ttlMs > 0 && promisedMs > ttlMs && waitMs > nearlyIdleMs) {
      return refusals.saturated(waitMs, this.#promise(band, lane, ask, nowMs));
    }
    const leftMs = (ask.ttftMs ?? Infinity) - (nowMs - ask.receivedAtMs) - (ask.serviceMs ?? 0);
    if (earlyRejection !== "slo" || waitMs <= Math.max(leftMs, 0)) return undefined;
    return refusals.missesTarget(waitMs, this.#promise(band, lane, ask, nowMs));
  }

  /** When a request that was taken out of the queue should come again: it has its place in line then. */
  again({ ask, lane, queue: { band: { band } } }: Waiting, nowMs: number): number {
    return this.#promise(band, lane, ask, nowMs);
  }

  /** When its turn comes: behind what waits and whoever was promised a turn before. */
  #promise(band: Band, lane: Lane, ask: FlowAsk, nowMs: number): number {
    const rate = this.#rate(lane, nowMs);
    const group = groupOf(band, lane);
    const before = this.#ahead(lane, band, ask.tenant) + this.promises.waiting(group, nowMs);
    return this.promises.promise(ask.promise, group, ask.receivedAtMs, rate ? before / rate : 0, nowMs) / 1000;
  }

  /** How long a request that comes now would wait; undefined while that cannot be told. */
  predictWaitMs(lane: Lane, band: Band, tenant: string, nowMs: number): number | undefined {
    const rate = this.#rate(lane, nowMs);
    return rate === undefined ? undefined : this.#ahead(lane, band, tenant) / rate;
  }

  /** Requests that come before one more of a tenant. */
  #ahead(lane: Lane, band: Band, tenant: string): number {
    let ahead = 1;
    for (const own of lane.bands) {
      if (own.band.priority > band.priority) ahead += own.size;
      if (own.band !== band) continue;
      // Where tenants take turns, only as many of the others' come first as this one has itself.
      const turns = ((own.queueOf(tenant)?.line.size ?? 0) + 1) * own.queues.size;
      ahead += band.config.fairness.policy === "global-strict" ? own.size : Math.min(own.size, turns);
    }
    return ahead;
  }

  /** Dispatches a millisecond; where nothing waited yet, what its endpoints were seen to finish. */
  #rate({ rate, slots }: Lane, nowMs: number): number | undefined {
    const seen = rate.perMs(nowMs);
    if (seen !== undefined) return seen;
    const { requests, serviceMs } = this.#parts.table;
    let perMs = 0;
    for (const slot of slots) if (serviceMs[slot] > 0) perMs += Atomics.load(requests, slot) / serviceMs[slot];
    return perMs > 0 ? perMs : undefined;
  }
}

function groupOf({ priority }: Band, { name }: Lane): string {
  return `${priority}\0${name}`;
}

/** The shorter of two waits; the first is for ever where it is 0, the second nobody's wish. */
export function shorter(ownMs: number, askedMs = 0): number {
  if (askedMs <= 0) return ownMs;
  return ownMs > 0 ? Math.min(ownMs, askedMs) : askedMs;
}

function heldBy({ ask }: Waiting): Held {
  const held = new Held();
  held.add(ask, 1);
  return held;
}

/** The last request of the tenant with most in the band, if that has more than the newcomer's would; it makes room. */
function lastOfLongest(band: Band, newcomer: string): Waiting | undefined {
  let longest: Tenant | undefined;
  let own = 0;
  for (const { tenants } of band.domains()) {
    own += tenants.get(newcomer)?.size ?? 0;
    for (const tenant of tenants.values()) if (tenant.size > (longest?.size ?? 0)) longest = tenant;
  }
  if (!longest || longest.size <= own + 1) return undefined;
  return lastIn(longest.queues);
}

function lastOf(band: Band): Waiting | undefined {
  let last: Waiting | undefined;
  for (const { tenants } of band.domains()) {
    for (const { queues } of tenants.values()) last = lastIn(queues, last);
  }
  return last;
}

function lastIn(queues: readonly TenantQueue[], last?: Waiting): Waiting | undefined {
  for (const { line } of queues) if (!last || comesFirst(last, line.last)) last = line.last;
  return last;
}
