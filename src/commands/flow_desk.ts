/** The one queue of a router: joins the controller with the pool's samples and with edges in whatever isolate. */
import { type Clock, EndpointState, type EndpointTable, mayPass, type RecordRing } from "../core/mod.ts";
import type { FlowConfig } from "../config/mod.ts";
import {
  Capacity,
  explainFlow,
  type FlowAnswer,
  type FlowAsk,
  FlowController,
  type FlowObserver,
  type FlowReport,
  flowSample,
  isGrant,
  type LaneBand,
  type RevocationObserver,
  Revocations,
} from "../flow/mod.ts";
import type { FlowQueue } from "../pipeline/mod.ts";
import type { FlowSample, FlowSeries } from "../telemetry/mod.ts";

/** Kinds of records; others' are below. */
const kinds = { settle: 32, placed: 33, begun: 34 } as const;

/** What of the flow configuration is in force, and for whom. */
export interface FlowSetup {
  readonly flow: FlowConfig;
  /** Priorities that objectives have. */
  readonly priorities: readonly number[];
}

export interface DeskObserver extends FlowObserver {
  /** A request waits, or was answered at once: `outcome` says which. */
  enqueued?(ask: FlowAsk, outcome: string, tookMs: number): void;
}

export interface FlowDeskParts {
  readonly clock: Clock;
  readonly table: EndpointTable;
  readonly setup: FlowSetup;
  readonly observer: DeskObserver;
  readonly revocationObserver?: RevocationObserver;
  /** Asks an edge to take a request back. */
  readonly revoke: (edge: number, id: number) => void;
}

/** Who counts what happens to waiting requests. */
export function flowObservers(series: FlowSeries): Pick<FlowDeskParts, "observer" | "revocationObserver"> {
  return {
    observer: series,
    revocationObserver: {
      issued: (priority) => series.revocationIssued(priority),
      ended: (how, ms) => series.revocationEnded(how, ms / 1000),
    },
  };
}

export class FlowDesk {
  readonly controller: FlowController;
  readonly revocations: Revocations;
  readonly #capacity: Capacity;
  readonly #clock: Clock;
  readonly #table: EndpointTable;
  readonly #observer: DeskObserver;

  constructor({ clock, table, setup, observer, revocationObserver, revoke }: FlowDeskParts) {
    const { flow, priorities } = setup;
    this.#clock = clock;
    this.#table = table;
    this.#observer = observer;
    this.revocations = new Revocations({ clock, revoke, observer: revocationObserver });
    this.#capacity = new Capacity(table, clock, limits(flow));
    const open = (slot: number) => table.state[slot] === EndpointState.Ready && mayPass(table, slot);
    const blocked = (band: LaneBand, slot: number) => {
      observer.blocked?.(band, slot);
      if (this.controller.config.eviction) this.revocations.blocked(band.band.priority, band.size, slot);
    };
    this.controller = new FlowController({
      clock,
      table,
      config: flow,
      priorities,
      open,
      observer: {
        queued: (ask) => observer.queued?.(ask),
        ended: (ask, end, waitedMs) => observer.ended?.(ask, end, waitedMs),
        looked: (tookMs) => observer.looked?.(tookMs),
        blocked,
      },
    });
    // Of an edge in this isolate; those in others ring.
    table.onRoom = (slot) => this.controller.room(slot);
  }

  use({ flow, priorities }: FlowSetup): void {
    if (JSON.stringify(limits(flow)) !== JSON.stringify(limits(this.controller.config))) {
      this.#capacity.use(limits(flow));
    }
    this.controller.use(flow, priorities);
  }

  slotAdded(slot: number): void {
    this.#capacity.added(slot);
  }

  /** See `ScraperParts.onSample`. */
  sampled(slot: number, requestsBefore: number | undefined): void {
    if (requestsBefore === undefined) this.#capacity.missed(slot);
    else this.#capacity.sampled(slot, requestsBefore);
    this.controller.room(slot);
  }

  enqueue(edge: number, ask: FlowAsk): Promise<FlowAnswer> {
    const { promise, resolve } = Promise.withResolvers<FlowAnswer>();
    const startMs = this.#clock.now();
    // llm-d's name for one that waits.
    let outcome = "NotYetFinalized";
    this.controller.enqueue(edge, ask, (answer) => {
      outcome = isGrant(answer) ? "Dispatched" : answer.end;
      resolve(answer);
    });
    this.#observer.enqueued?.(ask, outcome, this.#clock.now() - startMs);
    return promise;
  }

  /** As it is now, in numbers. */
  sample(staleAfterMs: number): FlowSample {
    const { controller, revocations: { pending: revoked } } = this;
    return flowSample({ controller, table: this.#table, nowMs: this.#clock.now(), staleAfterMs, revoked });
  }

  /** What waits, and why. */
  explain(): FlowReport {
    const nameOf = (slot: number) => this.#table.peek(slot)?.id ?? `slot ${slot}`;
    return explainFlow({ controller: this.controller, table: this.#table, nameOf, nowMs: this.#clock.now() });
  }

  /** What flow control knows of an endpoint. */
  place(slot: number): object {
    const { requestCapacity, foreign } = this.#table;
    const capacity = requestCapacity[slot];
    return {
      capacity: capacity < Infinity ? capacity : null,
      foreign: foreign[slot],
      saturation: this.#table.saturation(slot),
      queued: this.controller.lanes.at(slot).reduce((sum, { size }) => sum + size, 0),
    };
  }

  /** One record of an edge; false for a kind of somebody else's. */
  take(edge: number, kind: number, numbers: Float64Array): boolean {
    const [id] = numbers;
    if (kind === kinds.settle) this.controller.settle(numbers[0], numbers[1], numbers[2]);
    else if (kind === kinds.placed) this.revocations.placed(edge, id, numbers[1], numbers[2]);
    else if (kind === kinds.begun) this.revocations.begun(edge, id);
    else return false;
    return true;
  }

  /** An edge is gone. What it held is given back by whoever keeps its ledger. */
  abandon(edge: number): void {
    this.controller.abandon(edge);
    this.revocations.abandon(edge);
  }

  /** The queue as the edge in this isolate has it. */
  door(edge: number): FlowQueue {
    return {
      enqueue: (ask) => this.enqueue(edge, ask),
      cancel: (id) => this.controller.cancel(edge, id),
      resize: (lanes) => this.controller.resize(lanes),
      settle: (account, input, output) => this.controller.settle(account, input, output),
      placed: (id, slot, priority) => this.revocations.placed(edge, id, slot, priority),
      begun: (id) => this.revocations.begun(edge, id),
    };
  }
}

/** The router's queue as an edge in a worker has it. */
export function remoteQueue(
  call: (method: "enqueue" | "cancel" | "resize", arg: unknown) => Promise<unknown>,
  ring: RecordRing,
  rung: () => void,
): FlowQueue {
  const tell = (kind: number, ...numbers: number[]) => {
    ring.push(kind, numbers);
    rung();
  };
  return {
    enqueue: (ask) => call("enqueue", ask) as Promise<FlowAnswer>,
    cancel: (id) => void call("cancel", id),
    resize: (lanes) => void call("resize", lanes),
    settle: (account, input, output) => tell(kinds.settle, account, input, output),
    placed: (id, slot, priority) => tell(kinds.placed, id, slot, priority),
    begun: (id) => tell(kinds.begun, id),
  };
}

function limits({ enabled, saturation }: FlowConfig) {
  return enabled ? saturation : undefined;
}
