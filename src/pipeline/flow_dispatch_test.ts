import { deepStrictEqual, equal, rejects } from "node:assert/strict";
import {
  type AttemptReport,
  beginRound,
  BreakerState,
  endpointMeta,
  EndpointState,
  EndpointTable,
  mayPass,
  type Placement,
  type Refusal,
  type RequestView,
  RouterError,
  VirtualClock,
} from "../core/mod.ts";
import { flowDefaults } from "../config/mod.ts";
import { type FlowAnswer, FlowController } from "../flow/mod.ts";
import { FlowDispatch } from "./flow_dispatch.ts";
import type { Decider, PipelineParts } from "./parts.ts";
import type { Placed } from "./placed.ts";

/** A dispatch and its queue over a table of their own; the scheduler takes the first slot unless the test says otherwise. */
class Bed {
  readonly clock = new VirtualClock();
  readonly table: EndpointTable;
  readonly flow: FlowController;
  readonly dispatch: FlowDispatch;
  decide: (slots: Uint16Array, count: number, admitted: boolean, held: number) => Placement | Refusal = (slots) =>
    placement(slots[0]);
  /** Slots that filters leave of a request, whatever their load. */
  keep: (view: RequestView, slot: number) => boolean = () => true;
  readonly settled: [input: number, output: number][] = [];
  readonly reported: number[] = [];

  constructor(capacities: readonly number[]) {
    const { clock } = this;
    const table = this.table = new EndpointTable(capacities.length);
    for (const [port, capacity] of capacities.entries()) {
      table.requestCapacity[table.add(endpointMeta({ host: "h", port: port + 1 }), EndpointState.Ready)] = capacity;
    }
    const flow = this.flow = new FlowController({
      clock,
      table,
      config: { ...flowDefaults, earlyRejection: "off" },
      priorities: [],
      open: (slot) => table.state[slot] === EndpointState.Ready && mayPass(table, slot),
    });
    table.onRoom = (slot) => flow.room(slot);
    const candidates = () => {
      const slots = Uint16Array.from(table.slots()).filter((slot) => table.state[slot] === EndpointState.Ready);
      return { slots, count: slots.length };
    };
    const parts = {
      clock,
      table,
      index: { match: () => ({ blocks: new Int32Array(capacities.length), total: 0, blockTokens: 64 }) },
      pool: { candidates, poke() {}, report: ({ workTokens }: AttemptReport) => void this.reported.push(workTokens) },
      flow: {
        enqueue: (ask: Parameters<FlowController["enqueue"]>[1]) =>
          new Promise<FlowAnswer>((resolve) => flow.enqueue(0, ask, resolve)),
        cancel: (id: number) => flow.cancel(0, id),
        resize: (lanes: Parameters<FlowController["resize"]>[0]) => flow.resize(lanes),
        settle: (_account: number, input: number, output: number) => void this.settled.push([input, output]),
      },
      metrics: { decision() {}, prefixMatched() {} },
      scheduler: {
        decide: (...[, , slots, count, , options]: Parameters<Decider["decide"]>) =>
          this.decide(slots, count, options?.admitted ?? false, options?.held ?? -1),
        moved() {},
        eligible: (view: RequestView, _match: unknown, slots: Uint16Array, count: number) => {
          const kept = slots.subarray(0, count).filter((slot) => this.keep(view, slot));
          slots.set(kept);
          return kept.length;
        },
      },
      options: { outputTokensAssumed: 512, flow: { ceilings: flow.ceilings, prefixWaitMs: 0, eviction: false } },
    };
    this.dispatch = new FlowDispatch(parts as unknown as PipelineParts);
  }

  async place(view: RequestView = request(), tried: number[] = [], signal?: AbortSignal): Promise<Placed> {
    return await this.dispatch.place(view, tried, { signal });
  }

  get requests(): number[] {
    return [...this.table.requests];
  }

  get prefillTokens(): number[] {
    return [...this.table.prefillTokens];
  }
}

function placement(slot: number): Placement {
  return { slot, fallbacks: [], profile: "p", matchedBlocks: 0, totalBlocks: 0 };
}

function request(changes: Partial<RequestView> = {}): RequestView {
  return {
    id: "r",
    api: "completions",
    receivedAtMs: 0,
    model: "m",
    requestedModel: "m",
    stream: true,
    promptTokens: 100,
    bodyBytes: 400,
    blocks: { hashes: new BigUint64Array(0), blockTokens: 64 },
    fairnessId: "t",
    objective: "",
    priority: 0,
    slo: {},
    mediaParts: 0,
    headers: new Headers(),
    ...changes,
  };
}

const filtered: Refusal = { refused: "filtered", message: "none passes" };

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

Deno.test("FlowDispatch refuses a request whose filters want no endpoint that has room, instead of asking for ever", async () => {
  const bed = new Bed([4]);
  let decisions = 0;
  bed.decide = () => {
    // Ends what would never end else.
    if (++decisions > 50) throw new Error("asked again and again");
    return filtered;
  };
  await rejects(bed.place(), (error) => error instanceof RouterError && error.outcome === "rejected-saturated");
  deepStrictEqual([bed.requests, bed.prefillTokens, bed.flow.size], [[0], [0], 0]);
});

