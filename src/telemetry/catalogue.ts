/** Every metric the router exposes. One table: recording, exposition, dashboards and the reference page read it. */
import {
  doubling,
  itlBuckets,
  latencyBuckets,
  ntpotBuckets,
  processingBuckets,
  ratioBuckets,
  schedulerBuckets,
  scrapeBuckets,
  tokenBuckets,
  tpotBuckets,
  ttftBuckets,
} from "./buckets.ts";
import { cacheCatalogue } from "./catalogue_caches.ts";
import { flowCatalogue } from "./catalogue_flow.ts";
import { keyCatalogue } from "./catalogue_keys.ts";
import { latencyCatalogue } from "./catalogue_latency.ts";
import { resilienceCatalogue } from "./catalogue_resilience.ts";
import { endpointLabels, type MetricDefinition } from "./definition.ts";

export type { MetricDefinition } from "./definition.ts";

/** Prefix of our own names; the rest is the key in the catalogue. */
export const namePrefix = "warmpath_";
/** Prefix under which llm-d exposes the same values. */
export const aliasPrefix = "llm_d_epp_";

const requestLabels = ["model_name", "target_model_name", "fairness_id", "priority"] as const;
const poolLabels = ["name"] as const;
const prefixLabels = ["plugin_name", "plugin_type"] as const;
const inflightAlias = [
  ...endpointLabels,
  ["producer_name", "inflight-load-producer"],
  // Counted per endpoint, not per tenant; an empty label equals an absent one.
  ["fairness_id", ""],
  ["priority", ""],
] as const;

