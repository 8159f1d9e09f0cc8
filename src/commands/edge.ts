/** One edge isolate's half of the router: it takes requests, decides in shared memory, and streams. */
import { type Clock, type EndpointTable, type KeyPair, Prng, randomSeed, RouterError, within } from "../core/mod.ts";
import { type Config, ModelRewriter } from "../config/mod.ts";
import type { Hotpath } from "../hotpath/mod.ts";
import { AccessLog, type Logger, type Metrics, type MetricsDump, Tracing, watchLoopLag } from "../telemetry/mod.ts";
import { UpstreamClient } from "../upstream/mod.ts";
import { Scheduler } from "../scheduling/mod.ts";
import { EdgePool, type MirrorUpdate } from "../pool/mod.ts";
import { KeyGuard, type KeyPlan } from "../keys/mod.ts";
import { PrefixClaims } from "../kv/mod.ts";
import type { ModelStatus, Tokens, TokensStatus } from "../tokens/mod.ts";
import { type FlowQueue, Pipeline, type PipelineParts } from "../pipeline/mod.ts";
import {
  BodyBudget,
  edgeHandler,
  explainDecision,
  type Explained,
  type ExplainRequest,
  type ListedModel,
  Listener,
  OverloadGuard,
} from "../edge/mod.ts";
import type { SharedCells } from "./edge_shared.ts";
import { feedOf, openTokens } from "./knowledge.ts";
import { type EdgeLatency, edgeLatency } from "./latency_desk.ts";
import { predictionObserver } from "./latency_observer.ts";
import { pipelineOptions, readCa, upstreamOptions } from "./options.ts";
import { type SchedulingSetup, schedulingSetup } from "./scheduling.ts";

/** How long a slow client may take over the last bytes of its answer at shutdown. */
const flushMs = 1_000;

/** What an edge is made of besides its configuration. */
export interface EdgeParts {
  readonly clock: Clock;
  readonly hotpath: Hotpath;
  readonly cells: SharedCells;
  /** A record was written to the ring. */
  readonly rung: () => void;
  /** Of the configuration it starts with. */
  readonly keyPlan: KeyPlan;
  /** Shown to model servers that ask; changed by `renew`. */
  readonly identity?: KeyPair;
  /** Of decisions: every edge has the same, so that all decide alike. */
  readonly seed: number;
  /** Of opaque session tokens: one edge accepts what another gave out. */
  readonly sessionKey: Uint8Array;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Writes a line of the access log. */
  readonly out: (line: string) => void;
  readonly refreshModels: () => Promise<void>;
  /** Where requests wait for an endpoint with room. */
  readonly flow: FlowQueue;
}

/** Where to listen; several edges share a port. */
export interface EdgeAddress {
  readonly port: number;
  readonly shared: boolean;
  /** Absent: in the clear. */
  readonly tls?: KeyPair;
}

/** What an edge says of itself. */
export interface EdgeStatus {
  readonly tokens: TokensStatus;
}

/** What the control isolate asks of an edge, in whatever isolate it runs. */
export interface EdgeDoor {
  listen(address: EdgeAddress): Promise<number>;
  mirror(updates: readonly MirrorUpdate[]): Promise<void>;
  prepare(config: Config, epoch: number, keyPlan: KeyPlan): Promise<void>;
  /** New connections get this certificate: of clients, or to model servers. Rejects when it cannot be used. */
  renew(of: "server" | "upstream", pair: KeyPair): Promise<void>;
  explain(request: ExplainRequest): Promise<Explained>;
  /** Endpoints came, went or changed: what waits for one is looked at again. */
  reconsider(): Promise<void>;
  /** Takes back the place of a request whose answer has not begun, by the number it was placed with. */
  revoke(id: number): Promise<void>;
  dump(): Promise<MetricsDump>;
  status(): Promise<EdgeStatus>;
  /** Refuses new requests; resolves when running ones have ended and their last bytes are on their way. */
  drain(): Promise<void>;
  close(): Promise<void>;
}

