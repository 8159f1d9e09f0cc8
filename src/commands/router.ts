/** The router as one object: the control isolate and its edges joined, started, reloaded, drained and stopped. */
import { type Clock, type EndpointTable, type KeyPair, Prng, randomSeed, systemClock, within } from "../core/mod.ts";
import { type Config, ModelRewriter, publicConfig } from "../config/mod.ts";
import type { Hotpath, MemorySizes } from "../hotpath/mod.ts";
import { type KeyPlan, keyReport, KeyRows, type QuotaTable } from "../keys/mod.ts";
import { Logger, Metrics } from "../telemetry/mod.ts";
import { Pool } from "../pool/mod.ts";
import { type Caches, hashSeedOf, snapshotService } from "../kv/mod.ts";
import { adminHandler, BodyBudget, Listener } from "../edge/mod.ts";
import { CacheSnapshots } from "./cache_snapshots.ts";
import { openCaches } from "./caches.ts";
import { collect } from "./collect.ts";
import { discoveries } from "./discovery.ts";
import { Edge } from "./edge.ts";
import { makeBuffers, type SharedBuffers, SharedCells } from "./edge_shared.ts";
import { EdgeNews } from "./edge_news.ts";
import { Edges } from "./edges.ts";
import { openKeys, type RouterKeys, watchKeys } from "./key_files.ts";
import { feedOf } from "./knowledge.ts";
import { layOut, memorySizes } from "./memory.ts";
import { flowSetup, readCa } from "./options.ts";
import { poolObserver } from "./pool_observer.ts";
import { poolOptions } from "./pool_options.ts";
import { FlowDesk, flowObservers } from "./flow_desk.ts";
import { type ProcessHost, version } from "./process.ts";
import { type SchedulingSetup, schedulingSetup } from "./scheduling.ts";
import { restartKeys } from "./restart_keys.ts";
import { type OpenLatency, openLatency } from "./latency_desk.ts";
import { freePort, portableConfig } from "./worker_start.ts";
import { WorkerEdge } from "./worker_edge.ts";

type Host = Pick<ProcessHost, "out" | "err" | "errIsTerminal">;

export class Router {
  readonly log: Logger;
  readonly pool: Pool;
  readonly table: EndpointTable;
  readonly metrics: Metrics;
  readonly caches: Caches;
  readonly edges: Edges;
  readonly flow: FlowDesk;
  /** Absent: nothing is predicted. */
  readonly latency: OpenLatency | undefined;
  readonly #host: Host;
  readonly #hotpath: Hotpath;
  readonly #sizes: MemorySizes;
  readonly #buffers: SharedBuffers;
  readonly #certificates: RouterKeys;
  readonly #quotas: QuotaTable;
  readonly #keyRows: KeyRows;
  readonly #news: EdgeNews;
  readonly #snapshots: CacheSnapshots;
  readonly #clock: Clock = systemClock;
  readonly #seed: number;
  /** What sockets and memory were made from: an edge that is started later is made from the same. */
  readonly #started: Config;
  readonly #sessionKey = crypto.getRandomValues(new Uint8Array(32));
  #config: Config;
  #setup: SchedulingSetup;
  #keyPlan: KeyPlan;
  #epoch = 0;
  #port = 0;
  #admin: Listener | undefined;
  #stopping = false;