Deno.test("FlowDispatch: a filter by requests in flight does not count the request's own place", async () => {
  const bed = new Bed([1]);
  bed.decide = () => bed.table.requests[0] < 1 ? placement(0) : filtered;
  const first = await bed.place();
  const waiting = bed.place();
  first.release();
  const second = await waiting;
  deepStrictEqual(bed.requests, [1]);
  second.release();
  deepStrictEqual([bed.requests, bed.prefillTokens], [[0], [0]]);
});

Deno.test("FlowDispatch: the scheduler is told which endpoint counts the request already", async () => {
  const bed = new Bed([1]);
  const told: [held: number, requests: number[]][] = [];
  bed.decide = (_slots, _count, _admitted, held) => {
    told.push([held, bed.requests]);
    // As a filter that wants nobody else there; the second time it finds it so.
    return bed.requests[0] < 1 ? placement(0) : filtered;
  };
  const first = await bed.place();
  const waiting = bed.place();
  first.release();
  await waiting;
  deepStrictEqual(told, [[-1, [0]], [0, [1]], [-1, [0]]]);
});

Deno.test("FlowDispatch: a request that would miss its targets is refused with the time to come again, place in hand or not", async () => {
  const unmet: Refusal = { refused: "slo-unmet", message: "none would meet them", retryAfterS: 7 };
  const bed = new Bed([1]);
  const isUnmet = (error: unknown) =>
    error instanceof RouterError && error.outcome === "rejected-slo" && error.retryAfterS === 7 &&
    error.message === "none would meet them";
  const first = await bed.place();
  const waiting = bed.place();
  bed.decide = (slots, _count, admitted) => admitted ? placement(slots[0]) : unmet;
  first.release();
  await rejects(waiting, isUnmet);
  await rejects(bed.place(), isUnmet);
  deepStrictEqual([bed.requests, bed.prefillTokens, bed.flow.size], [[0], [0], 0]);
  deepStrictEqual(bed.settled, [[-100, -512]]);
});

Deno.test("FlowDispatch: a request that was taken once is taken by another endpoint whatever is predicted", async () => {
  const bed = new Bed([1, 1]);
  bed.decide = (slots, _count, admitted) =>
    admitted ? placement(slots[0]) : { refused: "slo-unmet", message: "none would meet them" };
  equal((await bed.place(request(), [0])).slot, 1);
});

Deno.test("FlowDispatch gives a place back where the scheduler throws", async () => {
  const bed = new Bed([1]);
  const first = await bed.place();
  const waiting = bed.place();
  bed.decide = () => {
    throw new Error("a plugin's");
  };
  first.release();
  await rejects(waiting, /a plugin's/);
  deepStrictEqual([bed.requests, bed.prefillTokens], [[0], [0]]);
});

Deno.test("FlowDispatch: requests that filters tell apart never share a lane, whatever their endpoints are now", async () => {
  const bed = new Bed([1, 1]);
  bed.keep = ({ subset }, slot) => subset === undefined || subset.includes(`h:${slot + 1}`);
  for (const slot of [0, 1]) bed.table.setState(slot, EndpointState.Unhealthy);
  const elsewhere = bed.place(request({ subset: ["h:9"] }));
  const any = bed.place();
  elsewhere.catch(() => {});
  bed.table.setState(1, EndpointState.Ready);
  bed.dispatch.reconsider();
  equal((await any).slot, 1);
  const next = bed.place();
  await settle();
  // Comes while the other waits, and has no endpoint.
  bed.place(request({ subset: ["h:9"] })).catch(() => {});
  (await any).release();
  equal((await next).slot, 1);
  bed.flow.stop();
});

Deno.test("FlowDispatch: what a request was charged for a place it did not take is given back to its tenant", async () => {
  const bed = new Bed([1]);
  const first = await bed.place();
  const leaving = new AbortController();
  const waiting = bed.place(request(), [], leaving.signal);
  first.release();
  leaving.abort();
  await rejects(waiting);
  deepStrictEqual(bed.settled, [[-100, -512]]);
  deepStrictEqual(bed.requests, [0]);
});

Deno.test("FlowDispatch: the prompt of a request that was given a place does not stand ahead of itself", async () => {
  const bed = new Bed([1]);
  const first = await bed.place();
  const waiting = bed.place();
  first.release();
  const placed = await waiting;
  placed.answered(5, 200, true);
  deepStrictEqual(bed.reported, [100]);
  placed.release();
  deepStrictEqual([bed.requests, bed.prefillTokens], [[0], [0]]);
});

Deno.test("FlowDispatch: who waits for the permit of a half-open circuit has it once another gives it back", async () => {
  const bed = new Bed([4]);
  beginRound(bed.table, 0, 1);
  Atomics.store(bed.table.breaker, 0, BreakerState.HalfOpen);
  const first = await bed.place();
  const waiting = bed.place();
  await settle();
  equal(bed.flow.size, 1);
  first.release();
  (await waiting).release();
  deepStrictEqual([bed.requests, bed.prefillTokens], [[0], [0]]);
});
