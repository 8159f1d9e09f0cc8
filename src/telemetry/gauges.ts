import type { MetricName } from "./catalogue.ts";
import type { FlowSample } from "./flow_series.ts";
import type { LatencySample } from "./latency_series.ts";
import type { MetricStore } from "./store.ts";

/** What is known of an endpoint's cache, and of the feed that tells of it. Counters grow from the endpoint's start. */
export interface CacheSample {
  /** Blocks by tier, `routed` for those known from routing history alone. */
  readonly blocks: Readonly<Record<string, number>>;
  /** Cached prompt tokens expected and reported, of the same requests. */
  readonly predictedTokens: number;
  readonly reportedTokens: number;
  /** Absent without a feed. */
  readonly feed?: {
    readonly state: string;
    /** NaN before the first batch. */
    readonly lagMs: number;
    readonly batches: number;
    readonly events: number;
    /** By kind. */
    readonly incidents: Readonly<Record<string, number>>;
    /** By reason. */
    readonly skipped: Readonly<Record<string, number>>;
  };
}

/** One endpoint as the pool sees it now. */
export interface EndpointSample {
  readonly name: string;
  readonly namespace: string;
  /** `starting`, `ready`, `draining`, `unhealthy`. */
  readonly state: string;
  /** Of the last load sample; NaN before the first. */
  readonly waiting: number;
  readonly running: number;
  /** Share of KV cache in use, 0 to 1. */
  readonly kvUsageRatio: number;
  readonly sampleAgeMs: number;
  /** Whether the sample is recent enough to count. */
  readonly fresh: boolean;
  /** Reserved and not released. */
  readonly requests: number;
  readonly prefillTokens: number;
  readonly decodeTokens: number;
  /** State of its circuit, and times slower than the others. */
  readonly circuit?: string;
  readonly slowness?: number;
  readonly cache?: CacheSample;
}

/** What is asked for at a scrape; absent parts show nothing. */
export interface CollectedSample {
  readonly pool?: { readonly name: string; readonly endpoints: readonly EndpointSample[] };
  readonly flow?: FlowSample;
  readonly latency?: LatencySample;
  readonly prefix?: { readonly blocks: number; readonly evicted: number };
  /** How much is refused: 0 nothing, 1 negative priorities, 2 everything. */
  readonly overloaded?: number;
  /** Records of edges that found no room. */
  readonly recordsDropped?: number;
  readonly process?: { readonly rssBytes: number; readonly heapUsedBytes: number; readonly externalBytes: number };
}

const collected = [
  "average_kv_cache_utilization",
  "average_queue_size",
  "average_running_requests",
  "std_dev_kv_cache_utilization",
  "std_dev_queue_size",
  "std_dev_running_requests",
  "ready_endpoints",
  "per_endpoint_queue_size",
  "endpoint_running_requests",
  "endpoint_kv_cache_utilization",
  "endpoint_sample_age_seconds",
  "endpoint_state",
  "endpoint_circuit",
  "endpoint_slowness",
  "inflight_requests",
  "inflight_tokens",
  "inflight_decode_tokens",
  "feed_state",
  "feed_batches_total",
  "feed_events_total",
  "feed_incidents_total",
  "feed_skipped_total",
  "feed_lag_seconds",
  "cached_blocks",
  "prefix_predicted_tokens_total",
  "prefix_reported_tokens_total",
  "prefix_indexer_size",
  "process_memory_bytes",
] as const satisfies readonly MetricName[];

