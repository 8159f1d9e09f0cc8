import type { Registry } from "prom-client";
import { BoundedLabels, type Clock, sleep } from "../core/mod.ts";
import { catalogue, type MetricName } from "./catalogue.ts";
import { exposedNames, exposeStore } from "./exposition.ts";
import { FlowSeries } from "./flow_series.ts";
import { type CollectedSample, fillGauges } from "./gauges.ts";
import { type KeyName, type KeyRefusal, KeySeries } from "./key_series.ts";
import { LatencySeries } from "./latency_series.ts";
import type { RequestLabels, RequestRecord } from "./record.ts";
import { RequestSeries } from "./request_series.ts";
import { type MetricsDump, MetricStore } from "./store.ts";

/** Why an attempt was given up before the first byte. */
export type RetryReason = "connect" | "reset" | "status" | "timeout" | "protocol";
/** What became of a stream whose endpoint was lost: it went on elsewhere, could not, or no other endpoint did it. */
export type ContinuationResult = "continued" | "impossible" | "failed";
/** Where a request was when its client left. */
export type DisconnectPhase = "body" | "placing" | "first-byte" | "streaming";
/** What is read of an endpoint. */
export type PollSource = "metrics" | "health" | "models" | "dns" | "file";

export interface EndpointName {
  readonly name: string;
  readonly namespace: string;
}

export interface MetricsOptions {
  readonly version: string;
  readonly commit?: string;
  readonly buildRef?: string;
  /** Model names that always keep their own label: those of rewrite rules and aliases. */
  readonly pinnedModels?: Iterable<string>;
}

// llm-d's bounds: 1,000 names each, then `other`.
const modelNamesMax = 1000;
const fairnessIdsMax = 1000;
// One label set has about 250 samples under each of two names: 1,000 sets are a scrape of half a million lines.
const requestLabelSetsMax = 1000;
// A label is a name, not a text: longer ones are cut.
const labelCharsMax = 200;

// Longer than a small scrape takes, shorter than anyone notices.
const renderSliceMs = 5;

const prefixPlugin = ["approx-prefix-cache-producer", "approx-prefix-cache-producer"] as const;
// llm-d counts a token as four bytes.
const bytesPerToken = 4;

/**
 * Records what happens and writes it out. Recording is a few nanoseconds a value: it adds to arrays found beforehand;
 * all text is made in `render`.
 */
export class Metrics {
  readonly #store = new MetricStore();
  readonly #registry: Registry;
  readonly #names = exposedNames();
  readonly #models: BoundedLabels;
  readonly #fairnessIds = new BoundedLabels(fairnessIdsMax, ["default-flow"]);
  /** Of requests that wait. */
  readonly flow: FlowSeries;
  /** Of predictions. */
  readonly latency: LatencySeries;
  readonly #requests = new Map<string, RequestSeries>();
  readonly #overflow = new Map<string, RequestSeries>();
  readonly #pinned: ReadonlySet<string>;
  readonly #sources: (() => CollectedSample)[] = [];
  readonly #decision;
  readonly #processing;
  readonly #lag;
  readonly #keys = new KeySeries(this.#store);
  readonly #hitRatio;
  readonly #hitBytes;

