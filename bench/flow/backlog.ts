/** A flow controller with a backlog: endpoints that are full, and requests of many tenants that wait for them. */
import { bandDefaults, type FairnessConfig, flowDefaults } from "../../src/config/mod.ts";
import { endpointMeta, EndpointState, EndpointTable, Prng, systemClock } from "../../src/core/mod.ts";
import { type FlowAnswer, type FlowAsk, FlowController, isGrant } from "../../src/flow/mod.ts";

/** Requests an endpoint has at once. */
const capacity = 32;

export interface BacklogShape {
  readonly endpoints: number;
  readonly flows: number;
  readonly queued: number;
  readonly fairness: FairnessConfig;
}

export class Backlog {
  readonly flow: FlowController;
  /** Answers that were places. */
  dispatched = 0;
  readonly #table: EndpointTable;
  readonly #slots: readonly number[];
  readonly #prng = new Prng(1);
  /** Accounts of the requests that run, in the order in which they end. */
  readonly #running: number[] = [];
  /** Numbers of answered requests. */
  readonly #free: number[] = [];
  readonly #tenants: readonly string[];
  #asked = 0;
  #released = 0;
  #nowMs = 0;

  constructor(shape: BacklogShape) {
    this.#tenants = Array.from({ length: shape.flows }, (_, i) => `tenant-${i}`);
    const table = this.#table = new EndpointTable(shape.endpoints);
    this.#slots = Array.from({ length: shape.endpoints }, (_, i) => {
      const slot = table.add(endpointMeta({ host: "10.0.0.1", port: 8000 + i }), EndpointState.Ready);
      table.requestCapacity[slot] = capacity;
      return slot;
    });
    const config = {
      ...flowDefaults,
      // As many as are asked to wait may.
      defaultBand: { ...bandDefaults, maxRequests: Infinity, maxBytes: Infinity, fairness: shape.fairness },
      ttlMs: 86_400_000,
      earlyRejection: "ttl" as const,
    };
    this.flow = new FlowController({ clock: systemClock, table, config, priorities: [], open: () => true });
    table.onRoom = (slot) => this.flow.room(slot);
    for (let i = 0; i < shape.endpoints * capacity; i++) this.arrive();
    this.dispatched = 0;
    while (this.flow.size < shape.queued) this.arrive();
  }

  /** One request more, of the tenant whose turn it is; prompts of 100 to 4,000 tokens. */
  arrive(): void {
    const id = this.#free.pop() ?? this.#asked, number = this.#asked++;
    // The edge's work, not the queue's.
    if (number % 100 === 0) this.#nowMs = systemClock.now();
    const ask: FlowAsk = {
      id,
      lane: "model-8b",
      model: "model-8b",
      slots: this.#slots,
      tenant: this.#tenants[number % this.#tenants.length],
      priority: 0,
      receivedAtMs: this.#nowMs,
      promptTokens: 100 + this.#prng.below(3900),
      prefillTokens: 0,
      outputTokens: 256,
      bodyBytes: 8192,
    };
    this.flow.enqueue(0, ask, (answer) => this.#answered(id, answer));
  }

  #answered(id: number, answer: FlowAnswer): void {
    if (!isGrant(answer)) return;
    this.dispatched++;
    this.#free.push(id);
    this.#running.push(answer.account);
  }

  /** A request of the endpoint whose turn it is ends, and tells what it used: another takes its place. */
  release(): void {
    this.flow.settle(this.#running[this.#released], 50, -20);
    if (this.#released === 65_536) {
      this.#running.splice(0, this.#released);
      this.#released = 0;
    }
    this.#table.inflight(this.#slots[this.#released++ % this.#slots.length], -1, 0, 0);
  }
}
