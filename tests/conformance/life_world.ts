/** A whole pipeline over scripted servers, on a virtual clock: everything real but the sockets. */
import { ok } from "node:assert/strict";
import { setImmediate } from "node:timers";
import { EndpointTable, Prng, RecordRing, secretHash, VirtualClock } from "../../src/core/mod.ts";
import { type FlowConfig, loadConfigText, ModelRewriter, resolveConfig } from "../../src/config/mod.ts";
import { latencyDefaults } from "../../src/config/latency_defaults.ts";
import { FlowDesk } from "../../src/commands/flow_desk.ts";
import { type EdgeLatency, edgeLatency } from "../../src/commands/latency_desk.ts";
import type { FlowEnd } from "../../src/flow/mod.ts";
import { Hotpath } from "../../src/hotpath/mod.ts";
import { Caches, type CacheTicket, claimRingWords, localClaims, type PrefixClaims } from "../../src/kv/mod.ts";
import { LatencyState, Learner } from "../../src/latency/mod.ts";
import { type Caller, KeyGuard, type KeyPlan, KeyRows, QuotaTable } from "../../src/keys/mod.ts";
import { flowOptions, Pipeline } from "../../src/pipeline/mod.ts";
import {
  type DiscoveredEndpoint,
  type Discovery,
  EdgePool,
  HttpStatusError,
  Pool,
  takePoolRecord,
} from "../../src/pool/mod.ts";
import { planFromPolicy, Scheduler } from "../../src/scheduling/mod.ts";
import { Metrics, type RequestRecord, Tracing } from "../../src/telemetry/mod.ts";
import { UpstreamClient } from "../../src/upstream/mod.ts";
import { ScriptedServers } from "./scripted_server.ts";

const slots = 16;
/** Of a bucket that nobody empties. */
export const tokensMax = 1e9;
const blockTokens = 64;
const encoder = new TextEncoder();

/** Endpoints that come and go as the test says. */
class ScriptedDiscovery implements Discovery {
  readonly name = "scripted";
  #change: (desired: readonly DiscoveredEndpoint[]) => void = () => {};
  #present: Set<string>;

  constructor(readonly hosts: readonly string[]) {
    this.#present = new Set(hosts);
  }

  start(onChange: (desired: readonly DiscoveredEndpoint[]) => void): Promise<void> {
    this.#change = onChange;
    this.#tell();
    return Promise.resolve();
  }

  stop(): void {}

  /** Adds the host, or removes it when it is there; one always stays. */
  toggle(host: string): void {
    if (!this.#present.delete(host)) this.#present.add(host);
    if (this.#present.size === 0) this.#present.add(host);
    this.#tell();
  }

  #tell(): void {
    this.#change([...this.#present].map((host) => ({ scheme: "http", host, port: 80, labels: {} })));
  }
}

const metricsPage = encoder.encode(
  "vllm:num_requests_running 3\nvllm:num_requests_waiting 1\nvllm:kv_cache_usage_perc 0.2\n" +
    'vllm:cache_config_info{block_size="16",num_gpu_blocks="400"} 1\n',
);
const modelsPage = encoder.encode(JSON.stringify({ data: ["base", "adapter", "other"].map((id) => ({ id })) }));

const keyIds = ["roomy", "narrow", "shadow"];
/** No limit of tokens is ever reached; of requests in flight two are. */
const keysConfig = resolveConfig(loadConfigText(
  JSON.stringify({
    keys: {
      list: keyIds.map((id) => ({
        id,
        hash: `sha256:${secretHash(id)}`,
        tenant: "shared",
        tokensPerMinute: tokensMax,
        ...(id !== "roomy" && { maxConcurrent: 55 }),
        shadow: id === "shadow",
      })),
      tenants: [{ name: "shared", tokensPerMinute: tokensMax }],
    },
  }),
  "keys.json",
)).keys;

export interface WorldOptions {
  readonly flow?: FlowConfig;
  readonly predicts?: boolean;
}

/** One edge's predictor and who learns from it: every record takes effect at once. */
class WorldLatency {
  readonly state = new LatencyState(slots, 1);
  readonly learner: Learner;
  readonly edge: EdgeLatency;

