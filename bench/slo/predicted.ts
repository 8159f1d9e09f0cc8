/** The router's own predictions: learner, predictor and training as `serve` joins them, all on the fleet's clock. */
import { Prng, RecordRing, type VirtualClock } from "../../src/core/mod.ts";
import { edgeLatency, LatencyDesk } from "../../src/commands/latency_desk.ts";
import { latencyDefaults } from "../../src/config/latency_defaults.ts";
import type { LatencyConfig } from "../../src/config/mod.ts";
import type { Hotpath } from "../../src/hotpath/mod.ts";
import { type ForestJob, type ForestShop, growForest, LatencyState, openModel } from "../../src/latency/mod.ts";
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import type { FleetPolicy } from "./policy.ts";

/** Trains in this isolate: no time passes on the fleet's clock meanwhile. */
const shop: ForestShop = {
  async train({ target, set, parameters, heldBack }: ForestJob) {
    const file = await growForest(set, parameters);
    return { ...openModel(target, file, heldBack, parameters.quantiles[1], true), tookMs: 0 };
  },
  load: (target, file, heldBack, residual) =>
    Promise.resolve({ ...openModel(target, file, heldBack, 0.9, residual), tookMs: 0 }),
  stop: () => Promise.resolve(),
};

export interface PredictedOptions {
  readonly seed: number;
  readonly slo?: Partial<LatencyConfig["slo"]>;
  /** False: the prior and its corrections alone. */
  readonly training?: boolean;
  readonly onDesk?: (desk: LatencyDesk) => void;
}

export function predicted(name: string, { seed, slo, training = true, onDesk }: PredictedOptions): FleetPolicy {
  const setup = {
    ...latencyDefaults,
    slo: { ...latencyDefaults.slo, ...slo },
    training: { ...latencyDefaults.training, enabled: training },
    predicts: true,
  };
  return {
    name,
    make({ clock }) {
      let desk: LatencyDesk | undefined;
      let roundAtMs = setup.training.intervalMs;
      return {
        plan: planFromPolicy("predicted", setup.slo),
        latency(hotpath: Hotpath) {
          desk = deskOver(clock, hotpath, seed, setup);
          onDesk?.(desk);
          const ring = new RecordRing(1 << 12);
          const rung = () => void ring.drain((kind, numbers) => void desk!.take(kind, numbers));
          return edgeLatency({ hotpath, state: desk.state, ring, rung, isolate: 0, setup });
        },
        turn() {
          if (!training || clock.now() < roundAtMs) return undefined;
          roundAtMs = clock.now() + setup.training.intervalMs;
          return desk!.governor.round();
        },
      };
    },
  };
}

function deskOver(
  clock: VirtualClock,
  hotpath: Hotpath,
  seed: number,
  setup: Parameters<typeof edgeLatency>[0]["setup"],
) {
  const { table } = hotpath;
  const state = new LatencyState(table.capacity, 1);
  return new LatencyDesk({ clock, table, hotpath, state, rng: new Prng(seed), setup, shop, observer: {} });
}
