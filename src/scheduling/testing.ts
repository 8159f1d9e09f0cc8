/** What the tests of this room share: small pools, requests and plugins. */
import { ok } from "node:assert/strict";
import {
  type EndpointMeta,
  endpointMeta,
  EndpointState,
  EndpointTable,
  type PrefixMatch,
  type Refusal,
  type RequestView,
} from "../core/mod.ts";
import { Decision } from "./context.ts";
import { builtIn } from "./definition.ts";
import { type PluginEntry, PluginSet } from "./plugin_set.ts";
import { isAdmitter, isFilter, isPicker, isScorer, type LatencyView, type Plugin } from "./types.ts";

export const testNowMs = 100_000;

/** What is predicted of an endpoint; headrooms follow from the times and the request's targets. */
export interface TestPrediction {
  readonly ttftMs?: number;
  readonly tpotMs?: number;
  readonly meets?: number;
  readonly e2eMs?: number;
  readonly harmMs?: number;
  readonly harmMisses?: number;
  readonly likelyMisses?: number;
}

export interface TestEndpoint extends Partial<EndpointMeta> {
  readonly waiting?: number;
  readonly running?: number;
  readonly kv?: number;
  /** Age of the load sample; null when there never was one. */
  readonly ageMs?: number | null;
  readonly requests?: number;
  readonly prefillTokens?: number;
  readonly decodeTokens?: number;
  /** Leading blocks of the prompt it holds. */
  readonly matched?: number;
  /** Of those, how many lie on which tier: GPU, CPU, disk, shared. */
  readonly tiers?: readonly [number, number, number, number];
  /** Claimed tokens its LIVE feed has not told of. */
  readonly pending?: number;
  /** Absent: nothing is predicted of it. */
  readonly predicted?: TestPrediction;
}

export interface TestRequest extends Partial<Omit<RequestView, "headers">> {
  readonly headers?: Readonly<Record<string, string>>;
  readonly totalBlocks?: number;
  readonly blockTokens?: number;
  readonly peer?: number;
}

export interface TestPool {
  readonly table: EndpointTable;
  readonly slots: Uint16Array;
  readonly n: number;
  readonly matched: Int32Array;
  /** Absent when no endpoint has tiers. */
  readonly tiers?: Int32Array;
  /** Absent when no endpoint has a LIVE feed. */
  readonly pendingTokens?: Int32Array;
  /** By slot; empty when nothing is predicted. */
  readonly predictions: readonly (TestPrediction | undefined)[];
}

/** Endpoint i is `10.0.0.<i+1>:8000` in slot i, sampled just now. */
export function testPool(endpoints: readonly TestEndpoint[]): TestPool {
  const table = new EndpointTable(Math.max(8, endpoints.length));
  const matched = new Int32Array(table.capacity);
  const slots = new Uint16Array(table.capacity);
  const tiers = endpoints.some((endpoint) => endpoint.tiers) ? new Int32Array(table.capacity * 4) : undefined;
  const live = endpoints.some((endpoint) => endpoint.pending !== undefined);
  const pendingTokens = live ? new Int32Array(table.capacity).fill(-1) : undefined;
  endpoints.forEach((endpoint, i) => {
    const meta = endpointMeta({ ...endpoint, host: endpoint.host ?? `10.0.0.${i + 1}`, port: endpoint.port ?? 8000 });
    const slot = table.add(meta, EndpointState.Ready);
    slots[i] = slot;
    matched[slot] = endpoint.matched ?? 0;
    if (endpoint.pending !== undefined) pendingTokens![slot] = endpoint.pending;
    if (endpoint.tiers) tiers!.set(endpoint.tiers, slot * 4);
    table.requests[slot] = endpoint.requests ?? 0;
    table.prefillTokens[slot] = endpoint.prefillTokens ?? 0;
    table.decodeTokens[slot] = endpoint.decodeTokens ?? 0;
    if (endpoint.ageMs === null) return;
    table.sampleAtMs[slot] = testNowMs - (endpoint.ageMs ?? 0);
    table.waiting[slot] = endpoint.waiting ?? 0;
    table.running[slot] = endpoint.running ?? 0;
    table.kvUsage[slot] = endpoint.kv ?? 0;
  });
  return {
    table,
    slots,
    n: endpoints.length,
    matched,
    predictions: endpoints.some(({ predicted }) => predicted) ? endpoints.map(({ predicted }) => predicted) : [],
    ...(tiers && { tiers }),
    ...(pendingTokens && { pendingTokens }),
  };
}

