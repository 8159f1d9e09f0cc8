/** A controller over a table of its own in virtual time, for tests. */
import { type FlowConfig, flowDefaults } from "../config/mod.ts";
import { endpointMeta, EndpointState, EndpointTable, VirtualClock } from "../core/mod.ts";
import { FlowController, type FlowObserver } from "./controller.ts";
import { type FlowAnswer, type FlowAsk, type FlowEnd, isGrant } from "./types.ts";

export type FlowChanges = Partial<FlowConfig>;

/** What is not said otherwise: nobody is turned away for the time it would wait. */
export function flowConfig(changes: FlowChanges = {}): FlowConfig {
  return { ...flowDefaults, earlyRejection: "off", ...changes };
}

export class FlowBed {
  readonly clock = new VirtualClock();
  readonly table: EndpointTable;
  readonly flow: FlowController;
  /** Slots that their health closes. */
  readonly closed = new Set<number>();
  /** By request. */
  readonly answers = new Map<number, FlowAnswer>();
  /** Requests in the order in which they were dispatched. */
  readonly served: number[] = [];
  readonly ends: [id: number, end: FlowEnd, waitedMs: number][] = [];
  /** Slots at which the best request found no room, with its priority. */
  readonly blocked: [slot: number, priority: number][] = [];
  #ids = 0;

  /** One endpoint for each of `capacities`. */
  constructor(
    capacities: readonly number[],
    changes: FlowChanges = {},
    priorities: readonly number[] = [],
    isolates = 2,
  ) {
    this.table = new EndpointTable(Math.max(1, capacities.length), undefined, 0, { isolates });
    capacities.forEach((capacity, i) => {
      const slot = this.table.add(endpointMeta({ host: "h", port: i + 1 }), EndpointState.Ready);
      this.table.requestCapacity[slot] = capacity;
    });
    const observer: FlowObserver = {
      ended: ({ id }, end, waitedMs) => this.ends.push([id, end, waitedMs]),
      blocked: ({ band }, slot) => this.blocked.push([slot, band.priority]),
    };
    const config = flowConfig(changes), { clock, table } = this;
    this.flow = new FlowController({
      clock,
      table,
      config,
      priorities,
      open: (slot) => !this.closed.has(slot),
      observer,
    });
    table.onRoom = (slot) => this.flow.room(slot);
  }

  /** Asks for a place at any endpoint unless told otherwise; returns the request's number. */
  ask(changes: Partial<FlowAsk> = {}, edge = 0): number {
    const id = ++this.#ids;
    const ask: FlowAsk = {
      id,
      lane: "m",
      model: "m",
      slots: [...this.table.slots()],
      tenant: "t",
      priority: 0,
      receivedAtMs: this.clock.now(),
      promptTokens: 10,
      prefillTokens: 0,
      outputTokens: 0,
      bodyBytes: 1,
      ...changes,
    };
    this.flow.enqueue(edge, ask, (answer) => {
      if (this.answers.has(id)) throw new Error(`Request ${id} was answered twice`);
      this.answers.set(id, answer);
      if (isGrant(answer)) this.served.push(id);
    });
    return id;
  }

  /** So many requests alike. */
  asks(count: number, changes: Partial<FlowAsk> = {}): number[] {
    return Array.from({ length: count }, () => this.ask(changes));
  }

  /** Fills every endpoint with requests that nobody hears of again. */
  fill(): this {
    for (const slot of this.table.slots()) while (this.table.tryEnter(slot, 1));
    return this;
  }

  /** Requests at a slot end, one after the other. */
  done(slot: number, count = 1): void {
    for (let i = 0; i < count; i++) this.table.inflight(slot, -1, 0, 0);
  }

  /** Where a request is: its slot, how it ended, or "waits". */
  at(id: number): number | FlowEnd | "waits" {
    const answer = this.answers.get(id);
    if (!answer) return "waits";
    return isGrant(answer) ? answer.slot : answer.end;
  }

  /** Whom the tokens of a request that was given a place are charged to. */
  account(id: number): number {
    const answer = this.answers.get(id);
    if (!answer || !isGrant(answer)) throw new Error(`Request ${id} has no place`);
    return answer.account;
  }

  /** What the client of a refused request is told. */
  told(id: number): { message: string; retryAfterS: number | undefined } {
    const answer = this.answers.get(id);
    if (!answer || isGrant(answer)) throw new Error(`Request ${id} was not refused`);
    return { message: answer.message, retryAfterS: answer.retryAfterS };
  }

  /** Requests in the order of their dispatch while a slot's end one by one. */
  drain(slot = 0): number[] {
    const from = this.served.length;
    while (this.flow.size > 0) {
      const before = this.flow.size;
      this.done(slot);
      if (this.flow.size === before) break;
    }
    return this.served.slice(from);
  }
}
