/** The router's decision joined as `serve` joins it, over a fixed list of endpoints and any clock; nothing is dialled. */
import {
  type Clock,
  type EndpointMeta,
  endpointMeta,
  EndpointState,
  EndpointTable,
  Prng,
  type RequestView,
} from "../../src/core/mod.ts";
import { FlowDesk } from "../../src/commands/flow_desk.ts";
import type { FlowConfig } from "../../src/config/mod.ts";
import { prefixDefaults } from "../../src/config/defaults.ts";
import { Hotpath } from "../../src/hotpath/mod.ts";
import { Caches, type FeedSource, localClaims, type PrefixClaims } from "../../src/kv/mod.ts";
import { DirectDispatch } from "../../src/pipeline/dispatch.ts";
import { FlowDispatch } from "../../src/pipeline/flow_dispatch.ts";
import { flowOptions, type Inbound } from "../../src/pipeline/mod.ts";
import type { PipelineParts } from "../../src/pipeline/parts.ts";
import { prepare, type Prepared } from "../../src/pipeline/view.ts";
import { type LatencySource, Scheduler, type SchedulingPlan } from "../../src/scheduling/mod.ts";
import { Metrics, Tracing } from "../../src/telemetry/mod.ts";
import { UpstreamClient } from "../../src/upstream/mod.ts";

/** What a bench router is made of. */
export interface BenchRouterOptions {
  readonly clock: Clock;
  readonly endpoints: number;
  readonly plan: SchedulingPlan;
  readonly seed: number;
  readonly blockTreeBytes: number;
  readonly bodyBytesMax: number;
  /** KV cache of every endpoint, as its engine would report it. */
  readonly cacheBlocks: number;
  readonly cacheBlockTokens: number;
  /** A request was sent to a slot. */
  readonly onPoke?: (slot: number) => void;
  /** Where an endpoint, by number, tells what it caches. */
  readonly source?: (endpoint: number) => FeedSource;
  readonly latency?: (hotpath: Hotpath) => BenchLatency;
}

/** What predicts: for the scheduler, and for the requests that are placed. */
export interface BenchLatency {
  readonly source: LatencySource;
  readonly predictor?: PipelineParts["latency"];
}

/** Everything between a request's bytes and the place it gets. */
export interface BenchRouter {
  readonly parts: PipelineParts;
  readonly table: EndpointTable;
  readonly hotpath: Hotpath;
  readonly caches: Caches;
  readonly claims: PrefixClaims;
  readonly dispatch: DirectDispatch;
}

/** Output tokens reserved for a request that names no limit, as `serve` has it. */
const outputTokensAssumed = 512;

const firstPort = 10_000;

const nothing = () => {};

export async function benchRouter(options: BenchRouterOptions): Promise<BenchRouter> {
  const { clock, endpoints, plan, seed } = options;
  const { blockTreeBytes, bodyBytesMax } = options;
  const hotpath = await Hotpath.load(
    { endpoints, blockTreeBytes, bodyBytesMax, prefixTokensMax: prefixDefaults.tokensMax, forestBytes: 1 << 20 },
    seed,
  );
  const { table } = hotpath;
  const rng = new Prng(seed);
  const source = ({ port }: EndpointMeta) => options.source?.(port - firstPort);
  const caches = new Caches({ tree: hotpath.blockTree, table, clock, rng, source }, {
    blockTokens: prefixDefaults.blockTokens,
  });
  for (let i = 0; i < endpoints; i++) {
    const slot = table.add(benchMeta(i), EndpointState.Ready);
    table.cacheBlocks[slot] = options.cacheBlocks;
    table.cacheBlockTokens[slot] = options.cacheBlockTokens;
    caches.slotAdded(slot);
    caches.geometry(slot, options.cacheBlocks, options.cacheBlockTokens);
  }
  const claims = localClaims(caches, hotpath.blockTree, table, prefixDefaults.blockTokens);
  const latency = options.latency?.(hotpath);
  const parts = benchParts({ clock, hotpath, index: claims, plan, seed, endpoints, onPoke: options.onPoke, latency });
  return { parts, table, hotpath, caches, claims, dispatch: new DirectDispatch(parts) };
}

