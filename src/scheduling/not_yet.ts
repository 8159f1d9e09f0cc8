/** llm-d plugin types that are known and cannot be used yet, by what they wait for. Loading one is an error. */
const waiting: Record<string, readonly string[]> = {
  "requests that are held and placed together": ["burst-prefix-cache-producer"],
  "requests that run in several legs": [
    "disagg-profile-handler",
    "pd-profile-handler",
    "disagg-headers-handler",
    "prefill-header-handler",
    "always-disagg-pd-decider",
    "always-disagg-multimodal-decider",
    "prefix-based-pd-decider",
    "data-parallel-profile-handler",
    "disaggregatedset-rollout-screener",
  ],
  "requests that are refused by chance": ["probabilistic-admitter"],
  "multimodal caches": ["mm-embeddings-cache-producer", "mm-embeddings-cache-scorer"],
  "several clusters": [
    "multicluster-approx-prefix-cache-producer",
    "multicluster-session-affinity-filter",
    "multicluster-queue-scorer",
    "multicluster-kv-cache-utilization-scorer",
    "multicluster-prefix-cache-scorer",
    "multicluster-metrics-data-source",
    "multicluster-metrics-extractor",
    "multicluster-file-discovery",
  ],
  "Kubernetes watches and node metrics": [
    "k8s-notification-source",
    "topology-extractor",
    "dcgm-data-source",
    "dcgm-extractor",
  ],
  "gRPC requests": ["vllmgrpc-parser", "vertexai-parser"],
  "the gateway extension protocol": ["request-attribute-reporter", "destination-endpoint-served-verifier"],
};

/** Type → what it waits for. */
export const notYet: ReadonlyMap<string, string> = new Map(
  Object.entries(waiting).flatMap(([reason, types]) => types.map((type) => [type, reason] as const)),
);
