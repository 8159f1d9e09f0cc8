/** Metrics of what is known of caches: feeds, blocks, predictions. */
import { endpointLabels, type MetricDefinition } from "./definition.ts";

export const cacheCatalogue = {
  prompt_source_total: {
    type: "counter",
    unit: "requests",
    labels: ["source", "reason"],
    help:
      "Prompts by where their blocks come from (token ids by source, or text) and why text was taken where an endpoint has a feed.",
  },
  feed_state: {
    type: "gauge",
    unit: "endpoints",
    labels: [...endpointLabels, "state"],
    help: "1 for the state of an endpoint's feed: LIVE, RESYNC, SUSPECT or BLIND; absent without a feed.",
  },
  feed_batches_total: {
    type: "counter",
    unit: "batches",
    labels: endpointLabels,
    help: "Batches of KV-cache events received.",
  },
  feed_events_total: { type: "counter", unit: "events", labels: endpointLabels, help: "KV-cache events applied." },
  feed_incidents_total: {
    type: "counter",
    unit: "incidents",
    labels: [...endpointLabels, "kind"],
    help:
      "What befell a feed: gaps, replays, restarts, duplicates, orphans, orphansLost, unknownRemovals, reconnects, snapshots, distrusts, strays.",
  },
  feed_skipped_total: {
    type: "counter",
    unit: "events",
    labels: [...endpointLabels, "reason"],
    help: "KV-cache events that were not used, by reason.",
  },
  feed_lag_seconds: {
    type: "gauge",
    unit: "seconds",
    labels: endpointLabels,
    help: "Time from the publisher's clock to ours at the last batch.",
  },
  cached_blocks: {
    type: "gauge",
    unit: "blocks",
    labels: [...endpointLabels, "tier"],
    help: "Blocks an endpoint is known to hold, by tier, and those believed from routing history alone.",
  },
  prefix_evicted_blocks_total: {
    type: "counter",
    unit: "blocks",
    labels: [],
    help:
      "Pairs of block and endpoint given up as memory.prefixTree is full: what is known of caches is incomplete by them.",
  },
  prefix_predicted_tokens_total: {
    type: "counter",
    unit: "tokens",
    labels: endpointLabels,
    help: "Cached prompt tokens the router expected, of requests whose engine reported them.",
  },
  prefix_reported_tokens_total: {
    type: "counter",
    unit: "tokens",
    labels: endpointLabels,
    help: "Cached prompt tokens the engine reported.",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
