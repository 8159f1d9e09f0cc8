/** Every plugin type that can be configured. A new plugin is one file and one line here. */
import { latencySloAdmitter } from "./admitters/latency_slo_admitter.ts";
import { sloProbabilityAdmitter } from "./admitters/slo_probability_admitter.ts";
import { agentIdentity } from "./data/agent_identity.ts";
import { approxPrefixCacheProducer } from "./data/approx_prefix_cache_producer.ts";
import { coreMetricsExtractor, modelsDataExtractor } from "./data/core_metrics_extractor.ts";
import { fileDiscovery } from "./data/file_discovery.ts";
import { inflightLoadProducer } from "./data/inflight_load_producer.ts";
import { endpointNotificationSource, metricsDataSource, modelsDataSource } from "./data/metrics_source.ts";
import { p2pSourceProducer } from "./data/p2p_source_producer.ts";
import { parserTypes } from "./data/parsers.ts";
import { precisePrefixCacheProducer, precisePrefixCacheScorer } from "./data/precise_prefix_cache_producer.ts";
import { predictedLatencyProducer } from "./data/predicted_latency_producer.ts";
import { sessionIdProducer } from "./data/session_id_producer.ts";
import { tokenizer, tokenProducer } from "./data/token_producer.ts";
import type { PluginType } from "./definition.ts";
import { evictionPolicies } from "./flow/eviction_policies.ts";
import { globalStrictFairnessPolicy, roundRobinFairnessPolicy } from "./flow/fairness_policies.ts";
import { orderingPolicies } from "./flow/ordering_policies.ts";
import { priorityHoldbackPolicy } from "./flow/priority_holdback_policy.ts";
import { programAwareFairness } from "./flow/program_aware_fairness.ts";
import { softReflectiveCeilingPolicy } from "./flow/soft_reflective_ceiling_policy.ts";
import { staticUsageLimitPolicy } from "./flow/static_usage_limit_policy.ts";
import { vtcFairnessPolicy } from "./flow/vtc_fairness_policy.ts";
import { byLabel } from "./filters/by_label.ts";
import { concurrencyDetector } from "./filters/concurrency_detector.ts";
import { endpointAttributeFilter } from "./filters/endpoint_attribute_filter.ts";
import { headerBasedTestingFilter } from "./filters/header_based_testing_filter.ts";
import { byLabelSelector, labelSelectorFilter } from "./filters/label_selector_filter.ts";
import { prefixCacheAffinityFilter } from "./filters/prefix_cache_affinity_filter.ts";
import { decodeFilter, encodeFilter, prefillFilter } from "./filters/role_filters.ts";
import { sessionAffinityFilter } from "./filters/session_affinity_filter.ts";
import { sloHeadroomTierFilter } from "./filters/slo_headroom_tier_filter.ts";
import { topologyAffinityFilter } from "./filters/topology_affinity_filter.ts";
import { utilizationDetector } from "./filters/utilization_detector.ts";
import { utilizationFilter } from "./filters/utilization_filter.ts";
import { notYet } from "./not_yet.ts";
import { maxScorePicker } from "./pickers/max_score_picker.ts";
import { randomPicker } from "./pickers/random_picker.ts";
import { roundRobinPicker } from "./pickers/round_robin_picker.ts";
import { weightedRandomPicker } from "./pickers/weighted_random_picker.ts";
import { headerProfileHandler } from "./profiles/header_profile_handler.ts";
import { singleProfileHandler } from "./profiles/single_profile_handler.ts";
import { activeRequestScorer } from "./scorers/active_request_scorer.ts";
import { contextLengthAware } from "./scorers/context_length_aware.ts";
import { endpointAttributeScorer } from "./scorers/endpoint_attribute_scorer.ts";
import { headerLabelAffinityScorer } from "./scorers/header_label_affinity_scorer.ts";
import { kvCacheUtilizationScorer } from "./scorers/kv_cache_utilization_scorer.ts";
import { latencyScorer } from "./scorers/latency_scorer.ts";
import { leastLatencyScorer } from "./scorers/least_latency_scorer.ts";
import { loadAwareScorer } from "./scorers/load_aware_scorer.ts";
import { loraAffinityScorer } from "./scorers/lora_affinity_scorer.ts";
import { noHitLruScorer } from "./scorers/no_hit_lru_scorer.ts";
import { prefixCacheScorer } from "./scorers/prefix_cache_scorer.ts";
import { queueScorer } from "./scorers/queue_scorer.ts";
import { runningRequestsSizeScorer } from "./scorers/running_requests_size_scorer.ts";
import { sessionAffinityScorer } from "./scorers/session_affinity_scorer.ts";
import { tokenLoadScorer } from "./scorers/token_load_scorer.ts";
import { tokenWorkScorer } from "./scorers/token_work_scorer.ts";
import { topologyAffinityScorer } from "./scorers/topology_affinity_scorer.ts";

