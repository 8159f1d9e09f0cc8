/** Knows what no router knows: every engine's state, costs and the lengths of all answers. Says how much is to be had. */
import { Prng } from "../../src/core/mod.ts";
import type { DecisionContext, LatencySource, LatencyView } from "../../src/scheduling/mod.ts";
import type { EngineState } from "../../src/sim/engine_types.ts";
import type { Prompt } from "../../src/sim/prompt.ts";
import type { SimEndpoint } from "../../src/sim/sim_endpoint.ts";
import { foresee, type Job, jobsOf } from "./foresight.ts";
import type { FleetView } from "./policy.ts";
import type { Ask } from "./workload.ts";

/** What an oracle tells beyond a predictor. */
export interface OracleView extends LatencyView {
  /** Computing what the slot lacks of the prompt, alone there. */
  readonly ownMs: Float64Array;
  /** Requests there, in whatever state. */
  readonly requests: Float64Array;
  /**
   * `harmMisses` as a router could know it: each of those that decode goes on at the TPOT predicted for the new request and
   * stands still while its prompt is computed, for as many tokens as it lacks of those expected.
   */
  readonly likelyMisses: Float64Array;
}

export interface OracleOptions {
  /** Output tokens it takes a request to have; absent: what it will have. Lengths of those under way are known. */
  readonly outputTokens?: number;
  /** Standard deviation of the logarithm of what it is wrong by, drawn for each time it tells. */
  readonly noise?: number;
}

const slotsMax = 64;

/** Whoever has decoded as many tokens as expected goes on for about so many. */
const outputTokensLeftMin = 60;

export class Oracle implements LatencySource {
  readonly #world: FleetView;
  readonly #outputTokens: number | undefined;
  readonly #noise: number;
  readonly #rng = new Prng(1);
  readonly view: OracleView;

  constructor(world: FleetView, { outputTokens, noise = 0 }: OracleOptions = {}) {
    this.#world = world;
    this.#outputTokens = outputTokens;
    this.#noise = noise;
    const column = () => new Float64Array(slotsMax);
    this.view = {
      known: new Uint8Array(slotsMax).fill(1),
      ttftMs: column(),
      tpotMs: column(),
      ttftHighMs: column(),
      tpotHighMs: column(),
      ttftPriorMs: column(),
      tpotPriorMs: column(),
      ttftHeadroomMs: column(),
      tpotHeadroomMs: column(),
      meets: column(),
      e2eMs: column(),
      harmMs: column(),
      harmMisses: column(),
      ownMs: column(),
      requests: column(),
      likelyMisses: column(),
    };
  }

  chosen(): void {}

  predict({ view: { id, receivedAtMs }, nowMs }: DecisionContext, slots: Uint16Array, n: number): OracleView {
    const { fleet, ask, prompt } = this.#world;
    const request = ask(id);
    for (let i = 0; i < n; i++) {
      this.#look(slots[i], fleet[slots[i]], request, prompt(request), nowMs, nowMs - receivedAtMs);
    }
    return this.view;
  }

  #look(slot: number, { engine }: SimEndpoint, ask: Ask, prompt: Prompt, nowMs: number, waitedMs: number): void {
    const { view } = this;
    const state = engine.state(nowMs);
    const { batch, queue } = jobsOf(engine, state);
    const others = [...batch, ...queue];
    const without = others.map((job) => ({ ...job }));
    foresee(engine.options, state, without.slice(0, batch.length), without.slice(batch.length));
    const context = engine.cachedTokens(prompt);
    const prefill = ask.promptTokens - context;
    const outputTokens = this.#outputTokens ?? ask.outputTokens;
    const own: Job = { prompt, prefill, context, left: outputTokens, firstMs: 0, endMs: 0 };
    foresee(engine.options, state, batch, [...queue, own]);
    let harmMs = 0, misses = 0;
    for (let i = 0; i < others.length; i++) {
      harmMs += others[i].endMs - without[i].endMs;
      if (this.#meets(without[i]) && !this.#meets(others[i])) misses++;
    }
    const { cost } = engine.options;
    const pairs = prefill * context + prefill * prefill / 2;
    const ownMs = prefill * 1000 / cost.prefillTokensPerS + pairs * cost.prefillAttentionNs / 1e6;
    view.ownMs[slot] = ownMs * state.slowFactor;
    view.requests[slot] = others.length;
    view.harmMs[slot] = harmMs;
    view.harmMisses[slot] = misses;
    this.#tell(
      slot,
      ask,
      this.#wrong(own.firstMs - nowMs),
      this.#wrong(tpotOf(own, outputTokens)),
      outputTokens,
      waitedMs,
    );
    view.likelyMisses[slot] = this.#likelyMisses(slot, state, nowMs);
  }

  #tell(slot: number, { slo }: Ask, ttftMs: number, tpotMs: number, outputTokens: number, waitedMs: number): void {
    const { view } = this;
    view.ttftMs[slot] = view.ttftHighMs[slot] = ttftMs;
    view.tpotMs[slot] = view.tpotHighMs[slot] = tpotMs;
    view.e2eMs[slot] = ttftMs + tpotMs * (outputTokens - 1);
    view.ttftHeadroomMs[slot] = slo.ttftMs - waitedMs - ttftMs;
    view.tpotHeadroomMs[slot] = slo.tpotMs - tpotMs;
    view.meets[slot] = within(ttftMs, slo.ttftMs - waitedMs, this.#noise) * within(tpotMs, slo.tpotMs, this.#noise);
  }

  #likelyMisses(slot: number, { running }: EngineState, nowMs: number): number {
    const { view } = this;
    let misses = 0;
    for (const { request: { prompt, outputTokens }, produced, firstTokenMs } of running) {
      if (produced === 0) continue;
      const left = Math.max(outputTokensLeftMin, (this.#outputTokens ?? outputTokens) - produced);
      const ms = nowMs - firstTokenMs + view.ownMs[slot] + view.tpotMs[slot] * left;
      misses += 1 - within(ms / (produced + left), this.#world.askOf(prompt).slo.tpotMs, this.#noise);
    }
    return misses;
  }

  #meets({ prompt, firstMs, endMs }: Job): boolean {
    const { atMs, outputTokens, slo } = this.#world.askOf(prompt);
    return firstMs - atMs <= slo.ttftMs && endMs - firstMs <= slo.tpotMs * (outputTokens - 1);
  }

  #wrong(ms: number): number {
    return this.#noise > 0 ? ms * Math.exp(this.#rng.normal(0, this.#noise)) : ms;
  }
}

function tpotOf({ firstMs, endMs }: Job, outputTokens: number): number {
  return outputTokens > 1 ? (endMs - firstMs) / (outputTokens - 1) : 0;
}

/** Probability that something predicted as `ms` is at most `targetMs`, where the logarithm is wrong by `noise`. */
function within(ms: number, targetMs: number, noise: number): number {
  if (targetMs <= 0) return 0;
  if (noise === 0) return ms <= targetMs ? 1 : 0;
  // The logistic curve that is nearest to the normal one.
  return 1 / (1 + Math.exp(-1.702 * Math.log(targetMs / ms) / noise));
}
