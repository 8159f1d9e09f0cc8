import type { Clock, Timer } from "../../core/mod.ts";
import type { Handler } from "./request.ts";

/** Times after which a connection that does not move is given up. */
export interface PortLimits {
  /** Connections at once; more are answered 503 and closed. */
  readonly connectionsMax: number;
  /** Above the 60 s after which common load balancers close an idle connection: the side that may send closes first. */
  readonly keepAliveMs: number;
  /** A head is one packet or two. */
  readonly headMs: number;
  /** A body of 64 MiB takes 256 s at 2 Mbit/s. */
  readonly requestMs: number;
  /** A client that takes no byte for so long has gone without saying so; the model server's place is worth more. */
  readonly stallMs: number;
  /** What a refused client still sends is read for so long, so that it gets to read why. */
  readonly lingerMs: number;
}

export const portLimits: PortLimits = {
  connectionsMax: 16_384,
  keepAliveMs: 75_000,
  headMs: 30_000,
  requestMs: 300_000,
  stallMs: 120_000,
  lingerMs: 10_000,
};

/** One connection as its port sees it. */
export interface PortConnection {
  /** On the port's clock; Infinity while nothing is due. */
  readonly deadlineMs: number;
  /** The deadline has passed. */
  expired(): void;
  /** Takes no further request; ends at once where none is under way. */
  drain(): void;
  /** Ends as it stands. */
  close(): void;
}

const sweepMs = 1_000;

/** What the connections of one port share: who they are, one coarse clock for all their deadlines, and what answers. */
export class Port {
  readonly handler: Handler;
  readonly limits: PortLimits;
  readonly onError: (error: unknown) => void;
  /** Milliseconds of the clock, at most a second old while there are connections. */
  nowMs: number;
  /** For the date header. */
  date = "";
  draining = false;
  readonly #clock: Clock;
  readonly #connections = new Set<PortConnection>();
  #sweep: Timer | undefined;
  #empty: (() => void)[] = [];

  constructor(handler: Handler, clock: Clock, limits: PortLimits, onError: (error: unknown) => void) {
    this.handler = handler;
    this.limits = limits;
    this.onError = onError;
    this.#clock = clock;
    this.nowMs = clock.now();
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** The clock stands still while there are no connections: to be called before one is made. */
  wake(): void {
    if (!this.#sweep) this.#tick();
  }

  add(connection: PortConnection): void {
    this.#connections.add(connection);
  }

  remove(connection: PortConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size > 0) return;
    for (const resolve of this.#empty.splice(0)) resolve();
  }

  /** Connections take no further request; resolves when the last has ended. */
  drain(): Promise<void> {
    this.draining = true;
    for (const connection of this.#connections) connection.drain();
    return this.#whenEmpty();
  }

  async close(): Promise<void> {
    this.draining = true;
    for (const connection of this.#connections) connection.close();
    await this.#whenEmpty();
    this.#sweep?.cancel();
    this.#sweep = undefined;
  }

  #whenEmpty(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#empty.push(resolve));
  }

  #tick(): void {
    this.nowMs = this.#clock.now();
    this.date = new Date(this.#clock.wallMs()).toUTCString();
    for (const connection of this.#connections) if (connection.deadlineMs <= this.nowMs) connection.expired();
    this.#sweep = this.#clock.after(sweepMs, () => {
      this.#sweep = undefined;
      if (this.#connections.size > 0) this.#tick();
    }, { background: true });
  }
}
