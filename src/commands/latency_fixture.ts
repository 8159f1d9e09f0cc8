/** Predicted latency as the router joins it, over real shared memory on a virtual clock, and requests that teach it. */
import {
  endpointMeta,
  EndpointState,
  type EndpointTable,
  type PrefixMatch,
  Prng,
  RecordRing,
  type RequestView,
  VirtualClock,
} from "../core/mod.ts";
import { latencyDefaults } from "../config/mod.ts";
import { Hotpath } from "../hotpath/mod.ts";
import { type ForestJob, type ForestShop, growForest, LatencyState, openModel } from "../latency/mod.ts";
import { planFromPolicy, type Policy, Scheduler } from "../scheduling/mod.ts";
import { type EdgeLatency, edgeLatency, type EdgeLatencyParts, LatencyDesk } from "./latency_desk.ts";
import type { LatencySetup } from "./scheduling.ts";

const capacity = 4;

/** Forests made in this isolate. */
const shop: ForestShop = {
  async train({ target, set, parameters, heldBack }: ForestJob) {
    const file = await growForest(set, parameters);
    return { ...openModel(target, file, heldBack, parameters.quantiles[1], true), tookMs: 0 };
  },
  load: (target, file, heldBack, residual) =>
    new Promise((resolve) =>
      resolve({ ...openModel(target, file, heldBack, latencyDefaults.quantile, residual), tookMs: 0 })
    ),
  stop: () => Promise.resolve(),
};

/** Small and soon trained. */
export function testSetup(part: Partial<LatencySetup> = {}): LatencySetup {
  return {
    ...latencyDefaults,
    training: { ...latencyDefaults.training, minSamples: 100, trees: 20, depth: 3, learningRate: 0.2 },
    predicts: true,
    ...part,
  };
}

export interface LatencyBed {
  readonly clock: VirtualClock;
  readonly hotpath: Hotpath;
  readonly table: EndpointTable;
  readonly state: LatencyState;
  readonly desk: LatencyDesk;
  readonly edge: EdgeLatency;
  /** Kinds of records that were somebody else's. */
  readonly others: number[];
  readonly ring: RecordRing;
  /** Endpoint `number` comes. */
  add(number: number): number;
  /** The endpoint a request goes to, of those there are. */
  place(view?: Partial<RequestView>): number;
  /** As `place`, of a request that goes nowhere. */
  explain(view?: Partial<RequestView>): void;
  /**
   * `count` requests, one after the other: a prompt takes 20 ms and 0.1 ms a token, twice as long at endpoint 2, three times as
   * long where more than half of the cache is in use, which no prior knows; a token takes 10 ms.
   */
  serve(count: number): void;
}

/** The endpoints 1 … `endpoints`, of which nothing is known. */
export async function latencyBed(
  { setup = testSetup(), endpoints = 2, policy = "predicted", timing }: {
    readonly setup?: LatencySetup;
    readonly endpoints?: number;
    readonly policy?: Policy;
    readonly timing?: EdgeLatencyParts["timing"];
  } = {},
): Promise<LatencyBed> {
  const clock = new VirtualClock(), rng = new Prng(3);
  const sizes = { endpoints: capacity, blockTreeBytes: 0, bodyBytesMax: 64, prefixTokensMax: 64, forestBytes: 1 << 18 };
  const hotpath = await Hotpath.load(sizes, 1);
  const { table } = hotpath;
  const state = new LatencyState(capacity, 1);
  const desk = new LatencyDesk({ clock, table, hotpath, state, rng: new Prng(1), setup, shop, observer: {} });
  const ring = new RecordRing(1 << 12), others: number[] = [];
  const rung = () => {
    ring.drain((kind, numbers) => {
      if (!desk.take(kind, numbers)) others.push(kind);
    });
  };
  const edge = edgeLatency({ hotpath, state, ring, rung, isolate: 0, setup, timing });
  const scheduler = new Scheduler(planFromPolicy(policy), { table, seed: 1, latency: edge.source });
  const slots = new Uint16Array(capacity);
  const match: PrefixMatch = { blocks: new Int32Array(capacity), total: 0, blockTokens: 64 };
  const add = (number: number) => {
    const slot = table.add(endpointMeta({ host: "h", port: number }), EndpointState.Ready);
    desk.slotAdded(slot);
    return slot;
  };
  const asked = (view: Partial<RequestView>) => {
    const there = [...table.slots()], nowMs = clock.now();
    slots.set(there);
    return [testView({ receivedAtMs: nowMs, ...view }), match, slots, there.length, nowMs] as const;
  };
  const explain = (view: Partial<RequestView> = {}) => void scheduler.explain(...asked(view));
  const place = (view: Partial<RequestView> = {}) => {
    const result = scheduler.decide(...asked(view));
    if ("refused" in result) throw new Error(result.message);
    return result.slot;
  };
  const serve = (count: number) => {
    for (let i = 0; i < count; i++) {
      for (const slot of table.slots()) {
        table.sampleAtMs[slot] = clock.now();
        table.kvUsage[slot] = rng.float();
      }
      const promptTokens = 100 + rng.below(4000);
      const slot = place({ promptTokens });
      const prediction = edge.predictor.take()!;
      const slow = table.meta(slot).port === 2 ? 2 : 1;
      const ttftMs = (20 + 0.1 * promptTokens) * slow * (table.kvUsage[slot] > 0.5 ? 3 : 1) *
        Math.exp(rng.normal(0, 0.05));
      clock.advance(ttftMs);
      prediction.firstToken(ttftMs);
      clock.advance(190);
      prediction.completed(190, 20);
      prediction.release();
    }
  };
  for (let number = 1; number <= endpoints; number++) add(number);
  return { clock, hotpath, table, state, desk, edge, others, ring, add, place, explain, serve };
}

function testView(part: Partial<RequestView> = {}): RequestView {
  return {
    id: "test",
    api: "chat",
    receivedAtMs: 0,
    model: "base",
    requestedModel: "base",
    stream: true,
    promptTokens: 1000,
    bodyBytes: 4000,
    blocks: { hashes: new BigUint64Array(0), blockTokens: 64 },
    fairnessId: "default-flow",
    objective: "",
    priority: 0,
    slo: {},
    mediaParts: 0,
    headers: { get: () => undefined },
    ...part,
  };
}
