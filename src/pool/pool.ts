/** The pool: which endpoints exist and how they are. Keeps the endpoint table in step with discovery, health, load and models. */
import {
  type AttemptReport,
  type Clock,
  type EndpointMeta,
  EndpointState,
  type EndpointTable,
  Prng,
  randomSeed,
  type Timer,
} from "../core/mod.ts";
import { type DiscoveredEndpoint, type Discovery, type HealthCheck, toMeta } from "./discovery/discovery.ts";
import { Breakers } from "./breakers.ts";
import type { BreakerOptions } from "./breaker_types.ts";
import { Health, type HealthOptions } from "./health.ts";
import { type FetchText, HttpFetcher, type HttpOptions } from "./http.ts";
import { type DialectOptions, Dialects } from "./load/dialects.ts";
import { LoadScraper, type PushedLoad, type ScrapeOptions } from "./load/scraper.ts";
import { ModelDirectory, type ModelOptions } from "./models.ts";
import type { PoolObserver } from "./observer.ts";
import { Probes } from "./probes.ts";
import { type EndpointSnapshot, snapshotEndpoint } from "./snapshot.ts";
import { DiscoverySet } from "./discovery/set.ts";

export interface PoolOptions {
  readonly engines?: Partial<DialectOptions>;
  readonly scrape?: Partial<ScrapeOptions>;
  readonly health?: Partial<HealthOptions>;
  readonly breaker?: Partial<BreakerOptions>;
  readonly models?: Partial<ModelOptions>;
  readonly http?: HttpOptions;
  /** Between looks at whether draining endpoints have no requests left. @default {100} */
  readonly drainCheckMs?: number;
}

/** What other rooms derive from the pool. */
export interface PoolEvents {
  /** A new endpoint took the slot. */
  onSlotAdded?(slot: number): void;
  /** The endpoint is gone and the slot may be given to another: what is known of it by slot must go. */
  onSlotFreed?(slot: number, meta: EndpointMeta): void;
  /** KV cache of an endpoint, in engine blocks and tokens a block; 0 for what it does not report. */
  onGeometry?(slot: number, cacheBlocks: number, cacheBlockTokens: number): void;
  /** See `ScraperParts.onSample`. */
  onSample?(slot: number, requestsBefore: number | undefined): void;
  /** Adapters or attributes of some endpoint were read, and may have changed. */
  onMeta?(): void;
  /** The endpoint's process started at this Unix time; said again and again. */
  onStarted?(slot: number, startSeconds: number): void;
}

export interface PoolParts {
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly discovery: readonly Discovery[];
  readonly options?: PoolOptions;
  readonly events?: PoolEvents;
  readonly observer?: PoolObserver;
  /** Spreads timers. @default {seeded by the system} */
  readonly prng?: Prng;
  /** @default {an HttpFetcher of the pool's own} */
  readonly fetchText?: FetchText;
}

/** What discovery said of an endpoint in the table. */
interface Member {
  readonly found: DiscoveredEndpoint;
  readonly check: HealthCheck;
}

/**
 * Joins the parts and applies what discovery wants: an endpoint that stays keeps its slot, counters and samples; one that
 * leaves takes no new requests and goes when its last request has ended.
 */
export class Pool {
  readonly #table: EndpointTable;
  readonly #clock: Clock;
  readonly #events: PoolEvents;
  readonly #observer: PoolObserver;
  readonly #drainCheckMs: number;
  readonly #dialects: Dialects;
  readonly #fetcher?: HttpFetcher;
  readonly #probes: Probes;
  readonly #scraper: LoadScraper;
  readonly #health: Health;
  readonly #breakers: Breakers;
  readonly #models: ModelDirectory;
  readonly #discovery: DiscoverySet;
  readonly #members: (Member | undefined)[] = [];
  /** Ids of endpoints drained by hand: they stay out until they are undrained or no longer discovered. */
  readonly #held = new Set<string>();
  #drainTimer?: Timer;
  #stopped = false;