  constructor(hotpath: Hotpath, clock: VirtualClock, seed: number) {
    const { state } = this;
    const { quantile } = latencyDefaults;
    this.learner = new Learner({
      state,
      table: hotpath.table,
      clock,
      rng: new Prng(seed),
      options: { quantile, rowsMax: 1000 },
      version: () => 0,
    });
    const ring = new RecordRing(1 << 10);
    this.edge = edgeLatency({
      hotpath,
      state,
      ring,
      rung: () => ring.drain((kind, numbers) => void this.learner.take(kind, numbers)),
      isolate: 0,
      setup: { ...latencyDefaults, predicts: true },
    });
  }
}

/** Everything a random life runs in. */
export class LifeWorld {
  readonly clock = new VirtualClock();
  readonly servers: ScriptedServers;
  readonly table: EndpointTable;
  readonly caches: Caches;
  readonly claims: PrefixClaims;
  readonly pool: Pool;
  readonly upstream: UpstreamClient;
  readonly metrics: Metrics;
  readonly pipeline: Pipeline;
  readonly discovery = new ScriptedDiscovery(["a", "b", "c", "d", "e", "f", "g", "h"]);
  /** Access records by the number the request's id ends in. */
  readonly records = new Map<number, RequestRecord[]>();
  readonly quotas = new QuotaTable(8);
  readonly keys: KeyPlan;
  /** Tokens charged, by key. */
  readonly charged = new Map<string, number>();
  /** What clients send requests with: keys, or none. */
  readonly callers: readonly (Caller | undefined)[];
  /** Claims on prefixes that were made and neither confirmed nor withdrawn. */
  unresolvedTickets = 0;
  /** The queue, and how waiting in it ended. */
  readonly flow: FlowDesk | undefined;
  readonly flowEnds = new Map<FlowEnd, number>();
  readonly latency: WorldLatency | undefined;
  #version = 0;
  /** Endpoints that came and went. */
  freedSlots = 0;
  readonly #prng: Prng;

  /** Without `flow` requests never wait; with `predicts` they are placed by predicted latency. */
  static async start(seed: number, { flow, predicts = false }: WorldOptions = {}): Promise<LifeWorld> {
    const sizes = {
      endpoints: slots,
      blockTreeBytes: 1 << 20,
      bodyBytesMax: 1 << 20,
      prefixTokensMax: 131_072,
      forestBytes: predicts ? 1 << 12 : 0,
    };
    const world = new LifeWorld(seed, await Hotpath.load(sizes, seed), { flow, predicts });
    await world.pool.start();
    // Health and model lists, before the first request.
    for (let i = 0; i < 100; i++) await world.tick();
    ok(world.pool.readiness().ready > 0);
    return world;
  }

  private constructor(seed: number, hotpath: Hotpath, { flow, predicts }: WorldOptions) {
    const { clock } = this;
    this.#prng = new Prng(seed);
    this.servers = new ScriptedServers({ clock, seed: seed + 1 });
    this.table = hotpath.table;
    const parts = { tree: hotpath.blockTree, table: this.table, clock, rng: new Prng(seed), source: () => undefined };
    this.caches = new Caches(parts, { blockTokens, ticketsMax: 150 });
    this.claims = localClaims(this.caches, hotpath.blockTree, this.table, blockTokens);
    this.flow = flow && new FlowDesk({
      clock,
      table: this.table,
      setup: { flow, priorities: [] },
      observer: { ended: (_ask, end) => void this.flowEnds.set(end, (this.flowEnds.get(end) ?? 0) + 1) },
      revoke: (_edge, id) => this.pipeline.revoke(id),
    });
    this.latency = predicts ? new WorldLatency(hotpath, clock, seed) : undefined;
    this.pool = this.#buildPool();
    this.upstream = new UpstreamClient({
      clock,
      dial: this.servers.dial,
      connectTimeoutMs: 300,
      firstByteTimeoutMs: 500,
      idleTimeoutMs: 500,
      idleConnectionsMax: 8,
    });
    this.metrics = new Metrics({ version: "test" });
    this.keys = new KeyRows(this.quotas).plan(keysConfig);
    const guard = new KeyGuard({
      table: this.quotas,
      isolate: 0,
      // Stands still: buckets do not refill, so that what is left tells all that was ever drawn.
      clock: new VirtualClock(),
      metrics: {
        keyRefused() {},
        tokensCharged: ({ key, prompt, completion }) =>
          void this.charged.set(key, (this.charged.get(key) ?? 0) + prompt + completion),
      },
    });
    guard.use(this.keys);
    this.callers = [undefined, ...keyIds.map((id) => guard.identify(new Headers({ "x-api-key": id })))];
    const rules = [
      { name: "alias", match: ["alias"], targets: [{ model: "base" }], sticky: "none" as const },
      { name: "split", match: ["split"], targets: [{ model: "base" }, { model: "other" }], sticky: "session" as const },
    ];
    this.pipeline = new Pipeline({
      clock,
      table: this.table,
      hotpath,
      index: {
        match: (blocks) => this.claims.match(blocks),
        speculate: (...args) => this.#speculate(...args),
        feedBlockTokens: (slots, count) => this.claims.feedBlockTokens(slots, count),
        chain: (prompt) => this.claims.chain(prompt),
      },
      pool: this.#edgePool(),
      flow: this.flow?.door(0),
      upstream: this.upstream,
      metrics: this.metrics,
      tracing: new Tracing({ enabled: false, sampleRatio: 0, rng: new Prng(seed) }),
      ended: (record) => this.#ended(record),
      latency: this.latency?.edge.predictor,
      scheduler: new Scheduler(planFromPolicy(predicts ? "predicted" : "default"), {
        table: this.table,
        seed,
        latency: this.latency?.edge.source,
      }),
      models: new ModelRewriter(rules, new Prng(seed)),
      options: {
        attemptsMax: 3,
        retryBudget: { ratio: 0.5, minPerSecond: 1, burst: 100 },
        hedge: { after: 40, promptTokensMax: 4096 },
        firstTokenTimeoutMs: 450,
        continuation: true,
        usage: "always",
        blockTokens,
        prefixEnabled: true,
        objectives: new Map(),
        outputTokensAssumed: 512,
        flow: flow && flowOptions(flow, []),
      },
    });
  }

