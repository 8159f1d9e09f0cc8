import { type Clock, type EndpointTable, LruMap, type Timer } from "../core/mod.ts";
import type { FlowConfig } from "../config/mod.ts";
import { Admission, shorter } from "./admission.ts";
import { type Band, Bands, Held } from "./band.ts";
import { Ceilings, flowPriorities } from "./ceiling.ts";
import { DueTimes } from "./due.ts";
import type { Lane, LaneBand } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import { comesFirst, orderKey } from "./ordering.ts";
import { type FlowAnswer, type FlowAsk, type FlowEnd, type FlowRefusal, Waiting } from "./types.ts";
import { refusals } from "./refusals.ts";

/** Placed requests whose real use is awaited; of more than that the assumed use stands. */
const grantedMax = 65_536;

/** Two readings of the clock take 160 ns, about what a look that finds nothing takes: one of so many is measured. */
const looksTimed = 64;

/** What of the pool the controller works on; an `EndpointTable` is such. */
export type FlowTable = Pick<
  EndpointTable,
  "capacity" | "queued" | "hasRoom" | "tryEnter" | "saturation" | "requests" | "serviceMs" | "inflight"
>;

export interface FlowParts {
  readonly clock: Clock;
  readonly table: FlowTable;
  readonly config: FlowConfig;
  /** Priorities that requests may have, as configured. */
  readonly priorities: Iterable<number>;
  /** A slot takes requests as far as its health says. */
  readonly open: (slot: number) => boolean;
  readonly observer?: FlowObserver;
}

/** Told of each request that waited; calls come from within the controller. */
export interface FlowObserver {
  queued?(ask: FlowAsk): void;
  ended?(ask: FlowAsk, end: FlowEnd, waitedMs: number): void;
  /** The best request of `slot` finds no room there. */
  blocked?(band: LaneBand, slot: number): void;
  /** One look in `looksTimed` took so long. */
  looked?(tookMs: number): void;
}

/**
 * Requests that wait for an endpoint with room, and who is next. Work is done when something happens: a request comes or
 * goes, an endpoint has room, a time is up. Every request gets exactly one answer.
 */
export class FlowController {
  readonly bands: Bands;
  readonly lanes: Lanes;
  readonly held = new Held();
  readonly tenants = new Map<string, Held>();
  readonly admission: Admission;
  readonly #parts: FlowParts;
  /** By edge and the edge's number. */
  readonly #waiting = new Map<number, Map<number, Waiting>>();
  /** Requests that were given a place and have not told what they used. */
  readonly #granted = new LruMap<string, Waiting>(grantedMax);
  readonly #due = new DueTimes();
  #config: FlowConfig;
  #ceilings: Ceilings;
  #timer: Timer | undefined;
  #timerAtMs = Infinity;
  #numbers = 0;
  #looks = 0;
  #stopped = false;

  constructor(parts: FlowParts) {
    this.#parts = parts;
    this.#config = parts.config;
    this.bands = new Bands(parts.config);
    this.lanes = new Lanes(parts.table);
    this.#ceilings = new Ceilings(parts.config.ceiling, flowPriorities(parts.config, parts.priorities));
    this.admission = new Admission({
      table: parts.table,
      bands: this.bands,
      held: this.held,
      tenants: this.tenants,
      config: () => this.#config,
      displace: (item) => this.#end(item, refusals.displaced(this.admission.again(item, parts.clock.now()))),
    });
  }

  get config(): FlowConfig {
    return this.#config;
  }

  get ceilings(): Pick<Ceilings, "of"> {
    return this.#ceilings;
  }

  /** Requests that wait. */
  get size(): number {
    return this.held.requests;
  }

  /** Another configuration counts from now on; what waits goes on waiting, in the order it had. */
  use(config: FlowConfig, priorities: Iterable<number>): void {
    this.#config = config;
    this.#ceilings = new Ceilings(config.ceiling, flowPriorities(config, priorities));
    this.bands.use(config);
    this.look();
  }

