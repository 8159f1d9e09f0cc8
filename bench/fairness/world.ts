/** The router's queue and decision over simulated engines, all on one virtual clock. */
import { Prng, type PromptBlocks, type RequestView, RouterError, VirtualClock } from "../../src/core/mod.ts";
import type { FlowConfig } from "../../src/config/mod.ts";
import { FlowDesk } from "../../src/commands/flow_desk.ts";
import { Ceilings, flowPriorities } from "../../src/flow/mod.ts";
import { FlowDispatch } from "../../src/pipeline/flow_dispatch.ts";
import type { Placed } from "../../src/pipeline/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { createFleet, type SimEndpoint, type SimHandle } from "../../src/sim/sim_endpoint.ts";
import type { EngineOptions } from "../../src/sim/engine_types.ts";
import { promptFromTrace } from "../../src/sim/prompt.ts";
import { benchParts, benchRouter } from "../lib/router.ts";
import { VirtualScraper } from "../lib/scraper.ts";

/** A request that will come. */
export interface Arrival {
  readonly atMs: number;
  readonly tenant: string;
  readonly priority: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
}

/** What became of it; NaN for what never was. */
export interface Ended {
  readonly arrival: Arrival;
  readonly ttftMs: number;
  readonly finishedMs: number;
  readonly refused: boolean;
}

export interface WorldOptions {
  readonly endpoints: number;
  readonly engine: EngineOptions;
  readonly flow: FlowConfig;
  readonly seed: number;
}

const noBlocks: PromptBlocks = { hashes: new BigUint64Array(0), blockTokens: 64 };
const noHeaders = { get: () => undefined };

/** Lets the promises of one moment come to their end. */
async function turns(): Promise<void> {
  for (let i = 0; i < 6; i++) await Promise.resolve();
}

export class FlowWorld {
  readonly #clock = new VirtualClock();
  readonly #options: WorldOptions;
  readonly #ended: Ended[] = [];
  #fleet: readonly SimEndpoint[] = [];
  #dispatch!: FlowDispatch;

  constructor(options: WorldOptions) {
    this.#options = options;
  }

  /** Runs all of it to its end; the results are in the order in which requests ended. */
  async run(arrivals: readonly Arrival[]): Promise<Ended[]> {
    const { endpoints, engine, flow, seed } = this.#options;
    const clock = this.#clock;
    this.#fleet = createFleet(clock, endpoints, engine);
    const plan = planFromPolicy("default");
    const router = await benchRouter({
      clock,
      endpoints,
      plan,
      seed,
      blockTreeBytes: 16 << 20,
      bodyBytesMax: 1 << 16,
      cacheBlocks: engine.cacheBlocks,
      cacheBlockTokens: engine.blockSize,
    });
    const { table, hotpath } = router;
    const priorities = [...new Set(arrivals.map(({ priority }) => priority))];
    const revoke = (_edge: number, id: number) => this.#dispatch.revoke(id);
    const desk = new FlowDesk({ clock, table, setup: { flow, priorities }, observer: {}, revoke });
    for (const slot of table.slots()) desk.slotAdded(slot);
    const scraper = new VirtualScraper(clock, this.#fleet, table, (slot, before) => desk.sampled(slot, before));
    const parts = benchParts({
      clock,
      hotpath,
      index: router.claims,
      plan,
      seed,
      endpoints,
      onPoke: (s) => scraper.poke(s),
    });
    const ceilings = new Ceilings(flow.ceiling, flowPriorities(flow, priorities));
    const { prefixWaitMs, holdModels, fairnessHeaders, eviction } = flow;
    this.#dispatch = new FlowDispatch({
      ...parts,
      flow: desk.door(0),
      options: { ...parts.options, flow: { ceilings, prefixWaitMs, holdModels, fairnessHeaders, eviction } },
    });
    let next = 0;
    const sorted = arrivals.toSorted((a, b) => a.atMs - b.atMs);
    while (this.#ended.length < sorted.length) {
      const atMs = sorted[next]?.atMs ?? Infinity;
      if (clock.step(atMs)) {
        await turns();
        continue;
      }
      if (next === sorted.length) throw new Error(`${sorted.length - this.#ended.length} requests never end`);
      clock.advance(atMs - clock.now());
      void this.#send(sorted[next], next++, 0);
      await turns();
    }
    await router.caches.stop();
    return this.#ended;
  }

  /** A request that is taken back waits again. */
  async #send(arrival: Arrival, id: number, revocations: number): Promise<void> {
    let handle: SimHandle | undefined = undefined, placed: Placed;
    const onRevoke = () => {
      handle?.abort();
      placed.release();
      void this.#send(arrival, id, revocations + 1);
    };
    try {
      const placing = this.#dispatch.place(viewOf(arrival, id), [], revocations < 3 ? { onRevoke } : {});
      placed = placing instanceof Promise ? await placing : placing;
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      this.#ended.push({ arrival, ttftMs: NaN, finishedMs: NaN, refused: true });
      return;
    }
    let ttftMs = NaN;
    const sentMs = this.#clock.now();
    const prompt = promptFromTrace([id + 1], arrival.inputTokens, { blockSize: this.#options.engine.blockSize });
    handle = this.#fleet[placed.slot].submit({ prompt, outputTokens: arrival.outputTokens }, {
      onFirstToken: (atMs) => {
        ttftMs = atMs - arrival.atMs;
        placed.answered(atMs - sentMs, 200, true);
      },
      onFinish: ({ finishedMs }) => {
        placed.release();
        this.#ended.push({ arrival, ttftMs, finishedMs, refused: false });
      },
    });
    if (!handle) throw new Error("An engine's own queue is full");
  }
}

function viewOf({ atMs, tenant, priority, inputTokens, outputTokens }: Arrival, id: number): RequestView {
  return {
    id: String(id),
    api: "chat",
    receivedAtMs: atMs,
    model: "bench",
    requestedModel: "bench",
    stream: true,
    maxOutputTokens: outputTokens,
    promptTokens: inputTokens,
    bodyBytes: inputTokens * 4,
    blocks: noBlocks,
    fairnessId: tenant,
    objective: "",
    priority,
    slo: {},
    mediaParts: 0,
    headers: noHeaders,
  };
}

/** Independent arrivals at a mean rate, lengths even between the bounds. */
export function poisson(
  rng: Prng,
  { perS, fromMs = 0, toMs, input, output, tenant, priority = 0 }: {
    readonly perS: number;
    readonly fromMs?: number;
    readonly toMs: number;
    readonly input: readonly [number, number];
    readonly output: readonly [number, number];
    readonly tenant: string;
    readonly priority?: number;
  },
): Arrival[] {
  const arrivals: Arrival[] = [];
  const between = ([from, to]: readonly [number, number]) => Math.round(from + rng.float() * (to - from));
  for (let atMs = fromMs;;) {
    atMs += -Math.log(1 - rng.float()) * 1000 / perS;
    if (atMs > toMs) return arrivals;
    arrivals.push({ atMs, tenant, priority, inputTokens: between(input), outputTokens: between(output) });
  }
}