  /** One millisecond: timers fire, then everything that follows from them settles. */
  async tick(): Promise<void> {
    this.clock.advance(1);
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (this.flow && this.table.version !== this.#version) {
      this.#version = this.table.version;
      this.pipeline.reconsider();
    }
    if (this.#prng.below(20) !== 0) return;
    const { hosts } = this.discovery;
    this.discovery.toggle(hosts[this.#prng.below(hosts.length)]);
  }

  /** Counts each ticket until its first resolution: the index itself forgets tickets by number and with their slot. */
  #speculate(...args: Parameters<PrefixClaims["speculate"]>): CacheTicket {
    const ticket = this.claims.speculate(...args);
    let resolved = false;
    this.unresolvedTickets++;
    const resolve = (how: "confirm" | "withdraw") => {
      if (!resolved) this.unresolvedTickets--;
      resolved = true;
      ticket[how]();
    };
    return {
      confirm: () => resolve("confirm"),
      withdraw: () => resolve("withdraw"),
      reported: (tokens) => ticket.reported(tokens),
    };
  }

  /** The pool as an edge in its isolate has it: every record takes effect at once. */
  #edgePool(): EdgePool {
    const { table, pool } = this;
    const ring = new RecordRing(claimRingWords);
    return new EdgePool({
      table,
      ring,
      rung: () => ring.drain((kind, numbers) => void takePoolRecord(pool, table.generation, kind, numbers)),
      refreshModels: () => pool.refreshModels(),
    });
  }

  #buildPool(): Pool {
    const { clock } = this;
    const prng = this.#prng.fork();
    return new Pool({
      table: this.table,
      clock,
      discovery: [this.discovery],
      prng,
      fetchText: (_target, path) => {
        if (prng.below(50) === 0) return Promise.reject(new HttpStatusError(500, path));
        return Promise.resolve(
          path === "/v1/models" ? modelsPage : path === "/metrics" ? metricsPage : encoder.encode(""),
        );
      },
      options: { health: { intervalMs: 500 }, breaker: { baseMs: 50, probeTimeoutMs: 500 }, drainCheckMs: 5 },
      events: {
        onSlotAdded: (slot) => {
          this.caches.slotAdded(slot);
          this.flow?.slotAdded(slot);
          this.latency?.learner.slotAdded(slot);
        },
        onSample: (slot, requestsBefore) => this.flow?.sampled(slot, requestsBefore),
        onGeometry: (slot, blocks, tokens) => this.caches.geometry(slot, blocks, tokens),
        onSlotFreed: (slot) => {
          this.freedSlots++;
          this.caches.slotFreed(slot);
        },
      },
    });
  }

  #ended(record: RequestRecord): void {
    const life = Number(record.id.slice("life-".length));
    const known = this.records.get(life);
    if (known) known.push(record);
    else this.records.set(life, [record]);
  }
}