export const catalogue = {
  request_total: {
    type: "counter",
    unit: "requests",
    labels: requestLabels,
    help: "Requests that ended, whatever the outcome.",
    alias: requestLabels,
  },
  request_error_total: {
    type: "counter",
    unit: "requests",
    labels: [...requestLabels, "error_code"],
    help: "Requests that ended in an error, by llm-d's error code.",
    alias: [...requestLabels, "error_code"],
  },
  request_outcome_total: {
    type: "counter",
    unit: "requests",
    labels: ["api", "outcome"],
    help: "Requests by API dialect and by how they ended.",
  },
  request_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: requestLabels,
    buckets: latencyBuckets,
    help: "Time from the request line to the last byte, of completed requests.",
    alias: requestLabels,
  },
  request_size_bytes: {
    type: "histogram",
    unit: "bytes",
    labels: requestLabels,
    buckets: doubling(64, 2 ** 30),
    help: "Size of request bodies.",
    alias: requestLabels,
  },
  response_size_bytes: {
    type: "histogram",
    unit: "bytes",
    labels: requestLabels,
    buckets: tokenBuckets(65_536),
    help: "Size of response bodies, of completed requests.",
    alias: requestLabels,
  },
  request_input_tokens: {
    type: "histogram",
    unit: "tokens",
    labels: requestLabels,
    buckets: tokenBuckets(1_048_576),
    help: "Prompt tokens the engine reported, of completed requests.",
    alias: requestLabels,
  },
  request_cached_tokens: {
    type: "histogram",
    unit: "tokens",
    labels: requestLabels,
    buckets: tokenBuckets(1_048_576),
    help: "Prompt tokens the engine found in its cache, of completed requests.",
    alias: requestLabels,
  },
  request_output_tokens: {
    type: "histogram",
    unit: "tokens",
    labels: requestLabels,
    buckets: tokenBuckets(8192),
    help: "Tokens the engine generated, of completed requests.",
    alias: requestLabels,
  },
  request_running: {
    type: "gauge",
    unit: "requests",
    labels: requestLabels,
    help: "Requests that have been placed and not ended.",
    alias: requestLabels,
  },
  request_ntpot_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: requestLabels,
    buckets: ntpotBuckets,
    help: "Duration of a completed request over its output tokens.",
    alias: requestLabels,
  },
  request_ttft_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: [...requestLabels, "streaming"],
    buckets: ttftBuckets,
    help: "Time from the request line to the first byte of the answer.",
    alias: [...requestLabels, "streaming"],
  },
  request_streaming_tpot_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: requestLabels,
    buckets: tpotBuckets,
    help: "Time after the first token over the tokens after the first, of completed streams.",
    alias: requestLabels,
  },
  request_streaming_itl_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: requestLabels,
    buckets: itlBuckets,
    help: "Time between two chunks of a stream.",
    alias: requestLabels,
  },
  ...resilienceCatalogue,
  endpoint_request_total: {
    type: "counter",
    unit: "requests",
    labels: [...endpointLabels, "outcome"],
    help: "Requests by the endpoint that served them last and by how they ended.",
  },
  scheduler_e2e_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: [],
    buckets: schedulerBuckets,
    help: "Time a decision takes, from the scanned request to the placement.",
    alias: [],
  },
  scheduler_attempts_total: {
    type: "counter",
    unit: "decisions",
    labels: ["status", "target_model_name", "endpoint_name", "namespace", "port"],
    help: "Decisions by success or failure and by the endpoint chosen first.",
    alias: ["status", "target_model_name", "endpoint_name", "namespace", "port"],
  },
  request_processing_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: [],
    buckets: processingBuckets,
    help: "Time the router holds a request before it goes upstream, reading the body included.",
    alias: [],
  },
  model_rewrite_decisions_total: {
    type: "counter",
    unit: "decisions",
    labels: ["model_rewrite_name", "model_name", "target_model"],
    help: "Requests whose model a rule or alias replaced.",
    alias: ["model_rewrite_name", "model_name", "target_model"],
  },
  prefix_indexer_size: {
    type: "gauge",
    unit: "blocks",
    labels: prefixLabels,
    help: "Pairs of prompt block and endpoint in the prefix index.",
    alias: prefixLabels,
  },
  prefix_indexer_hit_ratio: {
    type: "histogram",
    unit: "ratio",
    labels: prefixLabels,
    buckets: ratioBuckets,
    help: "Share of a prompt that the chosen endpoint is believed to hold.",
    alias: prefixLabels,
  },
  prefix_indexer_hit_bytes: {
    type: "histogram",
    unit: "bytes",
    labels: prefixLabels,
    buckets: [0, ...doubling(16, 65_536)],
    help: "Prompt bytes that the chosen endpoint is believed to hold, at four bytes a token.",
    alias: prefixLabels,
  },
  ...cacheCatalogue,
  ...keyCatalogue,
  ...flowCatalogue,
  ...latencyCatalogue,
  average_kv_cache_utilization: {
    type: "gauge",
    unit: "ratio",
    labels: poolLabels,
    help: "Mean KV-cache use over endpoints with a fresh sample.",
    alias: poolLabels,
  },
  average_queue_size: {
    type: "gauge",
    unit: "requests",
    labels: poolLabels,
    help: "Mean of requests queued at endpoints with a fresh sample.",
    alias: poolLabels,
  },
  average_running_requests: {
    type: "gauge",
    unit: "requests",
    labels: poolLabels,
    help: "Mean of requests running at endpoints with a fresh sample.",
    alias: poolLabels,
  },
  std_dev_kv_cache_utilization: {
    type: "gauge",
    unit: "ratio",
    labels: poolLabels,
    help: "Standard deviation of KV-cache use over endpoints with a fresh sample.",
    alias: poolLabels,
  },
  std_dev_queue_size: {
    type: "gauge",
    unit: "requests",
    labels: poolLabels,
    help: "Standard deviation of requests queued over endpoints with a fresh sample.",
    alias: poolLabels,
  },
  std_dev_running_requests: {
    type: "gauge",
    unit: "requests",
    labels: poolLabels,
    help: "Standard deviation of requests running over endpoints with a fresh sample.",
    alias: poolLabels,
  },
  ready_endpoints: {
    type: "gauge",
    unit: "endpoints",
    labels: poolLabels,
    help: "Endpoints that take requests.",
    alias: poolLabels,
  },
  per_endpoint_queue_size: {
    type: "gauge",
    unit: "requests",
    labels: ["name", "model_server_endpoint"],
    help: "Requests queued at an endpoint, in its last sample.",
    alias: ["name", "model_server_endpoint"],
  },
  endpoint_running_requests: {
    type: "gauge",
    unit: "requests",
    labels: endpointLabels,
    help: "Requests running at an endpoint, in its last sample.",
  },
  endpoint_kv_cache_utilization: {
    type: "gauge",
    unit: "ratio",
    labels: endpointLabels,
    help: "KV-cache use of an endpoint, in its last sample.",
  },
  endpoint_sample_age_seconds: {
    type: "gauge",
    unit: "seconds",
    labels: endpointLabels,
    help: "Age of an endpoint's last load sample; absent before the first.",
  },
  endpoint_state: {
    type: "gauge",
    unit: "endpoints",
    labels: [...endpointLabels, "state"],
    help: "1 for the state an endpoint is in.",
  },
  inflight_requests: {
    type: "gauge",
    unit: "requests",
    labels: endpointLabels,
    help: "Requests reserved at an endpoint and not released.",
    alias: inflightAlias,
  },
  inflight_tokens: {
    type: "gauge",
    unit: "tokens",
    labels: endpointLabels,
    help: "Uncached prompt tokens reserved at an endpoint whose first byte has not come.",
    alias: inflightAlias,
  },
  inflight_decode_tokens: {
    type: "gauge",
    unit: "tokens",
    labels: endpointLabels,
    help: "Prompt and expected output tokens reserved at an endpoint.",
  },
  datalayer_poll_errors_total: {
    type: "counter",
    unit: "scrapes",
    labels: ["source_type"],
    help: "Reads of an endpoint's metrics, health or models that failed.",
    alias: ["source_type"],
  },
  datalayer_poll_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: ["source_type"],
    buckets: scrapeBuckets,
    help: "Time a read of an endpoint's metrics, health or models takes.",
  },
  config_reloads_total: {
    type: "counter",
    unit: "reloads",
    labels: ["result"],
    help: "Re-reads of the configuration or endpoint file, by success or failure.",
  },
  edge_restarts_total: {
    type: "counter",
    unit: "restarts",
    labels: [],
    help: "Edge isolates that ended unasked and were replaced.",
  },
  edge_records_dropped_total: {
    type: "counter",
    unit: "records",
    labels: [],
    help: "Claims and outcomes that edges told of and the control isolate had no room for.",
  },
  process_memory_bytes: {
    type: "gauge",
    unit: "bytes",
    labels: ["kind"],
    help: "Memory of the process: resident, heap in use, external.",
  },
  event_loop_lag_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: [],
    buckets: processingBuckets,
    help: "Delay of a timer past its due time: how long the loop was held.",
  },
  info: {
    type: "gauge",
    unit: "builds",
    labels: ["version", "commit", "build_ref"],
    help: "1, with the running build.",
    alias: ["commit", "build_ref"],
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type Catalogue = typeof catalogue;
/** A metric by its name without prefix. */
export type MetricName = keyof Catalogue;
/** One string for each label of a metric, in the catalogue's order. */
export type LabelValues<N extends MetricName> = Strings<Catalogue[N]["labels"]>;
type Strings<T extends readonly string[]> = { readonly [I in keyof T]: string };

/** The reference of all metrics as a Markdown table. */
export function metricsReference(): string {
  const lines = Object.entries<MetricDefinition>(catalogue).map(([name, { type, unit, labels, help, alias }]) => {
    const shownLabels = labels.map((label) => `\`${label}\``).join(", ");
    return `| \`${namePrefix}${name}\` | ${type} | ${unit} | ${shownLabels} | ${alias ? "yes" : ""} | ${help} |`;
  });
  const head = `| Name | Type | Unit | Labels | Also as \`${aliasPrefix}…\` | Meaning |`;
  return [head, "|---|---|---|---|---|---|", ...lines, ""].join("\n");
}
