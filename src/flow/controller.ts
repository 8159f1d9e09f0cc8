import type { Clock, EndpointTable, Timer } from "../core/mod.ts";
import type { FlowConfig } from "../config/mod.ts";
import { Admission, shorter } from "./admission.ts";
import { Asked } from "./asked.ts";
import { type Band, Bands, Held } from "./band.ts";
import { type Ceilings, ceilingsOf } from "./ceiling.ts";
import { DueTimes } from "./due.ts";
import type { Lane, LaneBand } from "./lane.ts";
import { Lanes } from "./lanes.ts";
import { orderKey } from "./ordering.ts";
import { type FlowAnswer, type FlowAsk, type FlowEnd, type FlowRefusal, type LaneSlots, Waiting } from "./types.ts";
import { refusals } from "./refusals.ts";
import { Turns } from "./turns.ts";

/** Two readings of the clock take 160 ns, about what a look that finds nothing takes: one of so many is measured. */
const looksTimed = 64;

/** What of the pool the controller works on; an `EndpointTable` is such. */
export type FlowTable = Pick<
  EndpointTable,
  "capacity" | "queued" | "hasRoom" | "tryEnter" | "saturation" | "requests" | "serviceMs"
>;

/** Timers hold 31 bits of milliseconds; for a later time one is set again. */
const timerMaxMs = 2 ** 30;

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
  readonly #asked = new Asked();
  readonly #due = new DueTimes();
  readonly #turns: Turns;
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
    this.#ceilings = ceilingsOf(parts.config, parts.priorities);
    this.#turns = new Turns(this.lanes, parts.config);
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
    const ages = config.aging && !this.#config.aging;
    this.#config = config;
    this.#ceilings = ceilingsOf(config, priorities);
    this.#turns.use(config);
    this.bands.use(config);
    for (const lane of this.lanes.all()) this.#replan(lane);
    const inOrder = ages ? this.#asked.all().sort((a, b) => a.number - b.number) : [];
    for (const item of inOrder) item.queue.band.band.arrived(item);
    this.look();
  }

  /**
   * A request of `edge` found no room. `answer` is called once: with a place, which counts as the edge's already, or with a
   * refusal; it may be called before this returns.
   */
  enqueue(edge: number, ask: FlowAsk, answer: (answer: FlowAnswer) => void): void {
    if (this.#stopped) return this.#refuse(ask, refusals.stopped(), answer);
    const nowMs = this.#parts.clock.now();
    const band = this.bands.of(ask.priority);
    const lane = this.lanes.of(ask, nowMs);
    if (this.#turn(lane, ask.slots, nowMs)) this.#serve(lane, nowMs);
    const promisedMs = this.admission.redeem(ask, nowMs);
    const known = promisedMs === undefined ? ask : { ...ask, receivedAtMs: Math.min(promisedMs, ask.receivedAtMs) };
    const held = ask.hold && lane.slots.includes(ask.hold.slot) ? ask.hold : undefined;
    const first = held ? this.#laneOfOne(lane, held.slot, nowMs) : lane;
    if (!this.#hasRoom(first, band)) {
      const late = promisedMs === undefined && (first === lane || !this.#hasRoom(lane, band));
      const refusal = (late ? this.admission.tooLate(band, lane, ask, nowMs) : undefined) ??
        this.admission.overLimit(band, lane, known, nowMs, promisedMs !== undefined);
      if (refusal) return this.#refuse(ask, refusal, answer);
    }
    if (ask.promise !== undefined) this.admission.promises.forget(ask.promise);
    const item = new Waiting(known, edge, ++this.#numbers, answer);
    item.enqueuedAtMs = nowMs;
    item.order = orderKey(band.config.ordering, known, nowMs, this.admission.ttlMs(band, known));
    item.ofTenant = this.#ofTenant(ask.tenant);
    this.#count(item, band, 1);
    this.#asked.add(item);
    if (this.#config.aging) band.arrived(item);
    this.#parts.observer?.queued?.(ask);
    if (held) {
      item.wide = lane;
      item.holdUntilMs = nowMs + held.ms;
      lane.holding.add(item);
    }
    this.#enter(item, first, band, nowMs);
    if (item.queue.band.size === 1) return this.#serve(first, nowMs);
    // Others like it found no room before: one endpoint is looked at, in case room came that nobody told of.
    const slot = first.slots[item.number % first.slots.length];
    if (slot !== undefined && this.#parts.open(slot)) this.#dispatch(slot, nowMs);
  }

  /** A request whose grant named `account` has ended: it used so many tokens more (or less) than it asked for. */
  settle(account: number, inputTokens: number, outputTokens: number): void {
    this.bands.accounts.settle(account, inputTokens, outputTokens, () => this.#parts.clock.now());
  }

  /** The client of a request that waits is gone. What has been answered already is the edge's to give back. */
  cancel(edge: number, id: number): void {
    const item = this.#asked.get(edge, id);
    if (item) this.#end(item, refusals.cancelled());
  }

  /** An edge is gone: nobody waits for its requests any more. */
  abandon(edge: number): void {
    for (const item of this.#asked.of(edge)) this.#end(item, refusals.cancelled());
  }

  /** Other endpoints serve the lanes of these names now. */
  resize(lanes: Iterable<LaneSlots>): void {
    const nowMs = this.#parts.clock.now();
    const known = Array.from(lanes, (told) => {
      const lane = this.lanes.of(told, nowMs);
      this.#turn(lane, told.slots, nowMs);
      // A slot that was given to another endpoint has lost its mark.
      this.lanes.markAll(lane);
      return lane;
    });
    // Only now, so that the best of all lanes goes first.
    for (const lane of known) this.#serve(lane, nowMs);
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
    this.#timerAtMs = Infinity;
    for (const item of this.#asked.all()) if (!item.ended) this.#end(item, refusals.stopped());
  }

  #refuse(ask: FlowAsk, refusal: FlowRefusal, answer: (answer: FlowAnswer) => void): void {
    this.#parts.observer?.ended?.(ask, refusal.end, 0);
    answer(refusal);
  }

  #count({ ask, ofTenant }: Waiting, band: Band, sign: 1 | -1): void {
    band.held.add(ask, sign);
    this.held.add(ask, sign);
    ofTenant.add(ask, sign);
    if (ofTenant.requests === 0) this.tenants.delete(ask.tenant);
  }

  #ofTenant(name: string): Held {
    let held = this.tenants.get(name);
    if (!held) this.tenants.set(name, held = new Held());
    return held;
  }

  /** Endpoints serve a lane; false when they are the same as before. */
  #turn(lane: Lane, slots: readonly number[], nowMs: number): boolean {
    if (!this.lanes.resize(lane, slots, nowMs)) return false;
    this.#replan(lane);
    for (const item of [...lane.holding]) if (!slots.includes(item.ask.hold!.slot)) this.#widen(item, nowMs);
    return true;
  }

  /** Nothing of this or a higher priority waits in the lane and an endpoint has room: the edge saw it before that was so. */
  #hasRoom({ slots, top }: Lane, { priority }: Band): boolean {
    if (top && top.band.priority >= priority) return false;
    const ceiling = this.#ceilings.of(priority);
    return slots.some((slot) => this.#parts.table.hasRoom(slot, ceiling) && this.#parts.open(slot));
  }

  #laneOfOne(lane: Lane, slot: number, nowMs: number): Lane {
    return this.lanes.of({ lane: `${lane.model}\0only ${slot}`, model: lane.model, slots: [slot] }, nowMs);
  }

  #enter(item: Waiting, lane: Lane, band: Band, nowMs: number): void {
    item.lane = lane;
    const top = lane.top;
    if (lane.size++ === 0) lane.rate.began(nowMs);
    lane.band(band).add(item);
    if (lane.size === 1) this.lanes.waits(lane, true);
    else if (!top || top.band.priority < band.priority) this.lanes.markAll(lane);
    this.#plan(item);
  }

  #leave(item: Waiting, moves = true): void {
    const { lane, queue } = item;
    const { band } = queue;
    band.remove(item, moves);
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
    this.#wakeAt(item.dueAtMs);
  }

  #replan(lane: Lane): void {
    for (const band of lane.bands) {
      for (const { line } of band.queues.items) for (const item of line) this.#plan(item);
    }
  }

  #wakeAt(atMs: number): void {
    if (atMs >= this.#timerAtMs) return;
    this.#timer?.cancel();
    const { clock } = this.#parts;
    this.#timerAtMs = atMs;
    // Timers count whole milliseconds: one rounded down would wake before the time, again and again.
    const ms = Math.min(timerMaxMs, Math.max(0, Math.ceil(atMs - clock.now())));
    this.#timer = clock.after(ms, () => this.#wake(), { background: true });
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
      this.#widen(item, nowMs);
      return this.#serve(item.lane, nowMs);
    }
    const waitedMs = nowMs - item.enqueuedAtMs;
    const refusal = item.lane.slots.length > 0
      ? refusals.expired(waitedMs, this.admission.again(item, nowMs))
      : refusals.noEndpointsInTime(waitedMs);
    this.#end(item, refusal);
  }

  /** It waits for one endpoint no longer, but for any of its lane. */
  #widen(item: Waiting, nowMs: number): void {
    const lane = item.wide!;
    const { band } = item.queue.band;
    lane.holding.delete(item);
    item.wide = item.holdUntilMs = undefined;
    this.#leave(item);
    this.#enter(item, lane, band, nowMs);
  }

  /** Ends a request that waits without a place. */
  #end(item: Waiting, refusal: FlowRefusal): void {
    this.#remove(item);
    this.#parts.observer?.ended?.(item.ask, refusal.end, this.#parts.clock.now() - item.enqueuedAtMs);
    item.answer(refusal);
  }

  #remove(item: Waiting, moves = true): void {
    item.ended = true;
    this.#due.forget(item);
    this.#count(item, item.queue.band.band, -1);
    item.wide?.holding.delete(item);
    this.#asked.remove(item);
    this.#leave(item, moves);
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
    const { table, observer } = this.#parts;
    for (;;) {
      // Who is next at a full endpoint matters only where somebody is to make room.
      if (!this.#config.eviction && !table.hasRoom(slot, this.#ceilings.highest)) return;
      let next = this.#turns.next(slot);
      if (!next) return;
      let ceiling = this.#openTo(next, slot);
      const first = ceiling === 0 && next.domain.owed > 0 ? this.#turns.unowed(slot)! : next;
      if (first !== next) {
        // What it is owed it cannot take here: the others go on.
        next = first;
        ceiling = this.#openTo(next, slot);
      }
      if (ceiling === 0) return observer?.blocked?.(next, slot);
      const { head } = next.next();
      if (!table.tryEnter(slot, ceiling, head.edge, head.ask.prefillTokens)) return observer?.blocked?.(next, slot);
      this.#grant(head, next, slot, nowMs);
    }
  }

  /** The share of its capacity up to which a slot takes requests of a band now; 0: none. */
  #openTo({ band: { priority } }: LaneBand, slot: number): number {
    const { table } = this.#parts;
    const ceiling = this.#ceilings.of(priority);
    if (table.hasRoom(slot, ceiling)) return ceiling;
    return this.#ceilings.reflective && this.#ceilings.admits(priority, table.saturation(slot)) ? 1 : 0;
  }

  #grant(item: Waiting, { domain }: LaneBand, slot: number, nowMs: number): void {
    const { tenant } = item.queue;
    // One that found room at once says nothing of how fast room comes.
    if (nowMs > item.enqueuedAtMs) item.lane.rate.dispatched(nowMs);
    this.#remove(item, false);
    domain.fairness.granted(tenant, item.ask, nowMs);
    for (const queue of tenant.queues) queue.band.queues.moved(queue);
    this.#turns.served(domain, slot, nowMs);
    const waitedMs = nowMs - item.enqueuedAtMs;
    this.#parts.observer?.ended?.(item.ask, "Dispatched", waitedMs);
    item.answer({ slot, prefillTokens: item.ask.prefillTokens, account: tenant.account, waitedMs });
  }
}
