/** Predicted latency joined: the learner and its models in the control isolate, a predictor in each edge. */
import type { Clock, EndpointTable, Prng, RecordRing, RequestView } from "../core/mod.ts";
import type { Hotpath } from "../hotpath/mod.ts";
import {
  explainLatency,
  type ForestShop,
  Governor,
  type GovernorObserver,
  type LatencyReport,
  type LatencyState,
  Learner,
  type LearnerObserver,
  type PredictionObserver,
  Predictor,
  type RememberedEndpoints,
  ServiceTrainer,
  WorkerShop,
} from "../latency/mod.ts";
import type { Logger, Metrics } from "../telemetry/mod.ts";
import { latencyObserver } from "./latency_observer.ts";
import { LatencyFiles } from "./latency_files.ts";
import type { LatencySource } from "../scheduling/mod.ts";
import type { LatencySetup } from "./scheduling.ts";

/** What an edge's scheduler and pipeline ask. */
export interface EdgeLatency {
  readonly predictor: Predictor;
  readonly source: LatencySource;
  /** Goes by another configuration from now on, but for what a router keeps until its next start. */
  use(setup: LatencySetup): void;
}

export interface EdgeLatencyParts {
  readonly hotpath: Hotpath;
  readonly state: LatencyState;
  readonly ring: RecordRing;
  readonly rung: () => void;
  readonly isolate: number;
  readonly setup: LatencySetup;
  readonly observer?: PredictionObserver;
  /** Told of each request that is placed how long predicting all its candidates took; absent: nobody measures it. */
  readonly timing?: { readonly clock: Clock; readonly predicted: (view: RequestView, tookMs: number) => void };
}

/** One edge's predictor; what it is told of answers goes through the ring. */
export function edgeLatency(parts: EdgeLatencyParts): EdgeLatency {
  const { hotpath, state, ring, rung, isolate, setup, observer, timing } = parts;
  const predictor = new Predictor(state, {
    table: hotpath.table,
    forests: hotpath.forests,
    isolate,
    observer,
    tell(kind, numbers) {
      ring.push(kind, numbers);
      rung();
    },
    options: predictorOptions(setup),
  });
  const { quantile } = setup;
  let { predicts } = setup;
  const source: LatencySource = {
    predict: (ctx, slots, n) => predicts ? predictor.predict(ctx, slots, n) : undefined,
    chosen: (ctx, slot) => predictor.chosen(ctx, slot),
  };
  return {
    predictor,
    source: timing ? timed(source, timing) : source,
    use(setup) {
      predicts = setup.predicts;
      // What is learned is of the quantile of the start.
      predictor.options = predictorOptions({ ...setup, quantile });
    },
  };
}

function timed(source: LatencySource, { clock, predicted }: NonNullable<EdgeLatencyParts["timing"]>): LatencySource {
  let asked: RequestView | undefined, tookMs = 0;
  return {
    predict(ctx, slots, n) {
      const startMs = clock.now();
      const view = source.predict(ctx, slots, n);
      asked = ctx.view;
      tookMs = clock.now() - startMs;
      return view;
    },
    chosen(ctx, slot) {
      const startMs = clock.now();
      source.chosen(ctx, slot);
      // Explanations ask for predictions as well, of other requests.
      predicted(ctx.view, (asked === ctx.view ? tookMs : 0) + clock.now() - startMs);
      asked = undefined;
    },
  };
}

function predictorOptions({ quantile, slo, roleLabel }: LatencySetup) {
  return { quantile, tpotBufferFactor: slo.tpotBufferFactor, roleLabel };
}

export interface LatencyDeskParts {
  readonly clock: Clock;
  readonly table: EndpointTable;
  readonly hotpath: Hotpath;
  readonly state: LatencyState;
  readonly rng: Prng;
  readonly setup: LatencySetup;
  readonly shop: ForestShop;
  readonly observer: LearnerObserver & GovernorObserver;
}