  /** @throws {ConfigError} When an engine is described wrongly. */
  constructor(parts: PoolParts) {
    const { table, clock, options = {}, observer = {} } = parts;
    this.#table = table;
    this.#clock = clock;
    this.#events = parts.events ?? {};
    this.#observer = observer;
    this.#drainCheckMs = options.drainCheckMs ?? 100;
    this.#dialects = new Dialects(options.engines);
    if (!parts.fetchText) this.#fetcher = new HttpFetcher(options.http);
    const fetchText = parts.fetchText ?? this.#fetcher!.fetch;
    const prng = parts.prng ?? new Prng(randomSeed());
    this.#probes = new Probes(fetchText);
    this.#models = new ModelDirectory({ table, clock, prng: prng.fork(), fetchText, options: options.models });
    this.#scraper = new LoadScraper({
      table,
      clock,
      prng: prng.fork(),
      dialects: this.#dialects,
      fetchText,
      options: options.scrape,
      observer,
      onSample: (slot, requestsBefore) => this.#events.onSample?.(slot, requestsBefore),
      onGeometry: (slot, blocks, tokens) => this.#events.onGeometry?.(slot, blocks, tokens),
      onMeta: () => this.#events.onMeta?.(),
      onStarted: (slot, startSeconds) => this.#events.onStarted?.(slot, startSeconds),
    });
    this.#health = new Health({
      table,
      clock,
      prng: prng.fork(),
      probe: this.#probes.probe,
      options: options.health,
      observer,
      onReady: (slot) => {
        this.#breakers.ready(slot);
        this.#models.onReady(slot);
      },
      onLost: () => this.#breakers.lost(),
    });
    this.#breakers = new Breakers({
      table,
      clock,
      options: options.breaker,
      onOpen: (slot, reason, message, backoffMs) => {
        this.#health.eject(slot, message, backoffMs);
        observer.ejected?.(table.meta(slot).id, reason, message, backoffMs);
      },
    });
    this.#discovery = new DiscoverySet(
      parts.discovery,
      observer,
      (desired, complete) => this.#apply(desired, complete),
    );
  }

  /** Resolves once every source gave its first list or tried. @throws {ConfigError} When a source is written wrongly. */
  start(): Promise<void> {
    return this.#discovery.start();
  }

  /** Ends timers, connections and sources. Endpoints stay in the table: requests may still run. */
  stop(): void {
    this.#stopped = true;
    this.#discovery.stop();
    this.#health.stop();
    this.#breakers.stop();
    this.#scraper.stop();
    this.#models.stop();
    this.#drainTimer?.cancel();
    this.#probes.close();
    this.#fetcher?.close();
  }

  /**
   * Replaces the sources. Endpoints that both name stay as they are.
   *
   * @throws {ConfigError} When a new source is written wrongly: the old ones go on.
   */
  setDiscovery(discovery: readonly Discovery[]): Promise<void> {
    return this.#discovery.replace(discovery);
  }

  readiness(): { readonly ready: number; readonly total: number } {
    let ready = 0, total = 0;
    for (const slot of this.#table.slots()) {
      if (this.#table.state[slot] === EndpointState.Ready) ready++;
      if (this.#table.state[slot] !== EndpointState.Draining) total++;
    }
    return { ready, total };
  }

  /** How a request went; see {@link Breakers.report}. */
  report(report: AttemptReport): void {
    this.#breakers.report(report);
  }

  /** See {@link Breakers.slownesses}. */
  slownesses(): (slot: number) => number {
    return this.#breakers.slownesses();
  }

  /** A request was reserved at the slot; see {@link LoadScraper.poke}. */
  poke(slot: number): void {
    this.#scraper.poke(slot);
  }

  /** Load the endpoint told of itself; see {@link LoadScraper.pushed}. */
  pushLoad(slot: number, load: PushedLoad): void {
    this.#scraper.pushed(slot, load);
  }

  refreshModels(): Promise<void> {
    return this.#models.refreshModels();
  }

  /** By hand: the endpoint takes no new requests, running ones finish. False when there is none with this id. */
  drain(id: string): boolean {
    const slot = this.#table.slotOf(id);
    if (slot < 0) return false;
    this.#held.add(id);
    this.#drain(slot, "drained by hand");
    return true;
  }

  /** Ends what `drain` began. False when the endpoint was not drained by hand. */
  undrain(id: string): boolean {
    if (!this.#held.delete(id)) return false;
    const slot = this.#table.slotOf(id);
    this.#restart(slot, this.#members[slot]!, "undrained by hand");
    return true;
  }

  /** Every endpoint with everything known of it, for operators. */
  snapshot(): EndpointSnapshot[] {
    const slownessOf = this.#breakers.slownesses();
    return Array.from(this.#table.slots(), (slot) =>
      snapshotEndpoint(this.#table, slot, this.#clock.now(), {
        health: this.#health.status(slot),
        breaker: this.#breakers.status(slot, slownessOf),
        scrape: this.#scraper.status(slot),
        modelsError: this.#models.lastError(slot),
      }));
  }

  /** With `complete` false some source has not spoken yet: nothing is taken away then. */
  #apply(desired: ReadonlyMap<string, DiscoveredEndpoint>, complete: boolean): void {
    if (this.#stopped) return;
    if (complete) {
      for (const slot of [...this.#table.slots()]) {
        const { id } = this.#table.meta(slot);
        if (desired.has(id)) continue;
        this.#held.delete(id);
        this.#drain(slot, "no longer discovered");
      }
      this.#finishDraining();
    }
    let left = 0;
    for (const [id, found] of desired) {
      const slot = this.#table.slotOf(id);
      if (slot >= 0) this.#update(slot, found);
      else if (!this.#add(found)) left++;
    }
    if (left === 0) return;
    this.#observer.problem?.(`Cannot add ${left} endpoints as the table holds at most ${this.#table.capacity}`);
  }

  #member(found: DiscoveredEndpoint): Member {
    return { found, check: found.health ?? this.#health.options.check };
  }

  #add(found: DiscoveredEndpoint): boolean {
    const slot = this.#table.add(toMeta(found, this.#dialects.of(found.labels, found.engine).name));
    if (slot < 0) return false;
    const member = this.#members[slot] = this.#member(found);
    this.#events.onSlotAdded?.(slot);
    this.#watch(slot, member);
    return true;
  }

  #watch(slot: number, member: Member): void {
    this.#models.track(slot, member.found.models);
    this.#scraper.track(slot, member.found.metrics);
    this.#breakers.track(slot);
    this.#health.track(slot, member.check);
  }

  #update(slot: number, found: DiscoveredEndpoint): void {
    const before = this.#members[slot], member = this.#member(found);
    const draining = this.#table.state[slot] === EndpointState.Draining;
    if (!draining && before && same(before.found, found)) return;
    const old = this.#table.meta(slot);
    const meta = toMeta(found, this.#dialects.of(found.labels, found.engine).name);
    const kept: Pick<EndpointMeta, "models" | "adapters" | "attributes"> = old;
    this.#table.replaceMeta(slot, {
      ...meta,
      models: kept.models,
      adapters: kept.adapters,
      attributes: kept.attributes,
    });
    this.#members[slot] = member;
    if (this.#held.has(meta.id)) return;
    if (draining) return this.#restart(slot, member, "discovered again");
    this.#models.track(slot, found.models);
    if (!same(before?.found.metrics, found.metrics)) this.#scraper.track(slot, found.metrics);
    if (before && before.found.scheme === found.scheme && same(before.check, member.check)) return;
    if (before) this.#probes.forget(old, before.check);
    this.#health.track(slot, member.check);
  }

  #restart(slot: number, member: Member, reason: string): void {
    this.#table.setState(slot, EndpointState.Starting);
    const { id } = this.#table.meta(slot);
    this.#observer.stateChanged?.(id, EndpointState.Draining, EndpointState.Starting, reason);
    this.#watch(slot, member);
  }

  #drain(slot: number, reason: string): void {
    const from = this.#table.state[slot] as EndpointState;
    if (from === EndpointState.Draining) return;
    this.#unwatch(slot);
    this.#table.setState(slot, EndpointState.Draining);
    this.#breakers.lost();
    this.#observer.stateChanged?.(this.#table.meta(slot).id, from, EndpointState.Draining, reason);
  }

  #unwatch(slot: number): void {
    this.#health.untrack(slot);
    this.#breakers.untrack(slot);
    this.#scraper.untrack(slot);
    this.#models.untrack(slot);
    const member = this.#members[slot];
    if (member) this.#probes.forget(this.#table.meta(slot), member.check);
  }

  /** Frees the slots of draining endpoints without requests, and looks again later for the others. */
  #finishDraining(): void {
    let draining = 0;
    for (const slot of [...this.#table.slots()]) {
      const meta = this.#table.meta(slot);
      if (this.#table.state[slot] !== EndpointState.Draining || this.#held.has(meta.id)) continue;
      if (Atomics.load(this.#table.requests, slot) > 0) {
        draining++;
        continue;
      }
      this.#table.remove(slot);
      this.#members[slot] = undefined;
      this.#observer.stateChanged?.(meta.id, EndpointState.Draining, EndpointState.Free, "its last request has ended");
      this.#events.onSlotFreed?.(slot, meta);
    }
    this.#drainTimer?.cancel();
    this.#drainTimer = undefined;
    if (draining === 0 || this.#stopped) return;
    this.#drainTimer = this.#clock.after(this.#drainCheckMs, () => {
      const before = this.#table.size;
      this.#finishDraining();
      // Endpoints that found the table full may fit now.
      if (this.#table.size < before) this.#discovery.apply();
    }, { background: true });
  }
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
