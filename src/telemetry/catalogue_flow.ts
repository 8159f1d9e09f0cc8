/** Metrics of flow control: what waits, for how long, and what of the pool is in use. Names and labels are llm-d's where it has the series. */
import { dispatchBuckets, queueBuckets, revocationBuckets } from "./buckets.ts";
import type { MetricDefinition } from "./definition.ts";

const pool = ["inference_pool"] as const;
const bandAndPool = ["priority", "inference_pool"] as const;
const queueLabels = ["fairness_id", "priority", "inference_pool", "model_name", "target_model_name"] as const;
const durationLabels = [
  "fairness_id",
  "priority",
  "outcome",
  "inference_pool",
  "model_name",
  "target_model_name",
] as const;
const enqueueLabels = ["fairness_id", "priority", "outcome"] as const;

export const flowCatalogue = {
  flow_control_request_queue_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: durationLabels,
    buckets: queueBuckets,
    help: "Time a request that found no room waited, by how that ended; requests placed at once are not in it.",
    alias: durationLabels,
  },
  flow_control_dispatch_cycle_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: [],
    buckets: dispatchBuckets,
    help: "Time of one look at what waits for an endpoint, dispatches included; one look in 64 is measured.",
    alias: [],
  },
  flow_control_request_enqueue_duration_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: enqueueLabels,
    buckets: dispatchBuckets,
    help: "Time until a request waits or is answered; the outcome of one that waits is NotYetFinalized.",
    alias: enqueueLabels,
  },
  flow_control_requests_total: {
    type: "counter",
    unit: "requests",
    labels: ["outcome", "priority", "inference_pool"],
    help: "Requests that found no room at once, by how their wait ended.",
    alias: ["outcome", "priority", "inference_pool"],
  },
  flow_control_queue_size: {
    type: "gauge",
    unit: "requests",
    labels: queueLabels,
    help: "Requests that wait; label sets that waited lately show 0.",
    alias: queueLabels,
  },
  flow_control_queue_bytes: {
    type: "gauge",
    unit: "bytes",
    labels: queueLabels,
    help: "Bodies of requests that wait; label sets that waited lately show 0.",
    alias: queueLabels,
  },
  flow_control_pool_saturation: {
    type: "gauge",
    unit: "ratio",
    labels: ["inference_pool", "stage"],
    help:
      "Mean share of their capacity that ready endpoints have in use: those of a stage by the label llm-d.ai/role, " +
      "effective over all; 1 where none is ready.",
    alias: ["inference_pool", "stage"],
  },
  flow_control_stale_endpoints: {
    type: "gauge",
    unit: "endpoints",
    labels: ["detector"],
    help: "Ready endpoints whose last load sample is too old to count for the detector.",
    alias: ["detector"],
  },
  flow_control_capacity_utilization_requests: {
    type: "gauge",
    unit: "ratio",
    labels: bandAndPool,
    help: "Requests of a priority that wait, over how many may.",
    alias: bandAndPool,
  },
  flow_control_capacity_utilization_bytes: {
    type: "gauge",
    unit: "ratio",
    labels: bandAndPool,
    help: "Bodies of requests of a priority that wait, over the bytes that may.",
    alias: bandAndPool,
  },
  flow_control_global_capacity_utilization_requests: {
    type: "gauge",
    unit: "ratio",
    labels: pool,
    help: "Requests that wait, over how many may; absent without flow.maxRequests.",
    alias: pool,
  },
  flow_control_global_capacity_utilization_bytes: {
    type: "gauge",
    unit: "ratio",
    labels: pool,
    help: "Bodies of requests that wait, over the bytes that may; absent without flow.maxBytes.",
    alias: pool,
  },
  flow_control_revocations_issued_total: {
    type: "counter",
    unit: "requests",
    labels: bandAndPool,
    help: "Running requests taken back, by the priority of the request that waits for their place.",
    alias: bandAndPool,
  },
  flow_control_revocations_total: {
    type: "counter",
    unit: "requests",
    labels: ["outcome", "inference_pool"],
    help: "Running requests taken back that let go of their place (confirmed), or did not in time (timed_out).",
    alias: ["outcome", "inference_pool"],
  },
  flow_control_reclaim_target: {
    type: "gauge",
    unit: "ratio",
    labels: pool,
    help:
      "Mean over ready endpoints of how far they are above the ceiling of the highest priority that waits for them; " +
      "absent without flow.eviction.",
    alias: pool,
  },
  flow_control_pending_reclaim: {
    type: "gauge",
    unit: "ratio",
    labels: pool,
    help:
      "Requests taken back that have not let go, over the capacity of all ready endpoints; absent without flow.eviction.",
    alias: pool,
  },
  flow_control_revocation_confirmation_seconds: {
    type: "histogram",
    unit: "seconds",
    labels: pool,
    buckets: revocationBuckets,
    help: "Time until a request that was taken back let go of its place.",
    alias: pool,
  },
  flow_control_queue_tokens: {
    type: "gauge",
    unit: "tokens",
    labels: ["priority"],
    help: "Prompt and expected output tokens of requests that wait.",
  },
  flow_control_oldest_wait_seconds: {
    type: "gauge",
    unit: "seconds",
    labels: ["priority"],
    help: "Time the request that waits longest has waited; 0 where none does.",
  },
  flow_control_estimated_wait_seconds: {
    type: "gauge",
    unit: "seconds",
    labels: ["priority"],
    help: "Time a request of a tenant with none waiting would wait now, in the slowest lane where something waits; 0 " +
      "where nothing does, absent while it cannot be told.",
  },
  flow_control_required_replicas: {
    type: "gauge",
    unit: "endpoints",
    labels: pool,
    help:
      "Endpoints that all work would fill: the sum of the saturation of ready endpoints, and requests that wait over " +
      "the mean capacity of a ready endpoint; the same with prompt tokens to compute, where that is more; 1 where " +
      "requests wait and none is ready, absent while no capacity is known.",
  },
  flow_control_promises: {
    type: "gauge",
    unit: "requests",
    labels: [],
    help: "Refused requests that were told to come again and whose turn is kept.",
  },
  flow_control_tenant_queue_size: {
    type: "gauge",
    unit: "requests",
    labels: ["fairness_id"],
    help: "Requests that wait, of the 20 tenants with most tokens waiting; those of all others as other.",
  },
  flow_control_tenant_queue_tokens: {
    type: "gauge",
    unit: "tokens",
    labels: ["fairness_id"],
    help: "Tokens of requests that wait, of the 20 tenants with most; those of all others as other.",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