/** A queue over the router's endpoints, and the dispatch that asks it; no endpoint has told its load yet. */
export function benchFlow(
  { parts, table }: BenchRouter,
  flow: FlowConfig,
  { priorities = [], revoke = nothing }: {
    readonly priorities?: readonly number[];
    readonly revoke?: (edge: number, id: number) => void;
  } = {},
): { readonly desk: FlowDesk; readonly dispatch: FlowDispatch } {
  const desk = new FlowDesk({ clock: parts.clock, table, setup: { flow, priorities }, observer: {}, revoke });
  for (const slot of table.slots()) desk.slotAdded(slot);
  const options = { ...parts.options, flow: flowOptions(flow, priorities) };
  return { desk, dispatch: new FlowDispatch({ ...parts, flow: desk.door(0), options }) };
}

/** A streamed chat request of which nothing is known but what `part` says. */
export function benchView(part: Partial<RequestView> = {}): RequestView {
  return {
    id: "bench",
    api: "chat",
    receivedAtMs: 0,
    model: "bench",
    requestedModel: "bench",
    stream: true,
    promptTokens: 500,
    bodyBytes: 4 * (part.promptTokens ?? 500),
    blocks: { hashes: new BigUint64Array(0), blockTokens: prefixDefaults.blockTokens },
    fairnessId: "default-flow",
    objective: "",
    priority: 0,
    slo: {},
    mediaParts: 0,
    headers: { get: () => undefined },
    ...part,
  };
}

/** Lets the promises of one moment come to their end, `count` of them one behind the other, without time passing. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}

/** What a pipeline is joined from in any isolate that maps the memory. */
export interface BenchPartsOptions {
  readonly clock: Clock;
  readonly hotpath: Hotpath;
  readonly index: PrefixClaims;
  readonly plan: SchedulingPlan;
  readonly seed: number;
  /** Slots 0 to this are the candidates of every request. */
  readonly endpoints: number;
  readonly onPoke?: (slot: number) => void;
  readonly latency?: BenchLatency;
}

export function benchParts(
  { clock, hotpath, index, plan, seed, endpoints, onPoke, latency }: BenchPartsOptions,
): PipelineParts {
  const candidates = { slots: Uint16Array.from({ length: endpoints }, (_, slot) => slot), count: endpoints };
  return {
    clock,
    table: hotpath.table,
    hotpath,
    index,
    pool: {
      candidates: () => candidates,
      hasModel: () => true,
      refreshModels: () => Promise.resolve(),
      baseOf: () => undefined,
      report: nothing,
      poke: onPoke ?? nothing,
    },
    latency: latency?.predictor,
    upstream: new UpstreamClient({ clock }),
    metrics: new Metrics({ version: "bench" }),
    tracing: new Tracing({ enabled: false, sampleRatio: 0, rng: new Prng(seed) }),
    ended: nothing,
    scheduler: new Scheduler(plan, { table: hotpath.table, seed, latency: latency?.source }),
    models: { rewrite: (model) => ({ model }) },
    options: {
      attemptsMax: 1,
      retryBudget: { ratio: 0, minPerSecond: 0, burst: 0 },
      hedge: { promptTokensMax: 0 },
      firstTokenTimeoutMs: 600_000,
      continuation: false,
      usage: "client",
      blockTokens: prefixDefaults.blockTokens,
      prefixEnabled: prefixDefaults.enabled,
      objectives: new Map(),
      outputTokensAssumed,
    },
  };
}

/** An endpoint of the fixed list, by number. */
export function benchMeta(endpoint: number): EndpointMeta {
  return endpointMeta({ host: "127.0.0.1", port: firstPort + endpoint, models: [{ id: "bench" }] });
}

/** Prepares a request whose prompt is matched by its text, which takes no pause. */
export function prepareNow(inbound: Inbound, parts: PipelineParts): Prepared {
  const prepared = prepare(inbound, parts);
  if (prepared instanceof Promise) {
    throw new Error("Cannot prepare the request at once as its token ids are waited for");
  }
  return prepared;
}