  /**
   * Builds the router, opens its ports, and waits for the first list of endpoints.
   * Throws ConfigError for what the configuration asks that cannot be done.
   */
  static async start(config: Config, host: Host): Promise<Router> {
    const setup = schedulingSetup(config);
    const tls = { caCerts: await readCa(config), certificates: await openKeys(config) };
    const sizes = memorySizes(config, setup);
    const hotpath = await layOut(sizes, setup);
    const router = new Router(config, setup, hotpath, sizes, tls, host);
    try {
      await router.#openEdges();
      await router.#openAdmin();
      await router.#snapshots.recall();
      await router.latency?.files.begin();
      await router.pool.start();
      await router.#news.tell();
      router.latency?.desk.governor.start();
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
    sizes: MemorySizes,
    { caCerts, certificates }: { readonly caCerts: string[] | undefined; readonly certificates: RouterKeys },
    host: Host,
  ) {
    this.#certificates = certificates;
    this.#started = portableConfig(config);
    this.#config = config;
    this.#setup = setup;
    this.#host = host;
    this.#hotpath = hotpath;
    this.#sizes = sizes;
    this.#seed = config.scheduling.seed ?? randomSeed();
    const clock = this.#clock;
    this.log = new Logger({
      write: (line) => host.err(line.trimEnd()),
      clock,
      level: config.observe.logLevel,
      format: host.errIsTerminal ? "text" : "json",
    });
    this.#warn(config, setup);
    this.table = hotpath.table;
    this.#buffers = makeBuffers(sizes.isolates!, sizes.endpoints);
    const { quotas, latency: latencyState } = new SharedCells(this.#buffers, 0, sizes.endpoints);
    this.#quotas = quotas;
    this.#keyRows = new KeyRows(this.#quotas);
    this.#keyPlan = this.#keyRows.plan(config.keys);
    this.#keyRows.commit(this.#keyPlan);
    this.metrics = new Metrics({ version, pinnedModels: this.#pinnedModels(config) });
    this.caches = openCaches(setup, caCerts, {
      tree: hotpath.blockTree,
      table: this.table,
      clock,
      log: this.log,
      feedOf: (meta) => feedOf(meta, this.#config, this.#setup.knowledge.feed),
      onLoad: (slot, sample) => this.pool.pushLoad(slot, sample),
    });
    const rng = new Prng(this.#seed), { log, metrics, table } = this;
    this.latency = openLatency({ clock, table, hotpath, state: latencyState, rng, setup: setup.latency, log, metrics });
    this.#snapshots = new CacheSnapshots(this.caches, config.snapshot, this.log, clock, config.admin.token);
    this.pool = this.#buildPool(setup, caCerts);
    const revoke = (edge: number, id: number) => void this.edges.of(edge)?.revoke(id);
    this.flow = new FlowDesk({ clock, table, setup: flowSetup(config, setup), ...flowObservers(metrics.flow), revoke });
    this.edges = new Edges({
      clock,
      table,
      flow: this.flow,
      latency: this.latency?.desk,
      buffers: this.#buffers,
      claims: this.caches,
      pool: this.pool,
      metrics,
      log,
    });
    const apart = sizes.isolates !== 1;
    this.#news = new EdgeNews({ table, clock, edges: this.edges, flow: this.flow.controller, apart });
    metrics.onCollect(() =>
      collect({
        table,
        caches: this.caches,
        flow: this.flow,
        latency: this.latency?.desk,
        clock,
        staleAfterMs: this.#config.pool.load.staleAfterMs,
        slowness: this.pool.slownesses(),
        overloaded: this.edges.overload,
        recordsDropped: this.edges.dropped,
      })
    );
  }

  get port(): number {
    return this.#port;
  }

  get adminPort(): number {
    return this.#admin!.port;
  }

  get config(): Config {
    return this.#config;
  }

  /**
   * Takes over a new configuration, in all edges at one moment: endpoints, scheduling, models, limits and timeouts change,
   * requests under way go on. Throws ConfigError and changes nothing when the new one cannot be used.
   */
  async reload(config: Config): Promise<void> {
    await Promise.all(Object.values(this.#certificates).map((pair) => pair.check()));
    const setup = schedulingSetup(config);
    const epoch = this.#epoch + 1;
    const keyPlan = this.#keyRows.plan(config.keys);
    await this.edges.prepare(portableConfig(config), epoch, keyPlan);
    await this.pool.setDiscovery([...discoveries(config, this.#clock), ...setup.discovery]);
    await this.#news.tell();
    // What an EndpointPickerConfig says of prefixes, feeds, token ids and metrics counts, not what stands beside it.
    const counting = (config: Config, { prefix, knowledge }: SchedulingSetup) => ({ ...config, prefix, ...knowledge });
    const kept = restartKeys(counting(this.#config, this.#setup), counting(config, setup));
    if (JSON.stringify(this.#setup.pool) !== JSON.stringify(setup.pool)) kept.push("metrics-data-source");
    if (kept.length > 0) this.log.warn("Some changes take effect at the next start only", { keys: kept });
    this.#warn(config, setup);
    this.#config = config;
    this.#setup = setup;
    this.#epoch = epoch;
    this.#keyPlan = keyPlan;
    this.edges.commit(epoch);
    this.flow.use(flowSetup(config, setup));
    this.#keyRows.commit(keyPlan);
    this.log.setLevel(config.observe.logLevel);
  }

  /** Turns readiness off, lets running requests end for at most `drainTimeoutMs`, then closes everything. */
  async stop(drainTimeoutMs: number): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    for (const pair of Object.values(this.#certificates)) pair.stop();
    if (drainTimeoutMs > 0) await this.#drain(drainTimeoutMs);
    if (drainTimeoutMs > 0) await Promise.all([this.#snapshots.keep(), this.latency?.files.keep()]);
    this.flow.controller.stop();
    await Promise.all([this.edges.close(), this.#admin?.close()]);
    this.#news.stop();
    this.latency?.files.stop();
    await this.latency?.desk.governor.stop();
    this.pool.stop();
    await this.caches.stop();
  }

  async #drain(timeoutMs: number): Promise<void> {
    await within(this.#clock, timeoutMs, this.edges.drain());
    const requests = this.edges.active;
    if (requests > 0) this.log.warn("Requests are cut off as the drain timeout is over", { requests });
  }

  async #openEdges(): Promise<void> {
    const { server, workers } = this.#config;
    if (workers === 1) return await this.#openInline();
    // Sharing a port hides that somebody else has it: taken alone first.
    this.#port = freePort(server);
    await this.edges.workers(workers, (isolate, events) => {
      const worker = new WorkerEdge({ ...events, refreshModels: () => this.#refreshModels() });
      return { worker, ready: this.#startWorker(worker, isolate) };
    });
  }

  async #startWorker(worker: WorkerEdge, isolate: number): Promise<void> {
    const clock = this.#clock;
    await worker.init({
      isolate,
      shared: this.#hotpath.shared,
      sizes: this.#sizes,
      hashSeed: hashSeedOf(this.#setup.prefix.hashSeed),
      buffers: this.#buffers,
      config: this.#started,
      keyPlan: this.#keyPlan,
      identity: this.#certificates.upstream?.pair,
      endpoints: this.#news.all(),
      seed: this.#seed,
      sessionKey: this.#sessionKey,
      pinnedModels: [...this.#pinnedModels(this.#started)],
      originMs: clock.wallMs() - clock.now(),
      logFormat: this.#host.errIsTerminal ? "text" : "json",
    });
    // What was reloaded since, and while that is told.
    for (let told = 0; told !== this.#epoch;) {
      told = this.#epoch;
      await worker.prepare(portableConfig(this.#config), told, this.#keyPlan);
    }
    await worker.listen({ port: this.#port, shared: true, tls: this.#certificates.server?.pair });
  }

  async #openInline(): Promise<void> {
    const { cells, rung, flow, join } = this.edges.inline();
    const edge = await Edge.create({
      clock: this.#clock,
      hotpath: this.#hotpath,
      cells,
      rung,
      keyPlan: this.#keyPlan,
      identity: this.#certificates.upstream?.pair,
      seed: this.#seed,
      sessionKey: this.#sessionKey,
      metrics: this.metrics,
      log: this.log,
      out: (line) => this.#host.out(line),
      refreshModels: () => this.pool.refreshModels(),
      flow,
    }, this.#config);
    join(edge);
    const { server } = this.#config;
    this.#port = await edge.listen({ port: server.port, shared: false, tls: this.#certificates.server?.pair });
  }

  async #openAdmin(): Promise<void> {
    const { server, admin } = this.#config;
    const pages = adminHandler({
      explain: (request) => this.edges.any().explain(request),
      metrics: async () => await this.metrics.render(this.#clock, await this.edges.dumps()),
      readiness: () => this.#readiness(),
      endpoints: () =>
        this.pool.snapshot().map((row) => ({
          ...row,
          held: this.#held(row.slot),
          flow: this.flow.place(row.slot),
        })),
      flow: () => this.flow.explain(),
      latency: (pairsMax) => this.latency?.desk.explain(pairsMax),
      drain: (id, drained) => drained ? this.pool.drain(id) : this.pool.undrain(id),
      tokens: async () => (await this.edges.any().status()).tokens,
      config: () => publicConfig(this.#config),
      keys: () => keyReport(this.#keyPlan, this.#quotas, this.#clock.now()),
      access: () => this.#config.admin,
      saveSnapshot: () => this.#snapshots.save(),
      procedures: snapshotService(this.caches.seedCheck, () => this.caches.snapshot()),
      bodyBytesMax: () => Math.min(this.#config.server.bodyBytesMax, server.bodyBytesMax),
      bodyBudget: new BodyBudget(() => this.#config.server.bodyMemoryBytes),
    });
    const onError = (error: unknown) => this.log.error("Cannot finish an admin answer", { cause: String(error) });
    const tls = this.#certificates.admin?.pair;
    this.#admin = await Listener.open(pages, { host: admin.host, port: admin.port, tls, clock: this.#clock, onError });
    this.#keepCertificates();
  }

  /** Certificates are looked at every few seconds, and shown to new connections once they changed. */
  #keepCertificates(): void {
    const renew = async (of: "server" | "upstream", pair: KeyPair) =>
      await this.edges.tell((door) => door.renew(of, pair));
    const onChange = {
      server: (pair: KeyPair) => renew("server", pair),
      upstream: (pair: KeyPair) => renew("upstream", pair),
      admin: async (pair: KeyPair) => await this.#admin!.renew(pair),
    };
    watchKeys(this.#certificates, this.#clock, this.log, onChange);
  }

  /** What an endpoint caches, with times as ages: this process's clock says nothing outside it. */
  #held(slot: number): object {
    const status = this.caches.status(slot);
    if (!status.feed) return status;
    const { sinceMs, ...feed } = status.feed;
    return { ...status, feed: { ...feed, inStateMs: this.#clock.now() - sinceMs } };
  }

  #readiness() {
    const endpoints = this.pool.readiness();
    const edges = this.edges.listening;
    const reason = this.#stopping
      ? "the router is shutting down"
      : edges === 0
      ? "no edge is running"
      : endpoints.ready === 0
      ? "no endpoint is ready"
      : "";
    return { ready: reason === "", reason, endpoints, edges: { running: edges, wanted: this.#config.workers } };
  }

  async #refreshModels(): Promise<void> {
    await this.pool.refreshModels();
    await this.#news.tell();
  }

  #pinnedModels(config: Config): Iterable<string> {
    return new ModelRewriter(config.models.rules, new Prng(this.#seed)).names;
  }

  #buildPool(setup: SchedulingSetup, caCerts: string[] | undefined): Pool {
    this.table.onChange = () => this.#news.tellSoon();
    return new Pool({
      table: this.table,
      clock: this.#clock,
      discovery: [...discoveries(this.#config, this.#clock), ...setup.discovery],
      options: poolOptions(
        this.#config,
        setup,
        caCerts,
        () => this.#config.upstream.authorization,
        () => this.#certificates.upstream?.pair,
      ),
      events: {
        onSlotAdded: (slot) => {
          this.caches.slotAdded(slot);
          this.flow.slotAdded(slot);
          this.latency?.desk.slotAdded(slot);
        },
        onSample: (slot, requestsBefore) => this.flow.sampled(slot, requestsBefore),
        onGeometry: (slot, blocks, tokens) => this.caches.geometry(slot, blocks, tokens),
        onStarted: (slot, startSeconds) => this.caches.feeds.restartHint(slot, startSeconds),
        onMeta: () => this.#news.tellSoon(),
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
