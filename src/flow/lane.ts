import { type HeapItem, IndexedHeap } from "../core/mod.ts";
import type { Band, Domain } from "./band.ts";
import { DrainRate } from "./drain_rate.ts";
import type { Tenant } from "./fairness.ts";
import { Line } from "./line.ts";
import type { Waiting } from "./types.ts";

/** One tenant's requests in one band of one lane. */
export class TenantQueue implements HeapItem {
  /** Among the queues of its band, while it is not empty. */
  heapAt = -1;
  readonly line = new Line();
  /** Since when its first request waits, and the request's number: copies, as they are compared often. */
  headAtMs = 0;
  headNumber = 0;

  constructor(readonly band: LaneBand, readonly tenant: Tenant) {}

  /** Another request is its first. */
  began({ enqueuedAtMs, number }: Waiting): void {
    this.headAtMs = enqueuedAtMs;
    this.headNumber = number;
  }

  /** Its first request; it has one. */
  get head(): Waiting {
    return this.line.first;
  }
}

/** The requests of one priority in a lane. */
export class LaneBand {
  size = 0;
  /** Those that are not empty. */
  readonly queues: IndexedHeap<TenantQueue>;
  readonly #byTenant = new Map<string, TenantQueue>();

  constructor(readonly lane: Lane, readonly band: Band, readonly domain: Domain) {
    this.queues = new IndexedHeap((a, b) => domain.fairness.before(a, b));
  }

  queueOf(tenant: string): TenantQueue | undefined {
    return this.#byTenant.get(tenant);
  }

  /** The queue whose turn it is; the band is not empty. */
  next(): TenantQueue {
    const { fairness } = this.domain;
    return fairness.pick ? fairness.pick(this.queues.items) : this.queues.peek()!;
  }

  add(item: Waiting): void {
    const { tenant: name } = item.ask;
    let queue = this.#byTenant.get(name);
    if (!queue) {
      queue = new TenantQueue(this, this.domain.tenant(name));
      this.#byTenant.set(name, queue);
      const { tenant } = queue;
      if (tenant.queues.length === 0) this.domain.fairness.began(tenant);
      tenant.queues.push(queue);
    }
    item.queue = queue;
    queue.line.add(item);
    if (queue.head === item) queue.began(item);
    if (queue.heapAt < 0) this.queues.push(queue);
    else if (queue.head === item) this.queues.moved(queue);
    this.size++;
    queue.tenant.size++;
    this.domain.size++;
  }

  /** With `moves` false the queue keeps its place: it is put where it belongs once the tenant was charged. */
  remove(item: Waiting, moves = true): void {
    const { queue } = item;
    const first = queue.line.first === item;
    queue.line.remove(item);
    this.size--;
    queue.tenant.size--;
    if (--this.domain.size === 0) this.domain.credit = 0;
    if (queue.line.size > 0) {
      if (!first) return;
      queue.began(queue.line.first);
      if (moves) this.queues.moved(queue);
      return;
    }
    this.queues.remove(queue);
    this.#byTenant.delete(queue.tenant.name);
    const { queues } = queue.tenant;
    queues.splice(queues.indexOf(queue), 1);
  }
}

/** The requests that the same endpoints may take: what is full for one of them is full for all. */
export class Lane {
  /** Highest priority first. */
  readonly bands: LaneBand[] = [];
  readonly rate = new DrainRate();
  size = 0;
  /** Requests that wait for one of its endpoints alone, before they wait here. */
  readonly holding = new Set<Waiting>();
  /** When it last got its first endpoint, or lost its last. */
  sinceMs: number;

  constructor(readonly name: string, readonly model: string, public slots: readonly number[], nowMs: number) {
    this.sinceMs = nowMs;
  }

  band(band: Band): LaneBand {
    const { bands } = this;
    const domain = band.domain(this.model);
    let at = 0;
    while (at < bands.length && bands[at].band.priority > band.priority) at++;
    const known = at < bands.length && bands[at].band === band;
    if (known && bands[at].domain === domain) return bands[at];
    const own = new LaneBand(this, band, domain);
    // One of a domain that was replaced is empty.
    bands.splice(at, known ? 1 : 0, own);
    return own;
  }

  /** The highest priority that waits; undefined when nothing does. */
  get top(): LaneBand | undefined {
    for (const band of this.bands) if (band.size > 0) return band;
    return undefined;
  }
}
