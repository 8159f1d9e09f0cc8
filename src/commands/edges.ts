/** The edges of a router: one in the control isolate, or several in workers that are watched and replaced. */
import { type Clock, type EndpointTable, sleep, type Timer, within } from "../core/mod.ts";
import type { Config } from "../config/mod.ts";
import type { KeyPlan } from "../keys/mod.ts";
import { ClaimsInbox, type ClaimsTarget } from "../kv/mod.ts";
import { type PoolRecordsTarget, takePoolRecord } from "../pool/mod.ts";
import type { FlowQueue } from "../pipeline/mod.ts";
import type { Logger, Metrics, MetricsDump } from "../telemetry/mod.ts";
import type { EdgeDoor } from "./edge.ts";
import { type SharedBuffers, SharedCells } from "./edge_shared.ts";
import type { FlowDesk } from "./flow_desk.ts";
import type { LatencyDesk } from "./latency_desk.ts";
import type { WorkerEdge, WorkerEdgeEvents } from "./worker_edge.ts";

/** What edges tell is read at once after a silence, and so often while they go on. */
const lookMs = 1;
/** Between looks at what the workers counted and whether they still turn. */
const watchMs = 1_000;
/** A scrape waits no longer for a busy worker: what it counted a second ago at most stands in. */
const dumpMs = 500;
/** A worker that does not listen by then never will. */
const startMsMax = 30_000;
/** How long an edge may take to close its connections. */
const closeMs = 2_000;
/** A worker whose event loop stood still for so long serves nobody: its connections are better ended. */
const stallMs = 10_000;
/** Pause before a worker that died soon after its start is started again; doubles up to the last. */
const restartMs = 250;
const restartMsMax = 10_000;
/** One that ran for so long did not die of its start. */
const provenMs = 10_000;

export interface EdgesParts {
  readonly clock: Clock;
  readonly table: EndpointTable;
  readonly buffers: SharedBuffers;
  readonly claims: ClaimsTarget;
  readonly flow: FlowDesk;
  /** Absent: nothing is learned. */
  readonly latency?: LatencyDesk;
  readonly pool: PoolRecordsTarget;
  readonly metrics: Metrics;
  readonly log: Logger;
}

/** Isolate 0 is the control isolate; the workers' follow. */
interface Seat {
  readonly isolate: number;
  readonly cells: SharedCells;
  readonly inbox: ClaimsInbox;
  door?: EdgeDoor;
  worker?: WorkerEdge;
  startedAtMs: number;
  /** Deaths in a row soon after a start. */
  deaths: number;
  lastDump: MetricsDump;
  beats: number;
  beatAtMs: number;
}

/** Starts a worker and resolves when it listens. */
export type StartWorker = (
  isolate: number,
  events: Pick<WorkerEdgeEvents, "onGone" | "flow">,
) => { readonly worker: WorkerEdge; readonly ready: Promise<void> };

export class Edges {
  readonly #parts: EdgesParts;
  readonly #seats: Seat[] = [];
  #startWorker: StartWorker | undefined;
  #watch: Timer | undefined;
  #draining = false;
  #closing = false;
  #watchedAtMs = 0;

  constructor(parts: EdgesParts) {
    this.#parts = parts;
  }

  /** Requests that have not ended, over all edges. */
  get active(): number {
    return this.#seats.reduce((sum, { cells }) => sum + Atomics.load(cells.active, 0), 0);
  }