const types: readonly PluginType[] = [
  labelSelectorFilter,
  byLabelSelector,
  byLabel,
  decodeFilter,
  prefillFilter,
  encodeFilter,
  sessionAffinityFilter,
  endpointAttributeFilter,
  utilizationFilter,
  prefixCacheAffinityFilter,
  sloHeadroomTierFilter,
  utilizationDetector,
  concurrencyDetector,
  topologyAffinityFilter,
  headerBasedTestingFilter,
  contextLengthAware,
  tokenWorkScorer,
  leastLatencyScorer,
  queueScorer,
  runningRequestsSizeScorer,
  kvCacheUtilizationScorer,
  loraAffinityScorer,
  loadAwareScorer,
  activeRequestScorer,
  tokenLoadScorer,
  prefixCacheScorer,
  precisePrefixCacheScorer,
  noHitLruScorer,
  sessionAffinityScorer,
  headerLabelAffinityScorer,
  endpointAttributeScorer,
  topologyAffinityScorer,
  latencyScorer,
  maxScorePicker,
  weightedRandomPicker,
  randomPicker,
  roundRobinPicker,
  singleProfileHandler,
  headerProfileHandler,
  latencySloAdmitter,
  sloProbabilityAdmitter,
  approxPrefixCacheProducer,
  precisePrefixCacheProducer,
  p2pSourceProducer,
  inflightLoadProducer,
  predictedLatencyProducer,
  tokenProducer,
  tokenizer,
  sessionIdProducer,
  agentIdentity,
  metricsDataSource,
  modelsDataSource,
  endpointNotificationSource,
  coreMetricsExtractor,
  modelsDataExtractor,
  fileDiscovery,
  ...parserTypes,
  globalStrictFairnessPolicy,
  roundRobinFairnessPolicy,
  vtcFairnessPolicy,
  programAwareFairness,
  ...orderingPolicies,
  staticUsageLimitPolicy,
  priorityHoldbackPolicy,
  softReflectiveCeilingPolicy,
  ...evictionPolicies,
];

/** Type name → how to load it. */
export const registry: ReadonlyMap<string, PluginType> = new Map(types.map((type) => [type.type, type]));

/** What is wrong with a type that is not in the registry: not supported yet, or unknown with names that look alike. */
export function unusableType(type: string): string {
  const reason = notYet.get(type);
  if (reason !== undefined) return `plugin type "${type}" is not supported yet (waits for ${reason})`;
  const near = nearNames(type, [...registry.keys(), ...notYet.keys()]);
  return `unknown plugin type "${type}"${near.length > 0 ? `, did you mean ${near.join(" or ")}` : ""}`;
}

/** Up to three of `names` that are a few typing errors away from `name`, or that contain it, nearest first. */
export function nearNames(name: string, names: readonly string[]): string[] {
  const lower = name.toLowerCase();
  const limit = Math.max(2, Math.floor(lower.length / 4));
  return names
    .map((candidate) => ({
      candidate,
      distance: lower.length > 3 && candidate.includes(lower) ? 1 : editDistance(lower, candidate),
    }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}
