/** A pool, its edges and their clients, moved by chance; it knows what must be true of the controller at every moment. */
import { deepStrictEqual, equal, ok } from "node:assert/strict";
import { bandDefaults, type CeilingConfig, type FairnessConfig, type FlowConfig, orderings } from "../config/mod.ts";
import { programAwareDefaults, vtcDefaults } from "../config/mod.ts";
import { endpointMeta, EndpointState, EndpointTable, nobodyQueued, Prng, VirtualClock } from "../core/mod.ts";
import { Ceilings } from "./ceiling.ts";
import { FlowController } from "./controller.ts";
import { flowConfig } from "./flow_testing.ts";
import { type FlowAnswer, type FlowAsk, isGrant } from "./types.ts";

const priorities = [-1, 0, 1, 2];
const edges = 3;
const fairness: readonly FairnessConfig[] = [
  { policy: "global-strict" },
  { policy: "round-robin" },
  vtcDefaults,
  programAwareDefaults,
];

interface Client {
  readonly ask: FlowAsk;
  readonly edge: number;
  /** The one endpoint it waits for, until it waits for any. */
  only: number | undefined;
  readonly untilMs: number;
}

interface Running {
  readonly slot: number;
  readonly edge: number;
  readonly tokens: number;
}

export class World {
  readonly clock = new VirtualClock();
  readonly flow: FlowController;
  answered = 0;
  /** How requests ended, over all worlds of a test. */
  readonly ends: Map<string, number>;
  asked = 0;
  #ports = 0;
  readonly #prng: Prng;
  readonly #tables: EndpointTable[];
  readonly #capacities: readonly number[];
  readonly #live = new Set<number>();
  readonly #closed = new Set<number>();
  /** By lane, the endpoints it may have. */
  readonly #lanes: readonly { name: string; model: string; may: readonly number[] }[];
  readonly #waiting = new Map<number, Client>();
  #running: Running[] = [];
  #config: FlowConfig;
  #ceilings: Ceilings;

