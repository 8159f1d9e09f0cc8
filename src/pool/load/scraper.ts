/** Keeps the load columns of the endpoint table fresh by scraping: often while there is something to see, seldom while not. */
import { type Clock, type EndpointTable, type Prng, reasonOf, type Timer } from "../../core/mod.ts";
import type { FetchText } from "../http.ts";
import type { PoolObserver } from "../observer.ts";
import type { Dialects } from "./dialects.ts";
import { type LoadSample, SampleReader } from "./sample.ts";

export interface ScrapeOptions {
  /** @default {"/metrics"} */
  readonly path: string;
  /** Port of the metrics where it is not the endpoint's own. @default {undefined} */
  readonly port?: number;
  /** Between scrapes of an endpoint with requests of ours or of others. @default {50} */
  readonly busyIntervalMs: number;
  /** Between scrapes of an idle or failing endpoint, reached by doubling. @default {2000} */
  readonly idleIntervalMs: number;
  /** Each wait is drawn from ± this share, so that endpoints do not fall into step. @default {0.1} */
  readonly jitterRatio: number;
  /** @default {1000} */
  readonly deadlineMs: number;
  /** A longer page is an error. A page with many adapters and models is around 1 MB. @default {8 MiB} */
  readonly pageBytesMax: number;
  /**
   * Scrapes a second over all busy endpoints together. Busy endpoints beyond `scrapesPerSecondMax × busyIntervalMs / 1000`
   * (20 by default) are scraped less often each: reservations already tell this router's own load in between.
   * @default {400}
   */
  readonly scrapesPerSecondMax: number;
}

export const scrapeDefaults: ScrapeOptions = {
  path: "/metrics",
  busyIntervalMs: 50,
  idleIntervalMs: 2000,
  jitterRatio: 0.1,
  deadlineMs: 1000,
  pageBytesMax: 8 << 20,
  scrapesPerSecondMax: 400,
};

/**
 * An endpoint that pushes is scraped this many idle intervals apart, for what pushes leave out (adapters, custom
 * metrics). After two missed heartbeats of 5 s it is scraped as any other.
 */
const pushedIntervals = 4;
const pushFreshMs = 10_000;

/** How scraping one endpoint goes. */
export interface ScrapeStatus {
  readonly scrapes: number;
  readonly errors: number;
  readonly intervalMs: number;
  /** Of the last scrape, when that failed. */
  readonly lastError?: string;
}

/** Load an endpoint told of itself the moment it changed; what is absent did not. */
export interface PushedLoad {
  readonly waiting?: number;
  readonly running?: number;
  /** 0 to 1. */
  readonly kvUsage?: number;
  readonly cacheBlocks?: number;
  readonly cacheBlockTokens?: number;
}

/** Where one endpoint's metrics are, if not where the options say. */
export type MetricsPlace = Partial<Pick<ScrapeOptions, "path" | "port">>;

interface Target {
  readonly slot: number;
  readonly from: MetricsPlace;
  timer?: Timer;
  /** Present while a scrape runs: there is never a second one. */
  running?: AbortController;
  intervalMs: number;
  busy: boolean;
  failing: boolean;
  startedAtMs: number;
  /** Last push or heartbeat. */
  pushedAtMs: number;
  scrapes: number;
  errors: number;
  lastError?: string;
}

export interface ScraperParts {
  readonly table: EndpointTable;
  readonly clock: Clock;
  readonly prng: Prng;
  readonly dialects: Dialects;
  readonly fetchText: FetchText;
  readonly options?: Partial<ScrapeOptions>;
  readonly observer?: PoolObserver;
  /**
   * Load columns of a slot are new. `requestsBefore`: our requests there when they were asked for; undefined: they could not
   * be had.
   */
  readonly onSample?: (slot: number, requestsBefore: number | undefined) => void;
  /** The cache size of an endpoint became known or changed. */
  readonly onGeometry?: (slot: number, cacheBlocks: number, cacheBlockTokens: number) => void;
  /** Adapters or attributes of an endpoint were read, and may have changed. */
  readonly onMeta?: () => void;
  /** The endpoint's process started at this Unix time; said after each scrape that tells it. */
  readonly onStarted?: (slot: number, startSeconds: number) => void;
}

/**
 * One timer an endpoint. A sample that fails leaves the columns as they were, so that their age grows; an endpoint never
 * sampled keeps `sampleAtMs` at NaN.
 */
