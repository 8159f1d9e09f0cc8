/** Predictions of a bench's router: learner, predictor and training as `serve` joins them, on any clock. */
import { type Clock, Prng, RecordRing } from "../../src/core/mod.ts";
import { edgeLatency, LatencyDesk } from "../../src/commands/latency_desk.ts";
import { latencyDefaults } from "../../src/config/latency_defaults.ts";
import type { LatencyConfig } from "../../src/config/mod.ts";
import type { Hotpath } from "../../src/hotpath/mod.ts";
import { type ForestJob, type ForestShop, growForest, LatencyState, openModel } from "../../src/latency/mod.ts";
import type { BenchLatency } from "./router.ts";

/** Trains in this isolate: no time passes on a virtual clock meanwhile. */
const shop: ForestShop = {
  async train({ target, set, parameters, heldBack }: ForestJob) {
    const file = await growForest(set, parameters);
    return { ...openModel(target, file, heldBack, parameters.quantiles[1], true), tookMs: 0 };
  },
  load: (target, file, heldBack, residual) =>
    Promise.resolve({ ...openModel(target, file, heldBack, latencyDefaults.quantile, residual), tookMs: 0 }),
  stop: () => Promise.resolve(),
};

export interface BenchLatencyOptions {
  readonly seed: number;
  readonly slo?: Partial<LatencyConfig["slo"]>;
  /** False: the prior and its corrections alone. @default {true} */
  readonly training?: boolean;
}

/** Begins with nothing learned. */
export class BenchLearning {
  readonly #clock: Clock;
  readonly #setup: Parameters<typeof edgeLatency>[0]["setup"];
  readonly #seed: number;
  #desk: LatencyDesk | undefined;
  #roundAtMs: number;

  constructor(clock: Clock, { seed, slo, training = true }: BenchLatencyOptions) {
    this.#clock = clock;
    this.#seed = seed;
    this.#setup = {
      ...latencyDefaults,
      slo: { ...latencyDefaults.slo, ...slo },
      training: { ...latencyDefaults.training, enabled: training },
      predicts: true,
    };
    this.#roundAtMs = clock.now() + this.#setup.training.intervalMs;
  }

  /** To be asked once it is over a router. */
  get desk(): LatencyDesk {
    return this.#desk!;
  }

  get slo(): LatencyConfig["slo"] {
    return this.#setup.slo;
  }

  over(hotpath: Hotpath): BenchLatency {
    const { table } = hotpath;
    const clock = this.#clock, setup = this.#setup;
    const state = new LatencyState(table.capacity, 1);
    const rng = new Prng(this.#seed);
    const desk = this.#desk = new LatencyDesk({ clock, table, hotpath, state, rng, setup, shop, observer: {} });
    const ring = new RecordRing(1 << 12);
    const rung = () => void ring.drain((kind, numbers) => void desk.take(kind, numbers));
    return edgeLatency({ hotpath, state, ring, rung, isolate: 0, setup });
  }

  /** Trains where it is time to: to be awaited before each request. */
  turn(): Promise<void> | undefined {
    if (!this.#setup.training.enabled || this.#clock.now() < this.#roundAtMs) return undefined;
    this.#roundAtMs = this.#clock.now() + this.#setup.training.intervalMs;
    return this.#desk!.governor.round();
  }
}