  /** How much the busiest edge refuses; an `OverloadLevel`. */
  get overload(): number {
    return Math.max(0, ...this.#seats.map(({ cells }) => Atomics.load(cells.overload, 0)));
  }

  /** Records that found no room, over all edges. */
  get dropped(): number {
    return this.#seats.reduce((sum, { cells }) => sum + cells.ring.dropped, 0);
  }

  /** Edges that take requests. */
  get listening(): number {
    return this.#seats.filter(({ door }) => door !== undefined).length;
  }

  /** Claims that were neither confirmed nor withdrawn, over all edges. */
  get openClaims(): number {
    return this.#seats.reduce((sum, { inbox }) => sum + inbox.open, 0);
  }

  /** An edge in this isolate: what it tells takes effect at once. */
  inline(): {
    readonly cells: SharedCells;
    readonly rung: () => void;
    readonly flow: FlowQueue;
    readonly join: (door: EdgeDoor) => void;
  } {
    const seat = this.#seat(0);
    const flow = this.#parts.flow.door(0);
    return { cells: seat.cells, rung: () => this.#read(seat), flow, join: (door) => void (seat.door = door) };
  }

  /** Edges in workers. Rejects when one of them does not start. */
  async workers(count: number, start: StartWorker): Promise<void> {
    this.#startWorker = start;
    for (let isolate = 1; isolate <= count; isolate++) this.#seat(isolate);
    const { clock } = this.#parts;
    void this.#seats[0].cells.bell.listen(() => {
      for (const seat of this.#seats) this.#read(seat);
      return !this.#closing;
    }, () => sleep(clock, lookMs));
    // Without a pause: it is rung only while somebody waits.
    void this.#seats[0].cells.roomBell.listen(() => {
      this.#parts.flow.controller.look();
      return !this.#closing;
    }, () => Promise.resolve());
    // The first alone: where the port is taken, one says so.
    for (const seat of this.#seats) await this.#start(seat);
    this.#keepWatch();
  }

  /** Asks every edge that is there; one that goes meanwhile is left out. */
  async each<T>(ask: (door: EdgeDoor) => Promise<T>): Promise<T[]> {
    const doors = this.#seats.flatMap(({ door }) => door ?? []);
    const answers = await Promise.allSettled(doors.map(ask));
    return answers.flatMap((answer) => answer.status === "fulfilled" ? [answer.value] : []);
  }

