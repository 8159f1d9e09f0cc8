/** What is asked for at a scrape of the router's own metrics. */
import { breakerStateNames, type Clock, endpointStateNames, type EndpointTable } from "../core/mod.ts";
import type { Caches } from "../kv/mod.ts";
import type { CacheSample, CollectedSample } from "../telemetry/mod.ts";
import type { FlowDesk } from "./flow_desk.ts";
import type { LatencyDesk } from "./latency_desk.ts";
import { latencySample } from "./latency_observer.ts";

export interface Collected {
  readonly table: EndpointTable;
  readonly caches: Caches;
  readonly flow: Pick<FlowDesk, "sample">;
  /** Absent: nothing is predicted. */
  readonly latency?: LatencyDesk;
  readonly clock: Clock;
  readonly staleAfterMs: number;
  /** Times slower than the other endpoints; NaN while too little is known. */
  readonly slowness: (slot: number) => number;
  readonly overloaded: number;
  readonly recordsDropped: number;
}

export function collect(
  { table, caches, flow, latency, clock, staleAfterMs, slowness, overloaded, recordsDropped }: Collected,
): CollectedSample {
  const now = clock.now();
  const endpoints = Array.from(table.slots(), (slot) => {
    const { name, namespace } = table.meta(slot);
    const slower = slowness(slot);
    const sampleAgeMs = table.sampleAgeMs(slot, now);
    return {
      name,
      namespace,
      state: endpointStateNames[table.state[slot]],
      waiting: table.waiting[slot],
      running: table.running[slot],
      kvUsageRatio: table.kvUsage[slot],
      sampleAgeMs,
      fresh: sampleAgeMs <= staleAfterMs,
      requests: Atomics.load(table.requests, slot),
      prefillTokens: Atomics.load(table.prefillTokens, slot),
      decodeTokens: Atomics.load(table.decodeTokens, slot),
      circuit: breakerStateNames[table.breaker[slot]],
      slowness: Number.isNaN(slower) ? undefined : slower,
      cache: cacheSample(caches, slot),
    };
  });
  const { pairs, evicted } = caches.stats();
  const { rss, heapUsed, external } = Deno.memoryUsage();
  return {
    pool: { name: "default", endpoints },
    flow: flow.sample(staleAfterMs),
    latency: latency && latencySample(latency, table, clock),
    prefix: { blocks: pairs, evicted },
    overloaded,
    recordsDropped,
    process: { rssBytes: rss, heapUsedBytes: heapUsed, externalBytes: external },
  };
}

function cacheSample(caches: Caches, slot: number): CacheSample {
  const { blocks, figures, feed } = caches.status(slot);
  const { predictedTokens = 0, actualTokens = 0 } = figures ?? {};
  const sample = { blocks, predictedTokens, reportedTokens: actualTokens };
  if (!feed) return sample;
  const { state, lagMs, counters: { batches, events, ...incidents }, skipped } = feed;
  return { ...sample, feed: { state, lagMs, batches, events, incidents, skipped } };
}