export class LoadScraper {
  readonly options: ScrapeOptions;
  readonly #parts: ScraperParts;
  readonly #readers = new Map<string, SampleReader>();
  readonly #targets: (Target | undefined)[] = [];
  #busyCount = 0;

  constructor(parts: ScraperParts) {
    this.#parts = parts;
    this.options = { ...scrapeDefaults, ...parts.options };
  }

  /** Starts scraping a slot, at once. */
  track(slot: number, from: MetricsPlace = {}): void {
    this.untrack(slot);
    const target: Target = {
      slot,
      from,
      intervalMs: this.options.busyIntervalMs,
      busy: false,
      failing: false,
      startedAtMs: -Infinity,
      pushedAtMs: -Infinity,
      scrapes: 0,
      errors: 0,
    };
    this.#targets[slot] = target;
    this.#schedule(target, 0);
  }

  untrack(slot: number): void {
    const target = this.#targets[slot];
    if (!target) return;
    this.#targets[slot] = undefined;
    this.#setBusy(target, false);
    target.timer?.cancel();
    target.running?.abort(new Error("The endpoint is no longer scraped"));
  }

  stop(): void {
    for (let slot = 0; slot < this.#targets.length; slot++) this.untrack(slot);
  }

  /**
   * A request was reserved at the slot: an endpoint scraped seldom because it was idle is looked at again now; one whose
   * scrapes fail keeps its back-off. Cheap enough for every request.
   */
  poke(slot: number): void {
    const target = this.#targets[slot];
    if (!target || target.busy || target.failing || this.#pushes(target)) return;
    this.#setBusy(target, true);
    target.intervalMs = this.options.busyIntervalMs;
    if (target.running) return;
    const sinceMs = this.#parts.clock.now() - target.startedAtMs;
    this.#schedule(target, Math.max(0, this.options.busyIntervalMs - sinceMs));
  }

  /** Takes over what the endpoint told; an empty `load` says that nothing has changed. */
  pushed(slot: number, load: PushedLoad): void {
    const target = this.#targets[slot];
    if (!target) return;
    const { table, clock } = this.#parts;
    const nowMs = clock.now();
    target.pushedAtMs = nowMs;
    if (load.waiting !== undefined) table.waiting[slot] = load.waiting;
    if (load.running !== undefined) table.running[slot] = load.running;
    if (load.kvUsage !== undefined) table.kvUsage[slot] = load.kvUsage;
    // Only what has told its load before can say that it is unchanged.
    if (load.running !== undefined || !Number.isNaN(table.sampleAtMs[slot])) table.sampleAtMs[slot] = nowMs;
    this.#setGeometry(slot, load.cacheBlocks ?? NaN, load.cacheBlockTokens ?? NaN);
    if (load.waiting !== undefined || load.running !== undefined) {
      this.#parts.onSample?.(slot, Atomics.load(table.requests, slot));
    }
  }

  #pushes(target: Target): boolean {
    return this.#parts.clock.now() - target.pushedAtMs < pushFreshMs;
  }

  status(slot: number): ScrapeStatus | undefined {
    const target = this.#targets[slot];
    if (!target) return undefined;
    const { scrapes, errors, intervalMs, lastError } = target;
    return { scrapes, errors, intervalMs, lastError };
  }

  #schedule(target: Target, delayMs: number): void {
    target.timer?.cancel();
    target.timer = this.#parts.clock.after(delayMs, () => void this.#scrape(target), { background: true });
  }