  constructor({ version, commit = "", buildRef = "", pinnedModels = [] }: MetricsOptions) {
    this.#pinned = new Set(pinnedModels);
    this.#models = new BoundedLabels(modelNamesMax, this.#pinned);
    this.flow = new FlowSeries(this.#store, { model: bounded(this.#models), fairness: bounded(this.#fairnessIds) });
    this.latency = new LatencySeries(this.#store, bounded(this.#models));
    this.#registry = exposeStore(this.#store);
    this.#store.series("info", version, commit, buildRef).set(1);
    this.#decision = this.#store.series("scheduler_e2e_duration_seconds");
    this.#processing = this.#store.series("request_processing_duration_seconds");
    this.#lag = this.#store.series("event_loop_lag_seconds");
    this.#hitRatio = this.#store.series("prefix_indexer_hit_ratio", ...prefixPlugin);
    this.#hitBytes = this.#store.series("prefix_indexer_hit_bytes", ...prefixPlugin);
  }

  /**
   * A request was placed: it counts as running until `requestEnded` is called with the series returned here. Keep them
   * for `itl`.
   */
  requestStarted(labels: RequestLabels): RequestSeries {
    const series = this.#series(
      this.#models.label(clip(labels.model)),
      this.#models.label(clip(labels.targetModel)),
      this.#fairnessIds.label(clip(labels.fairnessId)),
      labels.priority,
    );
    series.started();
    return series;
  }

  /**
   * A request ended. Without `series` it was refused before it was placed: names that only refused requests carry get
   * no label of their own, so that no client can use up the labels.
   */
  requestEnded(record: RequestRecord, series?: RequestSeries): void {
    series?.stopped();
    const ended = series ?? this.#series(
      this.#models.peek(clip(record.model)),
      this.#models.peek(clip(record.targetModel)),
      this.#fairnessIds.peek(clip(record.fairnessId)),
      record.priority,
    );
    ended.ended(record);
    this.latency.ended(record, series !== undefined);
    this.#store.series("request_outcome_total", record.api, record.outcome).add(1);
    if (record.processingMs !== undefined) this.#processing.observe(record.processingMs / 1000);
    const { endpoint } = record;
    if (endpoint) {
      this.#store.series("endpoint_request_total", endpoint.name, endpoint.namespace, record.outcome).add(1);
    }
  }

  #series(model: string, targetModel: string, fairness: string, priority: number): RequestSeries {
    const key = `${model}\0${targetModel}\0${fairness}\0${priority}`;
    const known = this.#requests.get(key);
    if (known) return known;
    // Beyond the limit only the configured models are still told apart.
    const full = this.#requests.size >= requestLabelSetsMax;
    const labels = full
      ? [
        this.#pinned.has(model) ? model : "other",
        this.#pinned.has(targetModel) ? targetModel : "other",
        "other",
        "other",
      ] as const
      : [model, targetModel, fairness, String(priority)] as const;
    const shared = full ? this.#overflow.get(labels.join("\0")) : undefined;
    if (shared) return shared;
    const series = new RequestSeries(this.#store, labels);
    (full ? this.#overflow : this.#requests).set(labels.join("\0"), series);
    return series;
  }

  /** A decision was made, in `durationMs`; without an endpoint it failed. */
  decision(durationMs: number, targetModel: string, endpoint?: EndpointName & { readonly port: number }): void {
    this.#decision.observe(durationMs / 1000);
    const name = clip(targetModel);
    const model = endpoint ? this.#models.label(name) : this.#models.peek(name);
    this.#store.series(
      "scheduler_attempts_total",
      endpoint ? "success" : "failure",
      model,
      endpoint?.name ?? "",
      endpoint?.namespace ?? "",
      endpoint ? String(endpoint.port) : "",
    ).add(1);
  }

  /** The chosen endpoint is believed to hold the first `matchedTokens` of a prompt. */
  prefixMatched(matchedTokens: number, promptTokens: number): void {
    this.#hitRatio.observe(promptTokens > 0 ? Math.min(1, matchedTokens / promptTokens) : 0);
    this.#hitBytes.observe(matchedTokens * bytesPerToken);
  }

  /** A prompt's blocks come from `source`; `reason` says why from its text, where token ids were wanted. */
  promptHashed(source: string, reason = ""): void {
    this.#store.series("prompt_source_total", source, reason).add(1);
  }

