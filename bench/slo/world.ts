/** A fleet of unequal engines, and the router's own decision over it, all on one virtual clock. */
import { type RequestView, RouterError, VirtualClock } from "../../src/core/mod.ts";
import { prefixDefaults } from "../../src/config/defaults.ts";
import { flowDefaults } from "../../src/config/mod.ts";
import type { Placed } from "../../src/pipeline/mod.ts";
import type { LatencySource, LatencyView } from "../../src/scheduling/mod.ts";
import { SimEndpoint } from "../../src/sim/sim_endpoint.ts";
import type { CostModel } from "../../src/sim/cost.ts";
import { defaultEngine, type EngineOptions, type RequestTimes } from "../../src/sim/engine_types.ts";
import { type Prompt, promptFromTrace } from "../../src/sim/prompt.ts";
import { benchFlow, benchRouter, benchView, turns } from "../lib/router.ts";
import { VirtualScraper } from "../lib/scraper.ts";
import type { FleetPolicy, PolicyParts } from "./policy.ts";
import { type Ask, askBlockTokens } from "./workload.ts";

/** What was predicted for the slot that was chosen. */
export interface Forecast {
  readonly ttftMs: number;
  readonly tpotMs: number;
  readonly ttftHighMs: number;
  readonly tpotHighMs: number;
}

/** What became of a request; NaN for what never was. */
export interface Outcome {
  readonly ask: Ask;
  readonly refused: boolean;
  readonly slot: number;
  /** From arrival. */
  readonly ttftMs: number;
  readonly e2eMs: number;
  /** Of the tokens after the first. */
  readonly tpotMs: number;
  /** From being sent to the first token. */
  readonly engineTtftMs: number;
  readonly cachedTokens: number;
  readonly forecast?: Forecast;
}

/** A change of an engine's speed. */
export interface Slowdown {
  readonly atMs: number;
  readonly slot: number;
  readonly factor: number;
}

export interface FleetOptions {
  /** One an engine: what its steps take, over those of the first kind. */
  readonly speeds: readonly number[];
  readonly engine: EngineOptions;
  readonly seed: number;
  /** The router is told of each request's targets. */
  readonly tellSlo?: boolean;
  readonly slowdowns?: readonly Slowdown[];
}

/** About half an H100 for an 8B model: see `CostModel` for the whole; every term is on. */
export const fleetEngine: EngineOptions = {
  ...defaultEngine,
  maxRunning: 32,
  // 192k tokens: what 8B in 16 bit leaves of a card of 48 GB.
  cacheBlocks: 12_000,
  cost: {
    stepBaseMs: 8,
    stepPerRequestMs: 0.25,
    prefillTokensPerS: 12_000,
    prefillAttentionNs: 2.6,
    decodeAttentionNs: 80,
  },
};

/** What the steps of each engine take, over those of the fastest. */
export const fleets = {
  even: [1, 1, 1, 1, 1, 1, 1, 1],
  "one-slow": [1, 1, 1, 1, 1, 1, 1, 2],
  mixed: [1, 1, 1, 1, 1.6, 1.6, 2.5, 2.5],
} as const satisfies Record<string, readonly number[]>;

/** Blocks of the prefix index. */
const blockTreeBytes = 64 << 20;

/** Runs all of `asks` to their end. */
export async function runFleet(asks: readonly Ask[], policy: FleetPolicy, options: FleetOptions): Promise<Outcome[]> {
  const run = new Run(asks, policy, options);
  return await run.run();
}

function scaledCost(cost: CostModel, factor: number): CostModel {
  return {
    stepBaseMs: cost.stepBaseMs * factor,
    stepPerRequestMs: cost.stepPerRequestMs * factor,
    prefillTokensPerS: cost.prefillTokensPerS / factor,
    prefillAttentionNs: cost.prefillAttentionNs * factor,
    decodeAttentionNs: cost.decodeAttentionNs * factor,
  };
}

class Run {
  readonly #clock = new VirtualClock();
  readonly #fleet: readonly SimEndpoint[];
  readonly #parts: PolicyParts;
  readonly #outcomes: Outcome[] = [];
  readonly #prompts = new Map<Ask, Prompt>();
  readonly #asks = new Map<Prompt, Ask>();
  readonly #forecasts = new Map<string, Forecast>();
  #place!: (view: RequestView) => Placed | Promise<Placed>;