  #setBusy(target: Target, busy: boolean): void {
    if (target.busy === busy) return;
    target.busy = busy;
    this.#busyCount += busy ? 1 : -1;
  }

  async #scrape(target: Target): Promise<void> {
    const { clock, observer, table } = this.#parts;
    const { slot } = target;
    const running = target.running = new AbortController();
    const startedAtMs = target.startedAtMs = clock.now();
    const requestsBefore = Atomics.load(table.requests, slot);
    const deadline = clock.after(
      this.options.deadlineMs,
      () => running.abort(new Error(`No metrics within ${this.options.deadlineMs} ms`)),
      { background: true },
    );
    let failure: unknown;
    try {
      const sample = await this.#fetchSample(target, running.signal);
      if (this.#targets[slot] !== target) return;
      const overtaken = target.pushedAtMs > startedAtMs;
      this.#store(slot, sample, startedAtMs, overtaken);
      if (!overtaken) this.#parts.onSample?.(slot, requestsBefore);
      target.lastError = undefined;
    } catch (error) {
      if (this.#targets[slot] !== target) return;
      failure = error ?? new Error("The scrape failed");
      target.errors++;
      target.lastError = reasonOf(error);
      this.#parts.onSample?.(slot, undefined);
    } finally {
      deadline.cancel();
      target.running = undefined;
    }
    target.scrapes++;
    observer?.scraped?.(slot, clock.now() - startedAtMs, failure);
    this.#plan(target, failure !== undefined);
  }

  async #fetchSample({ slot, from }: Target, signal: AbortSignal): Promise<LoadSample> {
    const meta = this.#parts.table.meta(slot);
    const { path, port, pageBytesMax } = { ...this.options, ...from };
    const at = port === undefined ? meta : { scheme: meta.scheme, host: meta.host, port };
    const page = await this.#parts.fetchText(at, path, { signal, bytesMax: pageBytesMax });
    const dialect = this.#parts.dialects.of(meta.labels, meta.engine);
    let reader = this.#readers.get(dialect.name);
    if (!reader) this.#readers.set(dialect.name, reader = new SampleReader(dialect));
    const sample = reader.read(page, pageBytesMax, meta.rank);
    if (!sample) throw new Error(`${path} has none of the load metrics of engine "${dialect.name}"`);
    return sample;
  }

  /** What a page does not report keeps its last value; running requests are then taken from our own count. */
  #store(slot: number, sample: LoadSample, startedAtMs: number, overtaken: boolean): void {
    const { table } = this.#parts;
    const meta = table.meta(slot);
    if (sample.adapters) meta.adapters = sample.adapters;
    for (const [key, value] of sample.attributes) meta.attributes.set(key, value);
    if (sample.adapters || sample.attributes.length > 0) this.#parts.onMeta?.();
    this.#setGeometry(slot, sample.cacheBlocks, sample.cacheBlockTokens);
    if (!Number.isNaN(sample.startSeconds)) this.#parts.onStarted?.(slot, sample.startSeconds);
    // What was pushed while the page was on its way is newer.
    if (overtaken) return;
    const waiting = Number.isNaN(sample.waiting) ? table.waiting[slot] : sample.waiting;
    const ownRunning = Math.max(0, Atomics.load(table.requests, slot) - waiting);
    table.waiting[slot] = waiting;
    table.running[slot] = Number.isNaN(sample.running) ? ownRunning : sample.running;
    if (!Number.isNaN(sample.kvUsage)) table.kvUsage[slot] = sample.kvUsage;
    // Stamped with the start: the engine may have written the page at any time since.
    table.sampleAtMs[slot] = startedAtMs;
  }

  /** NaN leaves what is known. */
  #setGeometry(slot: number, cacheBlocks: number, cacheBlockTokens: number): void {
    const { table, onGeometry } = this.#parts;
    const blocks = Number.isNaN(cacheBlocks) ? table.cacheBlocks[slot] : cacheBlocks;
    const tokens = Number.isNaN(cacheBlockTokens) ? table.cacheBlockTokens[slot] : cacheBlockTokens;
    if (blocks === table.cacheBlocks[slot] && tokens === table.cacheBlockTokens[slot]) return;
    table.cacheBlocks[slot] = blocks;
    table.cacheBlockTokens[slot] = tokens;
    onGeometry?.(slot, blocks, tokens);
  }

  #plan(target: Target, failed: boolean): void {
    const { table, prng } = this.#parts;
    const { slot } = target;
    const { busyIntervalMs, idleIntervalMs, jitterRatio, scrapesPerSecondMax } = this.options;
    const ours = Atomics.load(table.requests, slot) > 0;
    target.failing = failed;
    const pushes = !failed && this.#pushes(target);
    this.#setBusy(target, !failed && !pushes && (ours || table.waiting[slot] + table.running[slot] > 0));
    target.intervalMs = target.busy
      ? Math.max(busyIntervalMs, this.#busyCount * 1000 / scrapesPerSecondMax)
      : pushes
      ? pushedIntervals * idleIntervalMs
      : Math.min(idleIntervalMs, target.intervalMs * 2);
    this.#schedule(target, target.intervalMs * (1 + jitterRatio * (2 * prng.float() - 1)));
  }
}
