import { BoundedLabels, LruMap } from "../core/mod.ts";
import type { MetricName } from "./catalogue.ts";
import type { Distribution, MetricStore, Scalar } from "./store.ts";

/** Whose a request that waits is. */
export interface FlowLabels {
  readonly tenant: string;
  readonly priority: number;
  readonly model: string;
  /** As the client named it; absent: as `model`. */
  readonly requestedModel?: string;
}

/** One priority. */
export interface FlowBandSample {
  readonly priority: number;
  readonly tokens: number;
  readonly oldestWaitMs: number;
  /** Absent: it cannot be told. */
  readonly estimatedWaitMs?: number;
  /** Shares of the limits that are in use. */
  readonly requestsRatio: number;
  readonly bytesRatio: number;
}

/** Requests that wait and have the same labels. */
export interface FlowQueueSample extends FlowLabels {
  readonly requests: number;
  readonly bytes: number;
}

/** Flow control as it is at a scrape. */
export interface FlowSample {
  /** By stage; one without endpoints is absent. */
  readonly saturation: Readonly<Record<string, number>>;
  readonly stale: { readonly detector: string; readonly endpoints: number };
  readonly bands: readonly FlowBandSample[];
  readonly queues: readonly FlowQueueSample[];
  readonly tenants: readonly { readonly tenant: string; readonly requests: number; readonly tokens: number }[];
  /** Absent without a limit. */
  readonly requestsRatio?: number;
  readonly bytesRatio?: number;
  readonly requiredReplicas?: number;
  readonly promises: number;
  /** Absent where no running request is taken back. */
  readonly reclaim?: { readonly target: number; readonly pending: number };
}

/** Outcomes after which a request's names are worth labels of their own; the first is llm-d's word for none yet. */
const waits = "NotYetFinalized", placed = "Dispatched";

/** The label of a name that a client chose; one that is not `learned` has its own only if it has one already. */
type NameLabel = (name: string, learned: boolean) => string;

// Configured priorities and as many that clients name by number.
const prioritiesMax = 128;
// 1,000 label sets of 19 lines under two names are a scrape of 38,000 lines.
const labelSetsMax = 1_000;
/** Label sets that are shown with 0 as they waited lately: an autoscaler that reads nothing does nothing. */
const idleSetsMax = 256;
const tenantsMax = 20;
const tenantCharsMax = 200;

const gauges = [
  "flow_control_queue_size",
  "flow_control_queue_bytes",
  "flow_control_pool_saturation",
  "flow_control_stale_endpoints",
  "flow_control_capacity_utilization_requests",
  "flow_control_capacity_utilization_bytes",
  "flow_control_global_capacity_utilization_requests",
  "flow_control_global_capacity_utilization_bytes",
  "flow_control_reclaim_target",
  "flow_control_pending_reclaim",
  "flow_control_queue_tokens",
  "flow_control_oldest_wait_seconds",
  "flow_control_estimated_wait_seconds",
  "flow_control_required_replicas",
  "flow_control_tenant_queue_size",
  "flow_control_tenant_queue_tokens",
] as const satisfies readonly MetricName[];

type QueueLabels = readonly [fairness: string, priority: string, pool: string, model: string, target: string];

interface End {
  readonly total: Scalar;
  readonly times: Distribution;
}

/** The series of one label set, found once an outcome. */
class LabelSet {
  readonly #store: MetricStore;
  readonly #labels: QueueLabels;
  readonly #priority: string;
  readonly #enqueues = new Map<string, Distribution>();
  readonly #ends = new Map<string, End>();

  constructor(store: MetricStore, labels: QueueLabels, priority: string) {
    this.#store = store;
    this.#labels = labels;
    this.#priority = priority;
  }

  enqueue(outcome: string): Distribution {
    let series = this.#enqueues.get(outcome);
    if (series) return series;
    const [fairness, priority] = this.#labels;
    series = this.#store.series("flow_control_request_enqueue_duration_seconds", fairness, priority, outcome);
    this.#enqueues.set(outcome, series);
    return series;
  }

  end(outcome: string): End {
    let end = this.#ends.get(outcome);
    if (end) return end;
    const [fairness, priority, pool, model, target] = this.#labels;
    const labels = [fairness, priority, outcome, pool, model, target] as const;
    end = {
      total: this.#store.series("flow_control_requests_total", outcome, this.#priority, pool),
      times: this.#store.series("flow_control_request_queue_duration_seconds", ...labels),
    };
    this.#ends.set(outcome, end);
    return end;
  }
}

/** The series of requests that wait. Counters and distributions are recorded as things happen, gauges at each scrape. */
export class FlowSeries {
  readonly #store: MetricStore;
  readonly #model: NameLabel;
  readonly #fairness: NameLabel;
  readonly #priorities = new BoundedLabels(prioritiesMax, ["0"]);
  readonly #sets = new BoundedLabels(labelSetsMax);
  /** By the names as clients gave them: of those whose labels are learned, the ones that came last. */
  readonly #known = new LruMap<string, LabelSet>(labelSetsMax);
  readonly #shown = new LruMap<string, QueueLabels>(idleSetsMax);
  readonly #cycle;
  #pool = "default";

  constructor(store: MetricStore, { model, fairness }: { readonly model: NameLabel; readonly fairness: NameLabel }) {
    this.#store = store;
    this.#model = model;
    this.#fairness = fairness;
    this.#cycle = store.series("flow_control_dispatch_cycle_duration_seconds");
  }