  /**
   * A request of `edge` found no room. `answer` is called once: with a place, which counts as the edge's already, or with a
   * refusal; it may be called before this returns.
   */
  enqueue(edge: number, ask: FlowAsk, answer: (answer: FlowAnswer) => void): void {
    const nowMs = this.#parts.clock.now();
    const band = this.bands.of(ask.priority);
    const lane = this.#lane(ask, nowMs);
    const promisedMs = this.admission.redeem(ask, nowMs);
    const refusal = this.#stopped
      ? refusals.stopped()
      : this.admission.overLimit(band, lane, ask, nowMs, promisedMs !== undefined) ??
        (promisedMs === undefined && !this.#hasRoom(lane, band)
          ? this.admission.tooLate(band, lane, ask, nowMs)
          : undefined);
    if (refusal) {
      this.#parts.observer?.ended?.(ask, refusal.end, 0);
      return answer(refusal);
    }
    const known = promisedMs === undefined ? ask : { ...ask, receivedAtMs: Math.min(promisedMs, ask.receivedAtMs) };
    const item = new Waiting(known, edge, ++this.#numbers, answer);
    item.enqueuedAtMs = nowMs;
    item.order = orderKey(band.config.ordering, known, nowMs, this.admission.ttlMs(band, known));
    this.#count(item, band, 1);
    let ofEdge = this.#waiting.get(edge);
    if (!ofEdge) this.#waiting.set(edge, ofEdge = new Map());
    ofEdge.set(ask.id, item);
    band.arrived(item);
    this.#parts.observer?.queued?.(ask);
    if (ask.hold && lane.slots.includes(ask.hold.slot)) {
      item.holdUntilMs = nowMs + ask.hold.ms;
      this.#enter(item, this.#laneOfOne(lane, ask.hold.slot, nowMs), band);
    } else this.#enter(item, lane, band);
  }

  /** A request of `edge` that waited used so many tokens, its tenant's turn is worth that and not what was assumed. */
  settle(edge: number, id: number, inputTokens: number, outputTokens: number): void {
    const key = `${edge} ${id}`;
    const granted = this.#granted.get(key);
    if (!granted) return;
    this.#granted.delete(key);
    const { ask: { promptTokens, outputTokens: assumed }, queue: { tenant, band: { domain } } } = granted;
    domain.fairness.settled(tenant, inputTokens - promptTokens, outputTokens - assumed, this.#parts.clock.now());
    for (const queue of tenant.queues) queue.band.queues.moved(queue);
  }

  /** The client of a request that waits is gone. What has been answered already is the edge's to give back. */
  cancel(edge: number, id: number): void {
    const item = this.#waiting.get(edge)?.get(id);
    if (item) this.#end(item, refusals.cancelled());
  }

  /** An edge is gone: nobody waits for its requests any more. */
  abandon(edge: number): void {
    for (const item of [...this.#waiting.get(edge)?.values() ?? []]) this.#end(item, refusals.cancelled());
    this.#waiting.delete(edge);
  }

  /** Other endpoints serve the lanes of these names now. */
  resize(lanes: Iterable<Pick<FlowAsk, "lane" | "model" | "slots">>): void {
    const nowMs = this.#parts.clock.now();
    for (const told of lanes) this.#serve(this.#lane(told, nowMs), nowMs);
  }

  /** An endpoint has, or may have, room. */
  room(slot: number): void {
    if (this.#parts.open(slot)) this.#dispatch(slot, this.#parts.clock.now());
  }

  /** As `room`, for every slot that somebody waits for. */
  look(): void {
    for (let slot = 0; slot < this.#parts.table.capacity; slot++) if (this.lanes.at(slot).length > 0) this.room(slot);
  }

  /** Refuses what waits and whatever comes. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    for (const edge of this.#waiting.values()) {
      for (const item of [...edge.values()]) this.#end(item, refusals.stopped());
    }
  }

  #count({ ask }: Waiting, band: Band, sign: 1 | -1): void {
    band.held.add(ask, sign);
    this.held.add(ask, sign);
    let tenant = this.tenants.get(ask.tenant);
    if (!tenant) this.tenants.set(ask.tenant, tenant = new Held());
    tenant.add(ask, sign);
    if (tenant.requests === 0) this.tenants.delete(ask.tenant);
  }

  /** The lane a request names, served by the endpoints that it says. */
  #lane(told: Pick<FlowAsk, "lane" | "model" | "slots">, nowMs: number): Lane {
    const lane = this.lanes.of(told, nowMs);
    if (this.lanes.resize(lane, told.slots, nowMs)) this.#replan(lane);
    return lane;
  }

  /** Nothing waits in the lane and an endpoint has room: the edge saw it before that was so. */
  #hasRoom(lane: Lane, { priority }: Band): boolean {
    const ceiling = this.#ceilings.of(priority);
    return lane.size === 0 && lane.slots.some((slot) => this.#parts.table.hasRoom(slot, ceiling));
  }

  #laneOfOne(lane: Lane, slot: number, nowMs: number): Lane {
    return this.lanes.of({ lane: `${lane.model}\0only ${slot}`, model: lane.model, slots: [slot] }, nowMs);
  }

  #enter(item: Waiting, lane: Lane, band: Band): void {
    const nowMs = this.#parts.clock.now();
    item.lane = lane;
    const top = lane.top;
    if (lane.size++ === 0) lane.rate.began(nowMs);
    lane.band(band).add(item);
    if (lane.size === 1) this.lanes.waits(lane, true);
    else if (!top || top.band.priority < band.priority) this.lanes.markAll(lane);
    this.#plan(item);
    this.#serve(lane, nowMs);
  }

  #leave(item: Waiting): void {
    const { lane, queue } = item;
    const { band } = queue;
    band.remove(item);
    if (--lane.size === 0) {
      lane.rate.ended(this.#parts.clock.now());
      this.lanes.waits(lane, false);
    } else if (band.size === 0) this.lanes.markAll(lane);
  }

  /** Notes when something is due for the request. */
  #plan(item: Waiting): void {
    const { lane, ask, enqueuedAtMs } = item;
    const ttlMs = lane.slots.length > 0
      ? this.admission.ttlMs(item.queue.band.band, ask)
      : shorter(this.#config.noEndpointTtlMs, ask.ttlMs);
    const endMs = ttlMs > 0 ? Math.max(enqueuedAtMs, lane.sinceMs) + ttlMs : Infinity;
    this.#due.set(item, Math.min(endMs, item.holdUntilMs ?? Infinity));
    this.#wakeAt(this.#due.next());
  }

  #replan(lane: Lane): void {
    for (const band of lane.bands) {
      for (const queue of band.queues.items) for (const item of queue.items.items) this.#plan(item);
    }
  }

  #wakeAt(atMs: number): void {
    if (atMs >= this.#timerAtMs) return;
    this.#timer?.cancel();
    const { clock } = this.#parts;
    this.#timerAtMs = atMs;
    this.#timer = clock.after(Math.max(0, atMs - clock.now()), () => this.#wake(), { background: true });
  }

  #wake(): void {
    this.#timer = undefined;
    this.#timerAtMs = Infinity;
    const nowMs = this.#parts.clock.now();
    for (let item = this.#due.take(nowMs); item; item = this.#due.take(nowMs)) this.#dueNow(item, nowMs);
    const next = this.#due.next();
    if (next < Infinity) this.#wakeAt(next);
  }

  #dueNow(item: Waiting, nowMs: number): void {
    if (item.holdUntilMs !== undefined && item.holdUntilMs <= nowMs) {
      item.holdUntilMs = undefined;
      const { band } = item.queue.band;
      this.#leave(item);
      return this.#enter(item, this.lanes.of(item.ask, nowMs), band);
    }
    const waitedMs = nowMs - item.enqueuedAtMs;
    const refusal = item.lane.slots.length > 0
      ? refusals.expired(waitedMs, this.admission.again(item, nowMs))
      : refusals.noEndpointsInTime(waitedMs);
    this.#end(item, refusal);
  }

  /** Ends a request that waits without a place. */
  #end(item: Waiting, refusal: FlowRefusal): void {
    this.#remove(item);
    this.#parts.observer?.ended?.(item.ask, refusal.end, this.#parts.clock.now() - item.enqueuedAtMs);
    item.answer(refusal);
  }