/** Replaces every gauge that describes now: what is gone from the sample is gone from the scrape. */
export function fillGauges(
  store: MetricStore,
  { pool, prefix, overloaded, recordsDropped, process }: CollectedSample,
): void {
  for (const name of collected) store.family(name).clear();
  if (pool) {
    fillPool(store, pool.name, pool.endpoints);
    for (const endpoint of pool.endpoints) fillEndpoint(store, pool.name, endpoint);
  }
  if (prefix) {
    const plugin = "approx-prefix-cache-producer";
    store.series("prefix_indexer_size", plugin, plugin).set(prefix.blocks);
    store.series("prefix_evicted_blocks_total").set(prefix.evicted);
  }
  if (recordsDropped !== undefined) store.series("edge_records_dropped_total").set(recordsDropped);
  if (overloaded !== undefined) store.series("overloaded").set(overloaded);
  if (process) {
    store.series("process_memory_bytes", "rss").set(process.rssBytes);
    store.series("process_memory_bytes", "heap_used").set(process.heapUsedBytes);
    store.series("process_memory_bytes", "external").set(process.externalBytes);
  }
}

function fillPool(store: MetricStore, name: string, endpoints: readonly EndpointSample[]): void {
  store.series("ready_endpoints", name).set(endpoints.filter(({ state }) => state === "ready").length);
  const fresh = endpoints.filter(({ fresh }) => fresh);
  // With no fresh sample nothing is known: no average is better than one of zero.
  if (fresh.length === 0) return;
  const kvUsage = moments(fresh.map(({ kvUsageRatio }) => kvUsageRatio));
  const waiting = moments(fresh.map(({ waiting }) => waiting));
  const running = moments(fresh.map(({ running }) => running));
  store.series("average_kv_cache_utilization", name).set(kvUsage.mean);
  store.series("std_dev_kv_cache_utilization", name).set(kvUsage.deviation);
  store.series("average_queue_size", name).set(waiting.mean);
  store.series("std_dev_queue_size", name).set(waiting.deviation);
  store.series("average_running_requests", name).set(running.mean);
  store.series("std_dev_running_requests", name).set(running.deviation);
}

function fillEndpoint(store: MetricStore, pool: string, endpoint: EndpointSample): void {
  const labels = [endpoint.name, endpoint.namespace] as const;
  store.series("endpoint_state", ...labels, endpoint.state).set(1);
  if (endpoint.circuit !== undefined) store.series("endpoint_circuit", ...labels, endpoint.circuit).set(1);
  if (endpoint.slowness !== undefined) store.series("endpoint_slowness", ...labels).set(endpoint.slowness);
  store.series("inflight_requests", ...labels).set(endpoint.requests);
  store.series("inflight_tokens", ...labels).set(endpoint.prefillTokens);
  store.series("inflight_decode_tokens", ...labels).set(endpoint.decodeTokens);
  if (endpoint.cache) fillCache(store, labels, endpoint.cache);
  if (Number.isNaN(endpoint.sampleAgeMs)) return;
  store.series("endpoint_sample_age_seconds", ...labels).set(endpoint.sampleAgeMs / 1000);
  store.series("per_endpoint_queue_size", pool, endpoint.name).set(endpoint.waiting);
  store.series("endpoint_running_requests", ...labels).set(endpoint.running);
  store.series("endpoint_kv_cache_utilization", ...labels).set(endpoint.kvUsageRatio);
}

function fillCache(store: MetricStore, labels: readonly [string, string], cache: CacheSample): void {
  for (const [tier, blocks] of Object.entries(cache.blocks)) store.series("cached_blocks", ...labels, tier).set(blocks);
  store.series("prefix_predicted_tokens_total", ...labels).set(cache.predictedTokens);
  store.series("prefix_reported_tokens_total", ...labels).set(cache.reportedTokens);
  const { feed } = cache;
  if (!feed) return;
  store.series("feed_state", ...labels, feed.state).set(1);
  store.series("feed_batches_total", ...labels).set(feed.batches);
  store.series("feed_events_total", ...labels).set(feed.events);
  if (!Number.isNaN(feed.lagMs)) store.series("feed_lag_seconds", ...labels).set(feed.lagMs / 1000);
  for (const [kind, count] of Object.entries(feed.incidents)) {
    store.series("feed_incidents_total", ...labels, kind).set(count);
  }
  for (const [reason, count] of Object.entries(feed.skipped)) {
    store.series("feed_skipped_total", ...labels, reason).set(count);
  }
}

/** Mean and standard deviation of the whole, not of a sample. */
function moments(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}