  /** A request waits, or was answered at once: `outcome` says which. Names of those refused get no label of their own. */
  enqueued(request: FlowLabels, outcome: string, tookMs: number): void {
    this.#of(request, outcome === waits || outcome === placed).enqueue(outcome).observe(tookMs / 1000);
  }

  /** A wait ended. Names that only refused requests carry get no label of their own. */
  ended(request: FlowLabels, outcome: string, waitedMs: number): void {
    const { total, times } = this.#of(request, outcome === placed).end(outcome);
    total.add(1);
    times.observe(waitedMs / 1000);
  }

  /** One look at what waits for an endpoint took so long. */
  looked(tookMs: number): void {
    this.#cycle.observe(tookMs / 1000);
  }

  /** A running request is taken back for one of `priority` that waits. */
  revocationIssued(priority: number): void {
    this.#store.series("flow_control_revocations_issued_total", this.#priority(priority), this.#pool).add(1);
  }

  /** A request that was taken back let go of its place after so long, or did not. */
  revocationEnded(outcome: "confirmed" | "timed_out", seconds: number): void {
    this.#store.series("flow_control_revocations_total", outcome, this.#pool).add(1);
    if (outcome !== "confirmed") return;
    this.#store.series("flow_control_revocation_confirmation_seconds", this.#pool).observe(seconds);
  }

  /** Replaces every gauge; what is gone from the sample is gone from the scrape. */
  fill(sample: FlowSample | undefined, pool = this.#pool): void {
    this.#pool = pool;
    for (const name of gauges) this.#store.family(name).clear();
    this.#store.series("flow_control_promises").set(sample?.promises ?? 0);
    if (!sample) return;
    for (const [stage, value] of Object.entries(sample.saturation)) {
      this.#store.series("flow_control_pool_saturation", pool, stage).set(value);
    }
    this.#store.series("flow_control_stale_endpoints", sample.stale.detector).set(sample.stale.endpoints);
    for (const band of sample.bands) this.#fillBand(band, pool);
    this.#fillQueues(sample.queues);
    this.#fillTenants(sample.tenants);
    const set = (name: PoolGauge, value: number | undefined) => {
      if (value !== undefined) this.#store.series(name, pool).set(value);
    };
    set("flow_control_global_capacity_utilization_requests", sample.requestsRatio);
    set("flow_control_global_capacity_utilization_bytes", sample.bytesRatio);
    set("flow_control_required_replicas", sample.requiredReplicas);
    set("flow_control_reclaim_target", sample.reclaim?.target);
    set("flow_control_pending_reclaim", sample.reclaim?.pending);
  }

  #fillBand(band: FlowBandSample, pool: string): void {
    const priority = String(band.priority);
    const store = this.#store;
    store.series("flow_control_capacity_utilization_requests", priority, pool).set(band.requestsRatio);
    store.series("flow_control_capacity_utilization_bytes", priority, pool).set(band.bytesRatio);
    store.series("flow_control_queue_tokens", priority).set(band.tokens);
    store.series("flow_control_oldest_wait_seconds", priority).set(band.oldestWaitMs / 1000);
    const { estimatedWaitMs } = band;
    if (estimatedWaitMs === undefined) return;
    store.series("flow_control_estimated_wait_seconds", priority).set(estimatedWaitMs / 1000);
  }

  #fillQueues(queues: readonly FlowQueueSample[]): void {
    const size = (labels: QueueLabels): Scalar => this.#store.series("flow_control_queue_size", ...labels);
    const bytes = (labels: QueueLabels): Scalar => this.#store.series("flow_control_queue_bytes", ...labels);
    for (const queue of queues) {
      const labels = this.#labels(queue, true);
      this.#shown.set(labels.join("\0"), labels);
      size(labels).add(queue.requests);
      bytes(labels).add(queue.bytes);
    }
    for (const [, labels] of this.#shown.entries()) {
      size(labels).add(0);
      bytes(labels).add(0);
    }
  }

  #fillTenants(tenants: FlowSample["tenants"]): void {
    const most = tenants.toSorted((a, b) => b.tokens - a.tokens || b.requests - a.requests);
    for (const [i, { tenant, requests, tokens }] of most.entries()) {
      const label = i < tenantsMax ? tenant.slice(0, tenantCharsMax) : "other";
      this.#store.series("flow_control_tenant_queue_size", label).add(requests);
      this.#store.series("flow_control_tenant_queue_tokens", label).add(tokens);
    }
  }

  #of(request: FlowLabels, learned: boolean): LabelSet {
    const { tenant, priority, model, requestedModel = model } = request;
    const key = `${tenant}\0${priority}\0${requestedModel}\0${model}`;
    let set = this.#known.peek(key);
    if (set) return set;
    set = new LabelSet(this.#store, this.#labels(request, learned), this.#priority(priority));
    if (learned) this.#known.set(key, set);
    return set;
  }

  #priority(priority: number): string {
    return this.#priorities.label(String(priority));
  }

  #labels({ tenant, priority, model, requestedModel = model }: FlowLabels, learned: boolean): QueueLabels {
    const pool = this.#pool;
    const labels = [
      this.#fairness(tenant, learned),
      this.#priority(priority),
      pool,
      this.#model(requestedModel, learned),
      this.#model(model, learned),
    ] as const;
    return this.#sets.label(labels.join("\0")) === "other" ? ["other", "other", pool, "other", "other"] : labels;
  }
}

type PoolGauge =
  | "flow_control_global_capacity_utilization_requests"
  | "flow_control_global_capacity_utilization_bytes"
  | "flow_control_required_replicas"
  | "flow_control_reclaim_target"
  | "flow_control_pending_reclaim";