  #remove(item: Waiting): void {
    item.ended = true;
    this.#due.forget(item);
    this.#count(item, item.queue.band.band, -1);
    this.#leave(item);
    this.#waiting.get(item.edge)!.delete(item.ask.id);
  }

  /** Gives what room a lane's endpoints have to what waits there. */
  #serve(lane: Lane, nowMs: number): void {
    for (const slot of lane.slots) {
      if (lane.size === 0) return;
      if (this.#parts.open(slot)) this.#dispatch(slot, nowMs);
    }
  }

  #dispatch(slot: number, nowMs: number): void {
    const { clock, observer } = this.#parts;
    if (++this.#looks % looksTimed !== 0) return this.#offer(slot, nowMs);
    const startMs = clock.now();
    this.#offer(slot, nowMs);
    observer?.looked?.(clock.now() - startMs);
  }

  /** Gives a slot's room to what waits for it. */
  #offer(slot: number, nowMs: number): void {
    const { table } = this.#parts;
    for (let next = this.#next(slot, nowMs); next; next = this.#next(slot, nowMs)) {
      const { priority } = next.band;
      const ceiling = this.#ceilings.of(priority);
      const admitted = table.hasRoom(slot, ceiling) || this.#ceilings.admits(priority, table.saturation(slot));
      const { head } = next.next(nowMs);
      if (
        !admitted ||
        !table.tryEnter(slot, table.hasRoom(slot, ceiling) ? ceiling : 1, head.edge, head.ask.prefillTokens)
      ) {
        // What it is owed it cannot take: the others go on.
        if (next.band.credit < 1) return this.#parts.observer?.blocked?.(next, slot);
        next.band.credit = 0;
        continue;
      }
      this.#grant(head, next, slot, nowMs);
    }
  }

  #grant(item: Waiting, { band, domain }: LaneBand, slot: number, nowMs: number): void {
    const { tenant } = item.queue;
    item.lane.rate.dispatched(nowMs);
    this.#remove(item);
    domain.fairness.granted(tenant, item.ask, nowMs);
    for (const queue of tenant.queues) queue.band.queues.moved(queue);
    this.#share(band, nowMs);
    this.#granted.set(`${item.edge} ${item.ask.id}`, item);
    const waitedMs = nowMs - item.enqueuedAtMs;
    this.#parts.observer?.ended?.(item.ask, "Dispatched", waitedMs);
    item.answer({ slot, prefillTokens: item.ask.prefillTokens, waitedMs });
  }

  /** Bands with a share are owed it by each dispatch of another one while they wait. */
  #share(served: Band, nowMs: number): void {
    const { aging } = this.#config;
    for (const band of this.bands.list) {
      if (band.held.requests === 0) band.credit = 0;
      else if (band === served) band.credit = Math.max(0, band.credit - 1);
      else {
        const aged = aging && nowMs - band.oldest!.enqueuedAtMs > aging.afterMs ? aging.share : 0;
        band.passedOver(Math.max(band.config.share, aged));
      }
    }
  }

  /** What is served next at a slot: the band that is owed most, else the highest; of several lanes the first by their order. */
  #next(slot: number, nowMs: number): LaneBand | undefined {
    let best: LaneBand | undefined;
    for (const lane of this.lanes.at(slot)) {
      for (const band of lane.bands) {
        if (band.size > 0 && (!best || this.#before(band, best, nowMs))) best = band;
      }
    }
    return best;
  }

  #before(one: LaneBand, other: LaneBand, nowMs: number): boolean {
    const owed = one.band.credit >= 1 ? one.band.credit : 0, otherOwed = other.band.credit >= 1 ? other.band.credit : 0;
    if (owed !== otherOwed) return owed > otherOwed;
    if (one.band !== other.band) return one.band.priority > other.band.priority;
    const a = one.next(nowMs), b = other.next(nowMs);
    if (one.domain === other.domain && !one.domain.fairness.pick) return one.domain.fairness.before(a, b);
    return comesFirst(a.head, b.head);
  }
}