/** What a predictor that knows the pool's endpoints says; undefined when it knows none. The high quantile is the median. */
export function testLatency({ predictions }: TestPool, { slo }: RequestView): LatencyView | undefined {
  if (predictions.length === 0) return undefined;
  const column = (of: (prediction: TestPrediction) => number | undefined, otherwise = 0) =>
    // What is not known is not 0.
    Float64Array.from(predictions, (prediction) => prediction ? of(prediction) ?? otherwise : NaN);
  const ttftMs = column((prediction) => prediction.ttftMs);
  const tpotMs = column((prediction) => prediction.tpotMs);
  return {
    known: Uint8Array.from(predictions, (prediction) => prediction ? 1 : 0),
    ttftMs,
    tpotMs,
    ttftHighMs: ttftMs,
    ttftPriorMs: ttftMs,
    tpotPriorMs: tpotMs,
    tpotHighMs: tpotMs,
    ttftHeadroomMs: ttftMs.map((ms) => (slo.ttftMs ?? 0) - ms),
    tpotHeadroomMs: tpotMs.map((ms) => (slo.tpotMs ?? 0) - ms),
    meets: column(({ meets }) => meets, 1),
    e2eMs: column(({ e2eMs }) => e2eMs),
    harmMs: column(({ harmMs }) => harmMs),
    harmMisses: column(({ harmMisses }) => harmMisses),
    likelyMisses: column(({ likelyMisses }) => likelyMisses),
  };
}

export function testView(request: TestRequest = {}): RequestView {
  const headers = request.headers ?? {};
  return {
    id: "test",
    api: "chat",
    receivedAtMs: testNowMs,
    model: "base",
    requestedModel: "base",
    stream: false,
    promptTokens: 1000,
    bodyBytes: 4000,
    blocks: { hashes: new BigUint64Array(0), blockTokens: 64 },
    fairnessId: "default-flow",
    objective: "",
    priority: 0,
    slo: {},
    mediaParts: 0,
    ...request,
    headers: { get: (name) => headers[name] },
  };
}

export function testMatch(pool: TestPool, request: TestRequest = {}): PrefixMatch {
  const { matched: blocks, tiers, pendingTokens } = pool;
  const known = { ...(tiers && { tiers }), ...(pendingTokens && { pendingTokens }) };
  return { blocks, ...known, total: request.totalBlocks ?? 0, blockTokens: request.blockTokens ?? 64 };
}

/** The context a scheduler would hand to its plugins. */
export function testContext(pool: TestPool, request: TestRequest = {}): Decision {
  const context = new Decision(pool.table, 10_000, 1);
  context.begin(testView(request), testMatch(pool, request), testNowMs, request.peer ?? -1);
  context.profile = "default";
  context.load.refresh(pool.slots, pool.n, testNowMs);
  context.latency = testLatency(pool, context.view);
  return context;
}

/** The plugin, made beside `others` that it may refer to. */
export function testPlugin(
  type: string,
  parameters: unknown,
  pool: TestPool,
  others: readonly PluginEntry[] = [],
): Plugin {
  const [spec] = new PluginSet([{ type, parameters }, ...others], builtIn, ["plugins"]).all();
  return spec.create!({ table: pool.table, seed: 1, sessionKey: new Uint8Array(32) });
}

/** Scores of endpoints 0, 1, … */
export function scoresOf(plugin: Plugin, pool: TestPool, request?: TestRequest): number[] {
  ok(isScorer(plugin));
  const out = new Float64Array(pool.table.capacity).fill(NaN);
  plugin.score(testContext(pool, request), pool.slots, pool.n, out);
  return [...out.subarray(0, pool.n)];
}

/** Slots a filter keeps. */
export function keptBy(plugin: Plugin, pool: TestPool, request?: TestRequest): number[] {
  ok(isFilter(plugin));
  const slots = pool.slots.slice();
  return [...slots.subarray(0, plugin.keep(testContext(pool, request), slots, pool.n))];
}

/** Whether an admitter takes the request, and when it may be asked again if not. */
export function admittedBy(plugin: Plugin, pool: TestPool, request?: TestRequest): true | Refusal {
  ok(isAdmitter(plugin));
  return plugin.admit(testContext(pool, request), pool.slots, pool.n) ?? true;
}

/** Slots a picker takes for the given scores. */
export function pickedBy(
  plugin: Plugin,
  pool: TestPool,
  context: Decision,
  scores: readonly number[],
  k: number,
): number[] {
  ok(isPicker(plugin));
  const out = new Uint16Array(pool.table.capacity);
  return [...out.subarray(0, plugin.pick(context, pool.slots, pool.n, Float64Array.from(scores), k, out))];
}

/** Numbers equal to 12 digits. */
export function near(actual: readonly number[], expected: readonly number[]): void {
  const same = actual.length === expected.length && actual.every((value, i) => Math.abs(value - expected[i]) < 1e-12);
  ok(same, `[${actual.join(", ")}] is not [${expected.join(", ")}]`);
}
