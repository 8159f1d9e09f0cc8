/** The router as one object: every room joined, started, reloaded, drained and stopped. */
import { type Clock, EndpointTable, feedStateNames, Prng, randomSeed, RouterError, systemClock } from "../core/mod.ts";
import { type Config, ModelRewriter } from "../config/mod.ts";
import { Hotpath } from "../hotpath/mod.ts";
import { AccessLog, Logger, Metrics, Tracing, watchLoopLag } from "../telemetry/mod.ts";
import { UpstreamClient } from "../upstream/mod.ts";
import { Scheduler } from "../scheduling/mod.ts";
import { Pool } from "../pool/mod.ts";
import { Caches, hashSeedOf, snapshotService } from "../kv/mod.ts";
import type { ModelStatus, Tokens } from "../tokens/mod.ts";
import { Pipeline, type PipelineParts } from "../pipeline/mod.ts";
import { adminHandler, BodyBudget, edgeHandler, type KeyPair, type ListedModel, Listener } from "../edge/mod.ts";
import { CacheSnapshots } from "./cache_snapshots.ts";
import { collect } from "./collect.ts";
import { discoveries, healthCheck } from "./discovery.ts";
import { feedOf, feedSources, openTokens } from "./knowledge.ts";
import { openKeys, type RouterKeys } from "./key_files.ts";
import { pipelineOptions, readCa, upstreamOptions } from "./options.ts";
import { poolObserver } from "./pool_observer.ts";
import { type ProcessHost, version } from "./process.ts";
import { type SchedulingSetup, schedulingSetup } from "./scheduling.ts";
import { restartKeys } from "./restart_keys.ts";

/** How long a slow client may take over the last bytes of its answer at shutdown. */
const flushMs = 1_000;

export class Router {
  readonly log: Logger;
  readonly pool: Pool;
  readonly table: EndpointTable;
  readonly pipeline: Pipeline;
  readonly metrics: Metrics;
  readonly caches: Caches;
  readonly tokens: Tokens;
  readonly #closeTokens: () => void;
  readonly #snapshots: CacheSnapshots;
  readonly #clock: Clock = systemClock;
  readonly #parts: PipelineParts;
  readonly #upstream: UpstreamClient;
  readonly #keys: RouterKeys;
  readonly #seed: number;
  readonly #sessionKey = crypto.getRandomValues(new Uint8Array(32));
  readonly #stopLag: () => void;
  #config: Config;
  #setup: SchedulingSetup;
  #rewriter: ModelRewriter;
  #edge: Listener | undefined;
  #admin: Listener | undefined;
  #stopping = false;
  #asked = 0;

  /**
   * Builds the router, opens its ports, and waits for the first list of endpoints.
   * Throws ConfigError for what the configuration asks that cannot be done.
   */
  static async start(config: Config, host: Pick<ProcessHost, "out" | "err" | "errIsTerminal">): Promise<Router> {
    const setup = schedulingSetup(config);
    const caCerts = await readCa(config);
    const keys = await openKeys(config);
    const hotpath = await Hotpath.load({
      endpoints: config.pool.capacity,
      blockTreeBytes: config.memory.prefixTreeBytes,
      bodyBytesMax: config.server.bodyBytesMax,
      prefixTokensMax: setup.prefix.tokensMax,
    }, hashSeedOf(setup.prefix.hashSeed));
    const router = new Router(config, setup, hotpath, { caCerts, keys }, host);
    try {
      await router.#listen();
      await router.#snapshots.recall();
      await router.pool.start();
      router.#loadTokenizers();
    } catch (error) {
      await router.stop(0);
      throw error;
    }
    return router;
  }