  constructor(seed: number, ends: Map<string, number>) {
    this.ends = ends;
    const prng = this.#prng = new Prng(seed);
    const count = 1 + prng.below(4);
    this.#capacities = Array.from({ length: count }, () => 1 + prng.below(4));
    const buffer = new SharedArrayBuffer(EndpointTable.bytes(count, edges));
    this.#tables = Array.from(
      { length: edges },
      (_, isolate) => new EndpointTable(count, buffer, 0, { isolates: edges, isolate }),
    );
    for (let i = 0; i < count; i++) this.#add();
    const some = () => this.#capacities.map((_, slot) => slot).filter(() => prng.below(3) > 0);
    const all = this.#capacities.map((_, slot) => slot);
    this.#lanes = [
      { name: "a", model: "a", may: all },
      { name: "a some", model: "a", may: some() },
      { name: "b", model: "b", may: some() },
    ];
    this.#config = this.#chooseConfig();
    this.#ceilings = new Ceilings(this.#config.ceiling, priorities);
    this.flow = new FlowController({
      clock: this.clock,
      table: this.#table,
      config: this.#config,
      priorities,
      open: (slot) => !this.#closed.has(slot),
    });
    for (const table of this.#tables) table.onRoom = (slot) => this.flow.room(slot);
  }

  get #table(): EndpointTable {
    return this.#tables[0];
  }

  /** Something happens. */
  step(): void {
    const prng = this.#prng, dice = prng.below(100);
    if (dice < 50) this.#arrive();
    else if (dice < 75) this.#complete();
    else if (dice < 82) this.clock.advance(prng.below(4) === 0 ? prng.below(2000) : prng.below(50));
    else if (dice < 87) this.#disconnect();
    else if (dice < 91) this.#load();
    else if (dice < 95) this.#turn();
    else if (dice < 97) this.#reload();
    else if (dice < 99) this.#close();
    else this.#die();
  }

  /** What must be true between any two steps. */
  check(): void {
    const { flow } = this;
    equal(flow.size, this.#waiting.size);
    const tokens = [...this.#waiting.values()].reduce((sum, { ask }) => sum + ask.promptTokens + ask.outputTokens, 0);
    deepStrictEqual([flow.held.tokens, flow.held.bytes], [tokens, this.#waiting.size]);
    for (let slot = 0; slot < this.#capacities.length; slot++) {
      const here = this.#running.filter((running) => running.slot === slot);
      equal(this.#table.requests[slot], here.length);
      equal(this.#table.prefillTokens[slot], here.reduce((sum, { tokens }) => sum + tokens, 0));
      const waits = [...this.#waiting.values()].filter((client) => this.#mayTake(client, slot));
      const mark = Math.max(nobodyQueued, ...waits.map(({ ask }) => ask.priority));
      equal(this.#table.queued[slot], mark, `the mark of slot ${slot}`);
      if (this.#closed.has(slot) || this.#config.ceiling.policy === "soft-reflective") continue;
      for (const { ask } of waits) {
        ok(!this.#table.hasRoom(slot, this.#ceilings.of(ask.priority)), `request ${ask.id} has room at ${slot}`);
      }
    }
  }

  /** Everything ends; nothing is left. */
  end(): void {
    for (const slot of this.#capacities.keys()) this.#table.foreign[slot] = 0;
    this.#closed.clear();
    for (let round = 0; round < 1000 && this.#running.length > 0; round++) this.#complete();
    this.clock.advance(1e6);
    if (this.#waiting.size > 0) this.flow.stop();
    while (this.#running.length > 0) this.#complete();
    while (this.clock.step());
    this.check();
    const { flow } = this;
    deepStrictEqual([this.answered, this.#waiting.size, flow.size, flow.tenants.size], [this.asked, 0, 0, 0]);
    for (const { held } of [flow, ...flow.bands.list]) {
      deepStrictEqual([held.requests, held.tokens, held.bytes], [0, 0, 0]);
    }
    for (const column of [this.#table.requests, this.#table.prefillTokens]) ok(column.every((value) => value === 0));
    for (let edge = 0; edge < edges; edge++) equal(this.#table.releaseIsolate(edge), 0);
  }

  /** One endpoint more, in the first slot that nothing runs at. */
  #add(): void {
    const slot = this.#table.add(endpointMeta({ host: "h", port: ++this.#ports }), EndpointState.Ready);
    if (slot < 0) return;
    this.#table.requestCapacity[slot] = this.#capacities[slot];
    this.#live.add(slot);
  }

  #chooseConfig(): FlowConfig {
    const prng = this.#prng;
    const one = <T>(of: readonly T[]): T => of[prng.below(of.length)];
    const holdback = (domain: "rank" | "value"): CeilingConfig => ({
      policy: "priority-holdback",
      minCeiling: prng.float() * 0.9,
      maxCeiling: 1,
      domain,
    });
    const limit = (most: number) => prng.below(3) === 0 ? 1 + prng.below(most) : undefined;
    const band = (share: number) => ({
      ...bandDefaults,
      share,
      fairness: one(fairness),
      ordering: one(orderings),
      maxRequests: limit(8) ?? 50,
      maxTokens: limit(500),
      ttlMs: limit(3000),
    });
    const strict = prng.below(2) === 0;
    return flowConfig({
      limits: { maxRequests: limit(20), maxTokens: limit(2000), maxBytes: limit(30) },
      tenantLimits: { maxRequests: limit(10), maxTokens: limit(1000) },
      tenants: { t0: { weight: 1 + prng.below(4) } },
      ttlMs: one([0, 500, 5000]),
      noEndpointTtlMs: one([0, 300, 3000]),
      defaultBand: band(strict ? 0 : prng.float() / 3),
      defaultNegativeBand: band(strict ? 0 : prng.float() / 3),
      ceiling: one([
        { policy: "static", threshold: 1 },
        { policy: "static", threshold: 0.6 },
        holdback("rank"),
        holdback("value"),
        {
          policy: "soft-reflective",
        },
      ]),
      aging: strict || prng.below(2) === 0 ? undefined : { afterMs: prng.below(500), share: prng.float() / 2 },
      earlyRejection: one(["off", "off", "ttl", "slo"]),
    });
  }

  #slots(lane: { may: readonly number[] }): number[] {
    return lane.may.filter((slot) => this.#live.has(slot));
  }

  /** Whether a request that waits is one of those that a slot may go to. */
  #mayTake({ ask, only, untilMs }: Client, slot: number): boolean {
    if (only !== undefined && this.clock.now() < untilMs) return only === slot;
    return this.#slots(this.#lanes.find(({ name }) => name === ask.lane)!).includes(slot);
  }

  #arrive(): void {
    const prng = this.#prng, edge = prng.below(edges), lane = this.#lanes[prng.below(this.#lanes.length)];
    const slots = this.#slots(lane), nowMs = this.clock.now();
    const maybe = (most: number) => prng.below(4) === 0 ? 1 + prng.below(most) : undefined;
    const hold = slots.length > 0 && prng.below(4) === 0
      ? { slot: prng.below(this.#capacities.length), ms: 1 + prng.below(300) }
      : undefined;
    const promptTokens = prng.below(200);
    const ask: FlowAsk = {
      id: ++this.asked,
      lane: lane.name,
      model: lane.model,
      slots,
      tenant: `t${prng.below(5)}`,
      priority: priorities[prng.below(priorities.length)],
      receivedAtMs: nowMs - prng.below(10),
      promptTokens,
      prefillTokens: promptTokens,
      outputTokens: prng.below(50),
      bodyBytes: 1,
      ttlMs: maybe(2000),
      ttftMs: maybe(2000),
      serviceMs: maybe(100),
      promise: prng.below(3) === 0 ? `p${prng.below(20)}` : undefined,
      hold,
    };
    const only = hold && slots.includes(hold.slot) ? hold.slot : undefined;
    this.#waiting.set(ask.id, { ask, edge, only, untilMs: nowMs + (hold?.ms ?? 0) });
    this.flow.enqueue(edge, ask, (answer) => this.#answered(ask.id, answer));
  }

  #answered(id: number, answer: FlowAnswer): void {
    const client = this.#waiting.get(id);
    ok(client, `request ${id} is answered once`);
    this.#waiting.delete(id);
    this.answered++;
    const end = isGrant(answer) ? "Dispatched" : answer.end;
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1);
    if (!isGrant(answer)) return;
    const { slot, prefillTokens } = answer, { edge, ask: { priority } } = client, table = this.#table;
    const capacity = this.#capacities[slot], nowMs = this.clock.now();
    ok(this.#mayTake(client, slot) && !this.#closed.has(slot), `request ${id} may go to ${slot}`);
    const reflective = this.#config.ceiling.policy === "soft-reflective";
    const ceiling = reflective ? 1 : this.#ceilings.of(priority);
    ok(table.requests[slot] - 1 + table.foreign[slot] < capacity * ceiling, `${slot} had room for ${id}`);
    const { defaultBand, defaultNegativeBand, aging } = this.#config;
    if (!reflective && !aging && defaultBand.share + defaultNegativeBand.share === 0) {
      for (const other of this.#waiting.values()) {
        // At the very end of its time for one endpoint it waits for either.
        if (other.ask.priority <= priority || other.untilMs === nowMs) continue;
        ok(!this.#mayTake(other, slot), `${other.ask.id} goes before ${id} at ${slot}`);
      }
    }
    this.#running.push({ slot, edge, tokens: prefillTokens });
  }

  #complete(): void {
    if (this.#running.length === 0) return;
    const [{ slot, edge, tokens }] = this.#running.splice(this.#prng.below(this.#running.length), 1);
    this.#tables[edge].inflight(slot, -1, -tokens, 0);
  }

  #disconnect(): void {
    const ids = [...this.#waiting.keys()];
    if (ids.length === 0) return;
    const id = ids[this.#prng.below(ids.length)];
    this.flow.cancel(this.#waiting.get(id)!.edge, id);
    ok(!this.#waiting.has(id));
  }

  /** A load sample: others' requests come and go. */
  #load(): void {
    const slot = this.#prng.below(this.#capacities.length);
    this.#table.foreign[slot] = this.#prng.below(3);
    this.flow.room(slot);
  }

  /** An endpoint is lost, or another comes. */
  #turn(): void {
    const slot = this.#prng.below(this.#capacities.length);
    const lost = this.#live.delete(slot);
    if (lost) this.#table.remove(slot);
    else this.#add();
    if (lost) { for (const client of this.#waiting.values()) if (client.only === slot) client.only = undefined; }
    this.flow.resize(this.#lanes.map((lane) => ({ lane: lane.name, model: lane.model, slots: this.#slots(lane) })));
  }

  #reload(): void {
    this.#config = this.#chooseConfig();
    this.#ceilings = new Ceilings(this.#config.ceiling, priorities);
    this.flow.use(this.#config, priorities);
  }

  #close(): void {
    const slot = this.#prng.below(this.#capacities.length);
    if (!this.#closed.delete(slot)) this.#closed.add(slot);
    else this.flow.room(slot);
  }

  /** An edge is lost with all it had, and another takes its number. */
  #die(): void {
    const edge = this.#prng.below(edges);
    this.flow.abandon(edge);
    ok([...this.#waiting.values()].every((client) => client.edge !== edge));
    this.#running = this.#running.filter((running) => running.edge !== edge);
    this.#table.releaseIsolate(edge);
  }
}