  /** A rule or alias replaced the model. */
  modelRewritten(rule: string, model: string, targetModel: string): void {
    const labels = [clip(rule), this.#models.label(clip(model)), this.#models.label(clip(targetModel))] as const;
    this.#store.series("model_rewrite_decisions_total", ...labels).add(1);
  }

  upstreamRetried(reason: RetryReason): void {
    this.#store.series("upstream_retries_total", reason).add(1);
  }

  /** A failure was the client's as the retry budget was spent. */
  retryRefused(): void {
    this.#store.series("upstream_retries_refused_total").add(1);
  }

  /** A second attempt was made beside one that was slow to answer, or it was the one that answered. */
  hedged(what: "begun" | "won"): void {
    this.#store.series("upstream_hedges_total", what).add(1);
  }

  /** What became of a stream whose endpoint was lost. */
  continued(result: ContinuationResult): void {
    this.#store.series("upstream_continuations_total", result).add(1);
  }

  /** A request was refused as the router itself has more to do than it can. */
  shed(reason: "loop-lag" | "requests", priority: "negative" | "other"): void {
    this.#store.series("requests_shed_total", reason, priority).add(1);
  }

  clientDisconnected(phase: DisconnectPhase): void {
    this.#store.series("client_disconnects_total", phase).add(1);
  }

  endpointEjected(endpoint: EndpointName, reason: string): void {
    this.#store.series("endpoint_ejections_total", endpoint.name, endpoint.namespace, reason).add(1);
  }

  /** An endpoint's metrics, health or models were read, or failed to be. */
  polled(source: PollSource, durationMs: number, ok: boolean): void {
    this.#store.series("datalayer_poll_duration_seconds", source).observe(durationMs / 1000);
    if (!ok) this.#store.series("datalayer_poll_errors_total", source).add(1);
  }

  /** A request was refused for its key; in shadow it would have been. */
  keyRefused(refusal: KeyName & { readonly reason: KeyRefusal; readonly shadow: boolean }): void {
    this.#keys.refused(refusal);
  }

  /** A request was charged to its key. */
  tokensCharged(charge: KeyName & { readonly prompt: number; readonly completion: number }): void {
    this.#keys.charged(charge);
  }

  configReloaded(ok: boolean): void {
    this.#store.series("config_reloads_total", ok ? "success" : "failure").add(1);
  }

  /** A timer fired this much after its due time. */
  eventLoopLag(lagMs: number): void {
    this.#lag.observe(lagMs / 1000);
  }

  /** Forgets the counters of an endpoint that is gone for good, so that churn does not use up the labels. */
  forgetEndpoint(name: string): void {
    for (const family of Object.keys(catalogue) as MetricName[]) {
      this.#store.family(family).forget("endpoint_name", name);
    }
    this.latency.forgetEndpoint();
  }

  /** Asks `source` for gauges at every `render`; later sources win where two give the same part. */
  onCollect(source: () => CollectedSample): void {
    this.#sources.push(source);
  }

  /** What this isolate counted, for another's `render`. */
  dump(): MetricsDump {
    // Every isolate is of this build: one says so.
    return this.#store.dump().filter(({ name }) => name !== "info");
  }

  /** Takes over what an isolate that is gone had counted; what described it then is left. */
  inherit(dump: MetricsDump): void {
    this.#store.absorb(dump.filter(({ name }) => catalogue[name].type !== "gauge"));
  }

  /** An edge ended unasked and is replaced. */
  edgeRestarted(): void {
    this.#store.series("edge_restarts_total").add(1);
  }

  /**
   * Every metric in the Prometheus text format, with what other isolates counted added. A long text is made in pieces, so
   * that requests are not held up.
   */
  async render(clock: Clock, others: readonly MetricsDump[] = []): Promise<string> {
    let sample: CollectedSample = {};
    for (const source of this.#sources) sample = { ...sample, ...source() };
    fillGauges(this.#store, sample);
    this.flow.fill(sample.flow, sample.pool?.name);
    this.latency.fill(sample.latency, sample.pool?.name);
    const registry = others.length === 0 ? this.#registry : exposeStore(this.#merged(others));
    const parts: string[] = [];
    let pausedAtMs = clock.now();
    for (const name of this.#names) {
      parts.push(await registry.getSingleMetricAsString(name));
      if (clock.now() - pausedAtMs < renderSliceMs) continue;
      await sleep(clock, 0);
      pausedAtMs = clock.now();
    }
    return parts.join("\n") + "\n";
  }

  #merged(others: readonly MetricsDump[]): MetricStore {
    const merged = new MetricStore();
    for (const dump of [this.#store.dump(), ...others]) merged.absorb(dump);
    return merged;
  }
}

/** A name that is not `learned` has a label of its own only if it has one already. */
function bounded(labels: BoundedLabels): (name: string, learned: boolean) => string {
  return (name, learned) => learned ? labels.label(clip(name)) : labels.peek(clip(name));
}

function clip(label: string): string {
  return label.length > labelCharsMax ? label.slice(0, labelCharsMax) : label;
}