/** A configuration made ready, to be taken over by the first request after its epoch came. */
interface Next {
  readonly config: Config;
  readonly setup: SchedulingSetup;
  readonly keyPlan: KeyPlan;
  readonly scheduler: Scheduler | undefined;
}

export class Edge implements EdgeDoor {
  readonly pipeline: Pipeline;
  readonly #parts: EdgeParts;
  readonly #table: EndpointTable;
  readonly #pool: EdgePool;
  readonly #pipelineParts: PipelineParts;
  readonly #upstream: UpstreamClient;
  readonly #keys: KeyGuard;
  readonly #overload: OverloadGuard;
  readonly #tokens: Tokens;
  readonly #closeTokens: () => void;
  readonly #stopLag: () => void;
  readonly #latency: EdgeLatency | undefined;
  #config: Config;
  #setup: SchedulingSetup;
  #rewriter: ModelRewriter;
  /** By epoch, those that are not in force yet. */
  readonly #next = new Map<number, Next>();
  /** Of the configuration in force here; that of the start has 0. */
  #epoch = 0;
  #identity: KeyPair | undefined;
  #listener: Listener | undefined;
  #asked = 0;

  /** Throws ConfigError for what the configuration asks that cannot be done. */
  static async create(parts: EdgeParts, config: Config): Promise<Edge> {
    return new Edge(parts, config, schedulingSetup(config), await readCa(config));
  }