  private constructor(
    config: Config,
    setup: SchedulingSetup,
    hotpath: Hotpath,
    { caCerts, keys }: { readonly caCerts: string[] | undefined; readonly keys: RouterKeys },
    host: Pick<ProcessHost, "out" | "err" | "errIsTerminal">,
  ) {
    this.#config = config;
    this.#setup = setup;
    this.#keys = keys;
    this.#seed = config.scheduling.seed ?? randomSeed();
    const clock = this.#clock;
    this.log = new Logger({
      write: (line) => host.err(line.trimEnd()),
      clock,
      level: config.observe.logLevel,
      format: host.errIsTerminal ? "text" : "json",
    });
    this.#warn(config, setup);
    const { capacity, buffer, byteOffset } = hotpath.endpointTable;
    this.table = new EndpointTable(capacity, buffer, byteOffset);
    this.#rewriter = new ModelRewriter(config.models.rules, new Prng(this.#seed));
    this.metrics = new Metrics({ version, pinnedModels: this.#rewriter.names });
    this.caches = this.#buildCaches(hotpath, setup, caCerts);
    this.#snapshots = new CacheSnapshots(this.caches, config.snapshot, this.log, clock);
    const { tokens, close } = openTokens(setup.knowledge.tokens, {
      clock,
      caCerts,
      endpoint: (model) => this.#anyEndpoint(model),
      onState: (status) => this.#tokenizerChanged(status),
    });
    this.tokens = tokens;
    this.#closeTokens = close;
    this.pool = this.#buildPool(setup, caCerts);
    this.#upstream = new UpstreamClient({ ...upstreamOptions(config), caCerts, identity: this.#identity });
    const accessLog = new AccessLog({ write: (line) => host.out(line.trimEnd()), clock });
    this.#parts = {
      clock,
      table: this.table,
      hotpath,
      index: this.caches,
      tokenizer: setup.knowledge.tokens.source === "none" && setup.knowledge.tokens.models.length === 0
        ? undefined
        : this.tokens,
      pool: this.pool,
      upstream: this.#upstream,
      metrics: this.metrics,
      tracing: new Tracing({ ...config.tracing, rng: new Prng(randomSeed()) }),
      ended: (record) => {
        if (this.#config.observe.accessLog) accessLog.write(record);
      },
      scheduler: this.#buildScheduler(setup),
      models: this.#rewriter,
      options: pipelineOptions(config, setup),
    };
    this.pipeline = new Pipeline(this.#parts);
    this.metrics.onCollect(() =>
      collect({ table: this.table, caches: this.caches, clock, staleAfterMs: this.#config.pool.load.staleAfterMs })
    );
    this.#stopLag = watchLoopLag(clock, (lagMs) => this.metrics.eventLoopLag(lagMs));
  }

  get port(): number {
    return this.#edge!.port;
  }

  get adminPort(): number {
    return this.#admin!.port;
  }

  get config(): Config {
    return this.#config;
  }

  /**
   * Takes over a new configuration: endpoints, scheduling, models, limits and timeouts change, requests under way go on.
   * Throws ConfigError and changes nothing when the new one cannot be used.
   */
  async reload(config: Config): Promise<void> {
    await Promise.all(Object.values(this.#keys).map((keys) => keys.check()));
    const setup = schedulingSetup(config);
    // Sessions and other state of the plugins live in the scheduler: an equal plan goes on with it.
    const samePlan = JSON.stringify(setup.plan) === JSON.stringify(this.#setup.plan);
    const scheduler = samePlan ? this.#parts.scheduler : this.#buildScheduler(setup);
    await this.pool.setDiscovery([...discoveries(config, this.#clock), ...setup.discovery]);
    // What an EndpointPickerConfig says of prefixes, feeds, token ids and metrics counts, not what stands beside it.
    const counting = (config: Config, { prefix, knowledge }: SchedulingSetup) => ({ ...config, prefix, ...knowledge });
    const kept = restartKeys(counting(this.#config, this.#setup), counting(config, setup));
    if (JSON.stringify(this.#setup.pool) !== JSON.stringify(setup.pool)) kept.push("metrics-data-source");
    if (kept.length > 0) this.log.warn("Some changes take effect at the next start only", { keys: kept });
    this.#warn(config, setup);
    this.#rewriter = new ModelRewriter(config.models.rules, new Prng(this.#seed));
    this.#parts.scheduler = scheduler;
    this.#parts.models = this.#rewriter;
    // The index was built for one block size: hashes of another would never match.
    const { blockTokens } = this.#parts.options;
    this.#parts.options = { ...pipelineOptions(config, setup), blockTokens };
    this.#parts.tracing = new Tracing({ ...config.tracing, rng: new Prng(randomSeed()) });
    this.#upstream.options = { ...this.#upstream.options, ...upstreamOptions(config) };
    this.log.setLevel(config.observe.logLevel);
    this.#config = config;
    this.#setup = setup;
  }

  /** Turns readiness off, lets running requests end for at most `drainTimeoutMs`, then closes everything. */
  async stop(drainTimeoutMs: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const drained = drainTimeoutMs > 0 && await this.#within(drainTimeoutMs, this.pipeline.drain());
    if (drained) {
      // The last bytes of an answer may still be on their way out when its request has ended.
      await this.#within(flushMs, this.#edge?.drain() ?? Promise.resolve());
    } else if (this.pipeline.active > 0) {
      this.log.warn("Requests are cut off as the drain timeout is over", { requests: this.pipeline.active });
    }
    if (drainTimeoutMs > 0) await this.#snapshots.keep();
    await Promise.all([this.#edge?.close(), this.#admin?.close()]);
    for (const keys of Object.values(this.#keys)) keys.stop();
    this.#upstream.close();
    this.pool.stop();
    this.#closeTokens();
    await this.caches.stop();
    this.#stopLag();
  }

  /** Whether `work` ends within `ms`. */
  async #within(ms: number, work: Promise<void>): Promise<boolean> {
    const late = Promise.withResolvers<boolean>();
    const timer = this.#clock.after(ms, () => late.resolve(false));
    try {
      return await Promise.race([work.then(() => true), late.promise]);
    } finally {
      timer.cancel();
    }
  }

  async #listen(): Promise<void> {
    const { server, admin } = this.#config;
    const bodyBytesMax = () => Math.min(this.#config.server.bodyBytesMax, server.bodyBytesMax);
    const bodyBudget = new BodyBudget(() => this.#config.server.bodyMemoryBytes);
    const edge = edgeHandler({
      pipeline: this.pipeline,
      clock: this.#clock,
      models: () => this.#models(),
      bodyBytesMax,
      bodyBudget,
    });
    const pages = adminHandler({
      pipeline: this.pipeline,
      clock: this.#clock,
      metrics: () => this.metrics.render(this.#clock),
      readiness: () => this.#readiness(),
      endpoints: () => this.pool.snapshot().map((row) => ({ ...row, held: this.#held(row.slot) })),
      tokens: () => this.tokens.status(),
      config: () => this.#config,
      saveSnapshot: () => this.#snapshots.save(),
      procedures: snapshotService(this.caches.seedCheck, () => this.caches.snapshot()),
      bodyBytesMax,
      bodyBudget,
    });
    const port = { clock: this.#clock, onError: (error: unknown) => this.#answerFailed(error) };
    const limits = { connectionsMax: server.connectionsMax };
    this.#edge = await Listener.open(edge, { ...server, ...port, limits, tls: this.#keys.server?.pair });
    this.#admin = await Listener.open(pages, { ...admin, ...port, tls: this.#keys.admin?.pair });
    this.#watchKeys("server", (pair) => this.#edge!.renew(pair));
    this.#watchKeys("admin", (pair) => this.#admin!.renew(pair));
    // Asked for at each new connection.
    this.#watchKeys("upstream", () => Promise.resolve());
  }

  /** The certificate shown to model servers. */
  readonly #identity = () => this.#keys.upstream?.pair;

  #watchKeys(name: keyof RouterKeys, onChange: (pair: KeyPair) => Promise<void>): void {
    this.#keys[name]?.watch(this.#clock, {
      onChange,
      onRenewed: (key) => this.log.info("Certificate renewed", { key }),
      onProblem: (key, problem) => this.log.error("Cannot renew a certificate: the old one stays", { key, problem }),
    });
  }

  /** What an endpoint caches, with times as ages: this process's clock says nothing outside it. */
  #held(slot: number): object {
    const status = this.caches.status(slot);
    if (!status.feed) return status;
    const { sinceMs, ...feed } = status.feed;
    return { ...status, feed: { ...feed, inStateMs: this.#clock.now() - sinceMs } };
  }

  /** An answer broke off on its way out. One whose model server was lost has its access line already. */
  #answerFailed(error: unknown): void {
    if (!(error instanceof RouterError)) this.log.error("Cannot finish an answer", { cause: String(error) });
  }

  #readiness() {
    const endpoints = this.pool.readiness();
    const reason = this.#stopping ? "the router is shutting down" : endpoints.ready === 0 ? "no endpoint is ready" : "";
    return { ready: reason === "", reason, endpoints };
  }

  /** The pool's models, and the names that stand for one of them. */
  #models(): ListedModel[] {
    const own = this.pool.models();
    const listed: ListedModel[] = [...own];
    for (const name of this.#rewriter.names) {
      const target = this.#rewriter.targets(name).find((model) => this.pool.hasModel(model));
      if (target !== undefined && !own.some((model) => model.id === name)) listed.push({ id: name, parent: target });
    }
    return listed;
  }

  #buildCaches(hotpath: Hotpath, setup: SchedulingSetup, caCerts: string[] | undefined): Caches {
    const { prefix, knowledge: { feed } } = setup;
    const open = feedSources({ clock: this.#clock, seedCheck: () => this.caches.seedCheck, caCerts });
    return new Caches({
      tree: hotpath.blockTree,
      table: this.table,
      clock: this.#clock,
      rng: new Prng(randomSeed()),
      source: (meta) => open(meta, feedOf(meta, this.#config, feed)),
      onLoad: (slot, sample) => this.pool.pushLoad(slot, sample),
      onFull: (pairs) =>
        this.log.warn("The prefix tree is full and gives up the least used blocks: raise memory.prefixTree", { pairs }),
      onTrouble: (slot, address, cause) =>
        this.log.warn("No link to a feed", { endpoint: this.table.peek(slot)?.id ?? "", address, cause }),
      onState: (slot, to, from, reason) => {
        this.log.info("Feed changed state", {
          endpoint: this.table.peek(slot)?.id ?? "",
          from: feedStateNames[from],
          to: feedStateNames[to],
          reason,
        });
      },
    }, {
      blockTokens: prefix.blockTokens,
      capacityBlocks: prefix.lruCapacityPerServer,
      feed: { reorderMs: feed.reorderWindowMs, graceMs: feed.graceMs },
    });
  }

  /** An endpoint that can be asked about a model: any that is ready, in turn. */
  #anyEndpoint(model: string) {
    const { slots, count } = this.pool.candidates(model);
    if (count === 0) return undefined;
    const meta = this.table.meta(slots[this.#asked++ % count]);
    return { meta, feed: feedOf(meta, this.#config, this.#setup.knowledge.feed) };
  }

  /** Loading takes seconds: begun at the start, so that few prompts are matched by their text meanwhile. */
  #loadTokenizers(): void {
    const { feed, tokens } = this.#setup.knowledge;
    if (feed.kind === "none" && this.#config.endpoints.every(({ feed }) => feed.kind === "none")) return;
    for (const { model, source, directory } of tokens.models) {
      if (directory !== undefined && (source === "directory" || source === "auto")) void this.tokens.warm(model);
    }
  }

  #tokenizerChanged({ model, state, failure }: ModelStatus): void {
    if (state === "tokenizer") this.log.info("Tokenizer loaded", { model });
    else if (state === "mismatch") {
      this.log.warn("A tokenizer's ids differ from the engine's: the engine is asked for ids from now on", { model });
    } else {
      this.log.warn("Cannot load a tokenizer: the engine is asked for ids, else text is matched", {
        model,
        directory: this.#setup.knowledge.tokens.models.find((own) => own.model === model)?.directory,
        cause: failure,
      });
    }
  }

  #buildScheduler(setup: SchedulingSetup): Scheduler {
    return new Scheduler(setup.plan, { table: this.table, seed: this.#seed, sessionKey: this.#sessionKey });
  }

  #buildPool(setup: SchedulingSetup, caCerts: string[] | undefined): Pool {
    const { health, load, ejection, modelsIntervalMs } = this.#config.pool;
    return new Pool({
      table: this.table,
      clock: this.#clock,
      discovery: [...discoveries(this.#config, this.#clock), ...setup.discovery],
      options: {
        engines: setup.pool.engines,
        scrape: {
          path: load.path,
          busyIntervalMs: load.busyIntervalMs,
          idleIntervalMs: load.idleIntervalMs,
          deadlineMs: load.deadlineMs,
          ...setup.pool.scrape,
        },
        health: {
          check: healthCheck({ ...health, kind: "http" }),
          intervalMs: health.intervalMs,
          timeoutMs: health.timeoutMs,
          upThreshold: health.successes,
          downThreshold: health.failures,
          ejectAfter: ejection.enabled ? ejection.failures : Infinity,
          ejectBaseMs: ejection.timeMs,
          ejectMaxMs: ejection.timeMaxMs,
          ejectShareMax: ejection.shareMax,
        },
        models: { intervalMs: modelsIntervalMs },
        http: { caCerts, identity: this.#identity },
      },
      events: {
        onSlotAdded: (slot) => this.caches.slotAdded(slot),
        onGeometry: (slot, blocks, tokens) => this.caches.geometry(slot, blocks, tokens),
        onStarted: (slot, startSeconds) => this.caches.feeds.restartHint(slot, startSeconds),
        onSlotFreed: (slot, { name }) => {
          this.caches.slotFreed(slot);
          this.metrics.forgetEndpoint(name);
        },
      },
      observer: poolObserver(this.log, this.metrics, this.table),
    });
  }

  #warn(config: Config, setup: SchedulingSetup): void {
    for (const warning of [...config.warnings, ...setup.warnings]) this.log.warn(warning);
  }
}
