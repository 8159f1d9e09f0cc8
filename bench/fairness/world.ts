/** The router's queue and decision over simulated engines, all on one virtual clock. */
import { Prng, type RequestView, RouterError, VirtualClock } from "../../src/core/mod.ts";
import type { FlowConfig } from "../../src/config/mod.ts";
import type { FlowDispatch } from "../../src/pipeline/flow_dispatch.ts";
import type { Placed } from "../../src/pipeline/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { createFleet, type SimEndpoint, type SimHandle } from "../../src/sim/sim_endpoint.ts";
import type { EngineOptions } from "../../src/sim/engine_types.ts";
import { promptFromTrace } from "../../src/sim/prompt.ts";
import { benchFlow, benchRouter, benchView, turns } from "../lib/router.ts";
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
      onPoke: (slot) => scraper.poke(slot),
    });
    const priorities = [...new Set(arrivals.map(({ priority }) => priority))];
    const revoke = (_edge: number, id: number) => this.#dispatch.revoke(id);
    const { desk, dispatch } = benchFlow(router, flow, { priorities, revoke });
    this.#dispatch = dispatch;
    const onSample = (slot: number, before: number) => desk.sampled(slot, before);
    const scraper = new VirtualScraper(clock, this.#fleet, router.table, onSample);
    let next = 0;
    const sorted = arrivals.toSorted((a, b) => a.atMs - b.atMs);
    while (this.#ended.length < sorted.length) {
      const atMs = sorted[next]?.atMs ?? Infinity;
      if (clock.step(atMs)) {
        await turns(6);
        continue;
      }
      if (next === sorted.length) throw new Error(`${sorted.length - this.#ended.length} requests never end`);
      clock.advance(atMs - clock.now());
      void this.#send(sorted[next], next++, 0);
      await turns(6);
    }
    await router.caches.stop();
    return this.#ended;
  }

  /** A request that is taken back waits again. */
  async #send(arrival: Arrival, id: number, revocations: number): Promise<void> {
    const running: { handle?: SimHandle } = {};
    let placed: Placed;
    const onRevoke = () => {
      running.handle?.abort();
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
    running.handle = this.#fleet[placed.slot].submit({ prompt, outputTokens: arrival.outputTokens }, {
      onFirstToken: (atMs) => {
        ttftMs = atMs - arrival.atMs;
        placed.answered(atMs - sentMs, 200, true);
      },
      onFinish: ({ finishedMs }) => {
        placed.release();
        this.#ended.push({ arrival, ttftMs, finishedMs, refused: false });
      },
    });
    if (!running.handle) throw new Error("An engine's own queue is full");
  }
}

function viewOf({ atMs, tenant, priority, inputTokens, outputTokens }: Arrival, id: number): RequestView {
  return benchView({
    id: String(id),
    receivedAtMs: atMs,
    maxOutputTokens: outputTokens,
    promptTokens: inputTokens,
    fairnessId: tenant,
    priority,
  });
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