  constructor(readonly asks: readonly Ask[], readonly policy: FleetPolicy, readonly options: FleetOptions) {
    const { speeds, engine } = options;
    const clock = this.#clock;
    this.#fleet = speeds.map((factor, i) =>
      new SimEndpoint(clock, `sim-${i}`, { ...engine, cost: scaledCost(engine.cost, factor) })
    );
    this.#parts = policy.make({
      clock,
      fleet: this.#fleet,
      ask: (id) => asks[Number(id)],
      prompt: (ask) => this.#prompt(ask),
      askOf: (prompt) => this.#asks.get(prompt)!,
    });
  }

  async run(): Promise<Outcome[]> {
    const { asks, policy: { flow }, options } = this;
    const clock = this.#clock;
    const { latency } = this.#parts;
    const router = await benchRouter({
      clock,
      endpoints: this.#fleet.length,
      plan: this.#parts.plan,
      seed: options.seed,
      blockTreeBytes,
      bodyBytesMax: 1 << 16,
      cacheBlocks: options.engine.cacheBlocks,
      cacheBlockTokens: options.engine.blockSize,
      onPoke: (slot) => scraper.poke(slot),
      latency: latency && ((hotpath) => {
        const { source, predictor } = latency(hotpath);
        return { source: this.#remembering(source), predictor };
      }),
    });
    // Learns what engines can run at once, as in every router, whether requests wait for it or not.
    const queue = benchFlow(router, flow ?? flowDefaults);
    const scraper = new VirtualScraper(
      clock,
      this.#fleet,
      router.table,
      (slot, before) => queue.desk.sampled(slot, before),
    );
    const dispatch = flow ? queue.dispatch : router.dispatch;
    this.#place = (view) => dispatch.place(view, []);
    for (const { atMs, slot, factor } of options.slowdowns ?? []) {
      clock.after(atMs, () => this.#fleet[slot].slowDown(factor));
    }
    for (let next = 0; this.#outcomes.length < asks.length;) {
      if (clock.step(asks[next]?.atMs ?? Infinity)) {
        if (flow) await turns(6);
        continue;
      }
      if (next === asks.length) throw new Error(`${asks.length - this.#outcomes.length} requests never end`);
      clock.advance(asks[next].atMs - clock.now());
      await this.#parts.turn?.();
      const sent = this.#send(asks[next++]);
      if (flow) await turns(6);
      else await sent;
    }
    await router.caches.stop();
    return this.#outcomes.sort((a, b) => a.ask.id - b.ask.id);
  }

  async #send(ask: Ask): Promise<void> {
    const view = viewOf(ask, this.options.tellSlo === true);
    let placed: Placed;
    try {
      this.#parts.admit?.(view);
      const placing = this.#place(view);
      placed = placing instanceof Promise ? await placing : placing;
    } catch (error) {
      if (!(error instanceof RouterError)) throw error;
      const nothing = { ttftMs: NaN, e2eMs: NaN, tpotMs: NaN, engineTtftMs: NaN, cachedTokens: 0 };
      this.#outcomes.push({ ask, refused: true, slot: -1, ...nothing });
      return;
    }
    const { slot } = placed;
    const sentMs = this.#clock.now();
    const forecast = this.#forecasts.get(view.id);
    this.#forecasts.delete(view.id);
    const prompt = this.#prompt(ask);
    const handle = this.#fleet[slot].submit({ prompt, outputTokens: ask.outputTokens }, {
      onFirstToken: (atMs) => {
        if (!ask.stream) return;
        placed.answered(atMs - sentMs, 200, true);
      },
      onFinish: (times) => {
        if (!ask.stream) placed.answered(times.finishedMs - sentMs, 200, false);
        const { prediction } = placed;
        if (ask.stream) prediction?.completed(times.finishedMs - times.firstTokenMs, ask.outputTokens);
        else prediction?.completedWhole(times.finishedMs - sentMs, ask.outputTokens);
        placed.release();
        this.#prompts.delete(ask);
        this.#asks.delete(prompt);
        this.#outcomes.push(outcomeOf(ask, slot, sentMs, times, forecast));
      },
    });
    if (!handle) throw new Error("An engine's own queue is full");
  }

  #prompt(ask: Ask): Prompt {
    let prompt = this.#prompts.get(ask);
    if (prompt) return prompt;
    prompt = promptFromTrace(
      ask.blockIds,
      ask.promptTokens,
      { blockSize: this.options.engine.blockSize },
      askBlockTokens,
    );
    this.#prompts.set(ask, prompt);
    this.#asks.set(prompt, ask);
    return prompt;
  }

  /** Keeps what `source` predicts of the slots that are chosen. */
  #remembering(source: LatencySource): LatencySource {
    let last: LatencyView | undefined;
    return {
      predict: (ctx, slots, n) => last = source.predict(ctx, slots, n),
      chosen: (ctx, slot) => {
        if (last && last.known[slot] === 1) {
          const { ttftMs, tpotMs, ttftHighMs, tpotHighMs } = last;
          this.#forecasts.set(ctx.view.id, {
            ttftMs: ttftMs[slot],
            tpotMs: tpotMs[slot],
            ttftHighMs: ttftHighMs[slot],
            tpotHighMs: tpotHighMs[slot],
          });
        }
        source.chosen?.(ctx, slot);
      },
    };
  }
}

function outcomeOf(ask: Ask, slot: number, sentMs: number, times: RequestTimes, forecast?: Forecast): Outcome {
  const { firstTokenMs, finishedMs, cachedTokens } = times;
  return {
    ask,
    refused: false,
    slot,
    ttftMs: firstTokenMs - ask.atMs,
    e2eMs: finishedMs - ask.atMs,
    tpotMs: ask.outputTokens > 1 ? (finishedMs - firstTokenMs) / (ask.outputTokens - 1) : NaN,
    engineTtftMs: firstTokenMs - sentMs,
    cachedTokens,
    forecast,
  };
}

function viewOf(ask: Ask, tellSlo: boolean): RequestView {
  const { blockTokens } = prefixDefaults;
  const full = Math.floor(ask.promptTokens / askBlockTokens);
  // Ids name prefixes, so any function of them that keeps them apart does for a hash.
  const hashes = BigUint64Array.from({ length: full }, (_, i) => BigInt(ask.blockIds[i]) * 0x9e37_79b9_7f4a_7c15n);
  return benchView({
    id: String(ask.id),
    receivedAtMs: ask.atMs,
    stream: ask.stream,
    promptTokens: ask.promptTokens,
    maxOutputTokens: ask.maxOutputTokens,
    slo: tellSlo ? ask.slo : {},
    blocks: { hashes, blockTokens },
  });
}
