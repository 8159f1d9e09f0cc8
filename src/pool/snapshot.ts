/** One endpoint as an operator reads it. */
import { endpointStateNames, type EndpointTable, type ServedModel } from "../core/mod.ts";
import type { BreakerStatus } from "./breaker_types.ts";
import type { HealthStatus } from "./health.ts";
import type { ScrapeStatus } from "./load/scraper.ts";

/** Plain data, ready for JSON: `null` stands for what is not known. */
export interface EndpointSnapshot {
  readonly slot: number;
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly url: string;
  readonly state: typeof endpointStateNames[number];
  readonly engine: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly models: readonly ServedModel[];
  readonly adapters: { readonly running: string[]; readonly waiting: string[]; readonly max: number };
  readonly attributes: Readonly<Record<string, number>>;
  /** The last good sample; null when there was none. */
  readonly load: {
    readonly waiting: number;
    readonly running: number;
    readonly kvUsageRatio: number;
    readonly ageMs: number;
  } | null;
  readonly cache: { readonly blocks: number; readonly blockTokens: number } | null;
  readonly inFlight: { readonly requests: number; readonly prefillTokens: number; readonly decodeTokens: number };
  readonly totalRequests: number;
  /** Failed requests in a row. */
  readonly failures: number;
  readonly health: HealthStatus | null;
  readonly breaker: BreakerStatus | null;
  readonly scrape: ScrapeStatus | null;
  /** Of health, scraping and models, in this order: the first that is failing now. */
  readonly lastError: string | null;
}

/** What the watchers of an endpoint say of it. */
export interface WatchStatus {
  readonly health?: HealthStatus;
  readonly breaker?: BreakerStatus;
  readonly scrape?: ScrapeStatus;
  readonly modelsError?: string;
}

export function snapshotEndpoint(
  table: EndpointTable,
  slot: number,
  nowMs: number,
  watch: WatchStatus,
): EndpointSnapshot {
  const meta = table.meta(slot);
  const ageMs = table.sampleAgeMs(slot, nowMs);
  const { running, waiting, max } = meta.adapters;
  return {
    slot,
    id: meta.id,
    name: meta.name,
    namespace: meta.namespace,
    url: `${meta.scheme}://${meta.host}:${meta.port}`,
    state: endpointStateNames[table.state[slot]],
    engine: meta.engine,
    labels: meta.labels,
    models: meta.models,
    adapters: { running: [...running], waiting: [...waiting], max },
    attributes: Object.fromEntries(meta.attributes),
    load: ageMs === Infinity ? null : {
      waiting: table.waiting[slot],
      running: table.running[slot],
      kvUsageRatio: table.kvUsage[slot],
      ageMs,
    },
    cache: table.cacheBlocks[slot] === 0 && table.cacheBlockTokens[slot] === 0
      ? null
      : { blocks: table.cacheBlocks[slot], blockTokens: table.cacheBlockTokens[slot] },
    inFlight: {
      requests: Atomics.load(table.requests, slot),
      prefillTokens: Atomics.load(table.prefillTokens, slot),
      decodeTokens: Atomics.load(table.decodeTokens, slot),
    },
    totalRequests: Atomics.load(table.totalRequests, slot) >>> 0,
    failures: Atomics.load(table.failures, slot),
    health: watch.health ?? null,
    breaker: watch.breaker ?? null,
    scrape: watch.scrape ?? null,
    lastError: currentError(watch),
  };
}

function currentError({ health, scrape, modelsError }: WatchStatus): string | null {
  if (health && health.down > 0) return health.lastError ?? null;
  return scrape?.lastError ?? modelsError ?? null;
}