/** The control isolate's half, begun: models of the last life predict, and further ones are trained now and then. */
export interface OpenLatency {
  readonly desk: LatencyDesk;
  readonly files: LatencyFiles;
}

/** For one training by the service. */
const serviceMsMax = 120_000;

function serviceTrainer({ training: { serviceUrl, serviceToken } }: LatencySetup, clock: Clock) {
  if (serviceUrl === undefined) return undefined;
  return new ServiceTrainer({
    url: serviceUrl,
    fetcher: fetch,
    clock,
    timeoutMs: serviceMsMax,
    source: crypto.randomUUID(),
    token: () => serviceToken,
  });
}

/**
 * Joins what learns; undefined where nothing is to be. Nothing is trained or read before `files.begin()` and
 * `desk.governor.start()`.
 */
export function openLatency(
  parts: Omit<LatencyDeskParts, "shop" | "observer"> & { readonly log: Logger; readonly metrics: Metrics },
): OpenLatency | undefined {
  const { clock, setup, table, state, log, metrics } = parts;
  if (!setup.enabled) return undefined;
  const trainer = serviceTrainer(setup, clock);
  const shop = new WorkerShop({ clock, quantile: () => setup.quantile, trainer });
  const desk = new LatencyDesk({ ...parts, shop, observer: latencyObserver({ log, metrics, table, clock }) });
  const { learner, governor } = desk;
  return { desk, files: new LatencyFiles(desk, { learner, governor, state, table, clock }, setup, log) };
}

/** What is learned, in the control isolate. */
export class LatencyDesk {
  readonly learner: Learner;
  readonly governor: Governor;
  readonly state: LatencyState;
  readonly #table: EndpointTable;
  readonly #clock: Clock;
  readonly #quantile: number;
  #remembered: RememberedEndpoints | undefined;

  constructor({ clock, table, hotpath, state, rng, setup, shop, observer }: LatencyDeskParts) {
    const { quantile, training } = setup;
    const { forests } = hotpath;
    this.state = state;
    this.#table = table;
    this.#clock = clock;
    this.#quantile = quantile;
    this.learner = new Learner({
      state,
      table,
      clock,
      rng: rng.fork(),
      options: { quantile, rowsMax: training.maxSamples },
      version: (target) => forests.version(target as 0 | 1),
      observer,
    });
    this.governor = new Governor({
      learner: this.learner,
      state,
      forests: { publish: (target, packed) => forests.publish(target as 0 | 1, packed) },
      shop,
      clock,
      options: {
        quantile,
        training: training.enabled,
        intervalMs: training.intervalMs,
        labelsMin: training.minSamples,
        trees: training.trees,
        depth: training.depth,
        learningRate: training.learningRate,
        seed: rng.u32(),
      },
      observer,
    });
  }

  /** What is known, by what it is predicted and how good that is; of each target the last `pairsMax` predictions. */
  explain(pairsMax: number): LatencyReport {
    const { learner, governor, state } = this;
    const clock = this.#clock, quantile = this.#quantile;
    return explainLatency({ learner, governor, state, table: this.#table, clock, quantile, pairsMax });
  }

  /** A record of an edge; false when it is somebody else's. */
  take(kind: number, numbers: Float64Array): boolean {
    return this.learner.take(kind, numbers);
  }

  /** What was known of endpoints that have not come yet. */
  remember(endpoints: RememberedEndpoints): void {
    this.#remembered = endpoints;
    for (const slot of this.#table.slots()) this.#claim(slot);
  }

  slotAdded(slot: number): void {
    this.learner.slotAdded(slot);
    this.#claim(slot);
  }

  #claim(slot: number): void {
    const known = this.#remembered?.claim(this.#table.meta(slot).id);
    if (known) this.learner.restoreSlot(slot, known);
  }

  /** An isolate is gone, and its requests with it. */
  abandon(isolate: number): void {
    this.state.releaseIsolate(isolate);
  }
}