  private constructor(parts: EdgeParts, config: Config, setup: SchedulingSetup, caCerts: string[] | undefined) {
    this.#parts = parts;
    this.#config = config;
    this.#setup = setup;
    const { clock, hotpath, cells: { ring, quotas, isolate, latency: state }, rung, refreshModels } = parts;
    const { table } = hotpath;
    this.#table = table;
    if (setup.latency.enabled) {
      const { latency } = parts.metrics;
      this.#latency = edgeLatency({
        hotpath,
        state,
        ring,
        rung,
        isolate,
        setup: setup.latency,
        observer: predictionObserver(parts.metrics, table, setup.latency.quantile),
        timing: {
          clock,
          predicted: ({ model, requestedModel }, tookMs) =>
            latency.predicted({ model, requestedModel: requestedModel || model }, tookMs),
        },
      });
    }
    this.#pool = new EdgePool({ table, ring, rung, refreshModels });
    this.#keys = new KeyGuard({ table: quotas, isolate, clock, metrics: parts.metrics });
    this.#keys.use(parts.keyPlan);
    this.#rewriter = new ModelRewriter(config.models.rules, new Prng(parts.seed));
    const { tokens, close } = openTokens(setup.knowledge.tokens, {
      clock,
      caCerts,
      endpoint: (model) => this.#anyEndpoint(model),
      onState: (status) => this.#tokenizerChanged(status),
      authorization: () => this.#config.upstream.authorization,
    });
    this.#tokens = tokens;
    this.#closeTokens = close;
    this.#identity = parts.identity;
    this.#upstream = new UpstreamClient({
      ...upstreamOptions(config),
      caCerts,
      clock,
      // Asked for at each new connection.
      identity: () => this.#identity,
    });
    this.#pipelineParts = this.#join();
    this.pipeline = new Pipeline(this.#pipelineParts);
    this.#overload = new OverloadGuard(
      config.server.overload,
      () => this.pipeline.active,
      (reason, negative) => {
        parts.metrics.shed(reason, negative ? "negative" : "other");
        this.#tellOverload();
      },
    );
    this.#stopLag = watchLoopLag(clock, (lagMs) => this.#lagged(lagMs));
  }

  async listen({ port, shared, tls }: EdgeAddress): Promise<number> {
    // Bounds of the router are shared out: connections are spread evenly.
    const { server, workers } = this.#config;
    const { clock } = this.#parts;
    const handler = edgeHandler({
      pipeline: this.pipeline,
      clock,
      models: () => this.#models(),
      // Memory was laid out for the limit of the start.
      bodyBytesMax: () => Math.min(this.#config.server.bodyBytesMax, server.bodyBytesMax),
      bodyBudget: new BodyBudget(() => this.#config.server.bodyMemoryBytes / workers),
      keys: this.#keys,
      overload: this.#overload,
    });
    this.#listener = await Listener.open((request) => {
      this.#adopt();
      return handler(request);
    }, {
      host: server.host,
      port,
      reusePort: shared,
      tls,
      clock,
      limits: { connectionsMax: Math.ceil(server.connectionsMax / workers) },
      onError: (error) => this.#answerFailed(error),
    });
    this.#loadTokenizers();
    return this.#listener.port;
  }

  async renew(of: "server" | "upstream", pair: KeyPair): Promise<void> {
    if (of === "upstream") this.#identity = pair;
    else await this.#listener?.renew(pair);
  }

  mirror(updates: readonly MirrorUpdate[]): Promise<void> {
    for (const { slot, generation, meta } of updates) {
      const before = this.#table.peek(slot);
      this.#table.mirror(slot, generation, meta);
      if (before && before.id !== meta?.id) this.#parts.metrics.forgetEndpoint(before.name);
    }
    return Promise.resolve();
  }

  /** Makes a configuration ready; it counts from the moment the shared epoch has this number. Throws ConfigError. */
  prepare(config: Config, epoch: number, keyPlan: KeyPlan): Promise<void> {
    const setup = schedulingSetup(config);
    // Sessions and other state of the plugins live in the scheduler: an equal plan goes on with it.
    const samePlan = JSON.stringify(setup.plan) === JSON.stringify(this.#setup.plan);
    const scheduler = samePlan ? undefined : this.#buildScheduler(setup);
    this.#next.set(epoch, { config, setup, keyPlan, scheduler });
    // One that was given up was never in force.
    for (const other of this.#next.keys()) if (other < epoch - 1) this.#next.delete(other);
    return Promise.resolve();
  }

  async explain(request: ExplainRequest): Promise<Explained> {
    this.#adopt();
    return await explainDecision(this.pipeline, this.#parts.clock, request);
  }

  reconsider(): Promise<void> {
    this.pipeline.reconsider();
    return Promise.resolve();
  }

  revoke(id: number): Promise<void> {
    this.pipeline.revoke(id);
    return Promise.resolve();
  }

  dump(): Promise<MetricsDump> {
    return Promise.resolve(this.#parts.metrics.dump());
  }

  status(): Promise<EdgeStatus> {
    return Promise.resolve({ tokens: this.#tokens.status() });
  }

  async drain(): Promise<void> {
    await this.pipeline.drain();
    await within(this.#parts.clock, flushMs, this.#listener?.drain());
  }

  async close(): Promise<void> {
    await this.#listener?.close();
    this.#upstream.close();
    this.#closeTokens();
    this.#stopLag();
  }

  #lagged(lagMs: number): void {
    this.#parts.metrics.eventLoopLag(lagMs);
    this.#overload.lag(lagMs);
    this.#tellOverload();
  }

  #tellOverload(): void {
    Atomics.store(this.#parts.cells.overload, 0, this.#overload.level);
  }

  /** Takes over the configuration that is in force, if it is another than before: one load of an integer a request. */
  #adopt(): void {
    const epoch = Atomics.load(this.#parts.cells.epoch, 0);
    if (epoch === this.#epoch) return;
    const next = this.#next.get(epoch);
    if (!next) return;
    const { config } = next;
    // What is learned is learned for the quantile of the start.
    const { quantile } = this.#setup.latency;
    const setup = { ...next.setup, latency: { ...next.setup.latency, quantile } };
    this.#keys.use(next.keyPlan);
    this.#overload.limits = config.server.overload;
    this.#epoch = epoch;
    this.#next.clear();
    this.#rewriter = new ModelRewriter(config.models.rules, new Prng(this.#parts.seed));
    const parts = this.#pipelineParts;
    if (next.scheduler) parts.scheduler = next.scheduler;
    this.#latency?.use(setup.latency);
    parts.models = this.#rewriter;
    // The index was built for one block size: hashes of another would never match.
    parts.options = { ...pipelineOptions(config, setup), blockTokens: parts.options.blockTokens };
    parts.tracing = new Tracing({ ...config.tracing, rng: new Prng(randomSeed()) });
    this.#upstream.options = { ...this.#upstream.options, ...upstreamOptions(config) };
    this.#parts.log.setLevel(config.observe.logLevel);
    this.#config = config;
    this.#setup = setup;
  }

  #join(): PipelineParts {
    const { clock, hotpath, cells: { ring, active }, rung, metrics, out } = this.#parts;
    const config = this.#config, setup = this.#setup;
    const accessLog = new AccessLog({ write: out, clock });
    const { tokens } = setup.knowledge;
    const { blockTokens } = setup.prefix;
    return {
      clock,
      table: this.#table,
      hotpath,
      index: new PrefixClaims(hotpath.blockTree, this.#table, blockTokens, ring, rung),
      tokenizer: tokens.source === "none" && tokens.models.length === 0 ? undefined : this.#tokens,
      pool: this.#pool,
      flow: this.#parts.flow,
      latency: this.#latency?.predictor,
      upstream: this.#upstream,
      metrics,
      tracing: new Tracing({ ...config.tracing, rng: new Prng(randomSeed()) }),
      ended: (record) => {
        if (this.#config.observe.accessLog) accessLog.write(record);
      },
      scheduler: this.#buildScheduler(setup),
      models: this.#rewriter,
      options: pipelineOptions(config, setup),
      active,
    };
  }

  #buildScheduler({ plan }: SchedulingSetup): Scheduler {
    const { seed, sessionKey } = this.#parts;
    return new Scheduler(plan, { table: this.#table, seed, sessionKey, latency: this.#latency?.source });
  }

  /** An answer broke off on its way out. One whose model server was lost has its access line already. */
  #answerFailed(error: unknown): void {
    if (!(error instanceof RouterError)) this.#parts.log.error("Cannot finish an answer", { cause: String(error) });
  }

  /** The pool's models, and the names that stand for one of them. */
  #models(): ListedModel[] {
    const own = this.#pool.models();
    const listed: ListedModel[] = [...own];
    for (const name of this.#rewriter.names) {
      const target = this.#rewriter.targets(name).find((model) => this.#pool.hasModel(model));
      if (target !== undefined && !own.some((model) => model.id === name)) listed.push({ id: name, parent: target });
    }
    return listed;
  }

  /** An endpoint that can be asked about a model: any that is ready, in turn. */
  #anyEndpoint(model: string) {
    const { slots, count } = this.#pool.candidates(model);
    if (count === 0) return undefined;
    const meta = this.#table.meta(slots[this.#asked++ % count]);
    return { meta, feed: feedOf(meta, this.#config, this.#setup.knowledge.feed) };
  }

  /** Loading takes seconds: begun at the start, so that few prompts are matched by their text meanwhile. */
  #loadTokenizers(): void {
    const { feed, tokens } = this.#setup.knowledge;
    if (feed.kind === "none" && this.#config.endpoints.every(({ feed }) => feed.kind === "none")) return;
    for (const { model, source, directory } of tokens.models) {
      if (directory !== undefined && (source === "directory" || source === "auto")) void this.#tokens.warm(model);
    }
  }

  #tokenizerChanged({ model, state, failure }: ModelStatus): void {
    const { log } = this.#parts;
    if (state === "tokenizer") log.info("Tokenizer loaded", { model });
    else if (state === "mismatch") {
      log.warn("A tokenizer's ids differ from the engine's: the engine is asked for ids from now on", { model });
    } else {
      log.warn("Cannot load a tokenizer: the engine is asked for ids, else text is matched", {
        model,
        directory: this.#setup.knowledge.tokens.models.find((own) => own.model === model)?.directory,
        cause: failure,
      });
    }
  }
}