  /**
   * Tells every edge, one that is still starting included: it takes things in order. Rejects when one cannot do it; one
   * that goes meanwhile is started anew with what is known then.
   */
  async tell(what: (door: EdgeDoor) => Promise<void>): Promise<void> {
    await Promise.all(this.#seats.map(async (seat) => {
      const door = seat.worker ?? seat.door;
      try {
        if (door) await what(door);
      } catch (error) {
        if (door === (seat.worker ?? seat.door)) throw error;
      }
    }));
  }

  /** The edge of an isolate, while it is there. */
  of(isolate: number): EdgeDoor | undefined {
    return this.#seats.find((seat) => seat.isolate === isolate)?.door;
  }

  /** Any edge that is there. Throws when none is. */
  any(): EdgeDoor {
    const door = this.#seats.find(({ door }) => door !== undefined)?.door;
    if (!door) throw new Error("No edge is running");
    return door;
  }

  /** Every edge makes the configuration ready. Rejects when one cannot. */
  prepare(config: Config, epoch: number, keyPlan: KeyPlan): Promise<void> {
    return this.tell((door) => door.prepare(config, epoch, keyPlan));
  }

  /** All edges take over the configuration they made ready for `epoch`, at one moment. */
  commit(epoch: number): void {
    Atomics.store(this.#seats[0].cells.epoch, 0, epoch);
  }

  /** What workers counted; the isolate this runs in renders its own. */
  async dumps(): Promise<MetricsDump[]> {
    const workers = this.#seats.filter(({ worker, door }) => worker && door);
    await within(this.#parts.clock, dumpMs, Promise.all(workers.map((seat) => this.#dump(seat))));
    return this.#seats.filter(({ worker }) => worker).map(({ lastDump }) => lastDump);
  }

  /** Ends one worker as it stands, as its crash would. */
  async kill(isolate: number): Promise<void> {
    await this.#seats.find((seat) => seat.isolate === isolate)?.worker?.kill();
  }

  async drain(): Promise<void> {
    this.#draining = true;
    await this.each((door) => door.drain());
  }

  /** Ends all; an edge that does not close its connections in time is ended with them. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#watch?.cancel();
    await within(this.#parts.clock, closeMs, this.each((door) => door.close()));
    await Promise.all(this.#seats.map(({ worker }) => worker?.kill()));
    this.#seats[0]?.cells.bell.ring();
    this.#seats[0]?.cells.roomBell.ring();
  }

  #seat(isolate: number): Seat {
    const { buffers, claims, table } = this.#parts;
    const seat: Seat = {
      isolate,
      cells: new SharedCells(buffers, isolate, table.capacity),
      inbox: new ClaimsInbox(claims, table),
      startedAtMs: 0,
      deaths: 0,
      lastDump: [],
      beats: 0,
      beatAtMs: 0,
    };
    this.#seats.push(seat);
    return seat;
  }

  #read({ cells, inbox, isolate }: Seat): void {
    const { pool, flow, latency, table: { generation } } = this.#parts;
    cells.ring.drain((kind, numbers, hashes) => {
      if (inbox.take(kind, numbers, hashes) || takePoolRecord(pool, generation, kind, numbers)) return;
      if (!latency?.take(kind, numbers)) flow.take(isolate, kind, numbers);
    });
  }

  async #start(seat: Seat): Promise<void> {
    const { clock } = this.#parts;
    seat.startedAtMs = seat.beatAtMs = clock.now();
    let gone = false;
    const { worker, ready } = this.#startWorker!(seat.isolate, {
      flow: this.#parts.flow.door(seat.isolate),
      onGone: (cause) => {
        gone = true;
        this.#gone(seat, cause);
      },
    });
    seat.worker = worker;
    const timer = clock.after(startMsMax, () => void worker.kill(), { background: true });
    try {
      await ready;
      if (!gone) seat.door = worker;
    } catch (error) {
      if (!gone) await worker.kill();
      throw error;
    } finally {
      timer.cancel();
    }
  }

  /** What a worker held is given back, and another takes its seat. */
  #gone(seat: Seat, cause: string): void {
    const served = seat.door !== undefined;
    seat.door = seat.worker = undefined;
    this.#read(seat);
    seat.inbox.abandon();
    const { table, metrics, log, clock, flow } = this.#parts;
    flow.abandon(seat.isolate);
    this.#parts.latency?.abandon(seat.isolate);
    const requests = table.releaseIsolate(seat.isolate);
    flow.controller.look();
    seat.cells.quotas.releaseAll(seat.isolate);
    Atomics.store(seat.cells.active, 0, 0);
    Atomics.store(seat.cells.overload, 0, 0);
    metrics.inherit(seat.lastDump);
    seat.lastDump = [];
    // One that never served is reported by whoever started it.
    if (this.#draining || this.#closing || !served) return;
    seat.deaths = clock.now() - seat.startedAtMs < provenMs ? seat.deaths + 1 : 0;
    const pauseMs = seat.deaths === 0 ? 0 : Math.min(restartMsMax, restartMs * 2 ** (seat.deaths - 1));
    log.error("An edge ended and is replaced", { edge: seat.isolate, cause, requests, pauseMs });
    metrics.edgeRestarted();
    clock.after(pauseMs, () => this.#replace(seat), { background: true });
  }

  async #replace(seat: Seat): Promise<void> {
    if (this.#draining || this.#closing) return;
    try {
      await this.#start(seat);
      this.#parts.log.info("An edge was replaced", { edge: seat.isolate });
    } catch (error) {
      seat.deaths++;
      const pauseMs = Math.min(restartMsMax, restartMs * 2 ** seat.deaths);
      this.#parts.log.error("Cannot start an edge", { edge: seat.isolate, cause: String(error), pauseMs });
      this.#parts.clock.after(pauseMs, () => this.#replace(seat), { background: true });
    }
  }

  #keepWatch(): void {
    const { clock, log } = this.#parts;
    this.#watch = clock.after(watchMs, () => {
      // A process that was stopped for a while finds every edge as it left it.
      const slept = clock.now() - this.#watchedAtMs > 2 * watchMs;
      this.#watchedAtMs = clock.now();
      for (const seat of this.#seats) {
        if (!seat.door) continue;
        void this.#dump(seat);
        const beats = Atomics.load(seat.cells.beats, 0), now = clock.now();
        if (slept || beats !== seat.beats) [seat.beats, seat.beatAtMs] = [beats, now];
        else if (now - seat.beatAtMs > stallMs) {
          log.error("An edge stands still and is ended", { edge: seat.isolate, stillMs: now - seat.beatAtMs });
          seat.beatAtMs = now;
          void seat.worker?.kill();
        }
      }
      this.#keepWatch();
    }, { background: true });
  }

  async #dump(seat: Seat): Promise<void> {
    const { worker } = seat;
    try {
      const dump = await worker?.dump();
      // Another one's counts, or those of one that is gone already, are accounted for.
      if (dump && seat.worker === worker) seat.lastDump = dump;
    } catch {
      // It went meanwhile.
    }
  }
}
