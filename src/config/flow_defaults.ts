/** Defaults of flow control, each with the fact behind it; those that llm-d has are llm-d's unless it says otherwise. */
import type { BandConfig, FairnessConfig, FlowConfig } from "./flow_types.ts";
import { secondMs } from "./units.ts";

/** An output token costs a decode step, a prompt token a share of one: the weights of the VTC paper (arXiv 2401.00588). */
export const vtcDefaults = { policy: "vtc", inputWeight: 1, outputWeight: 2 } as const satisfies FairnessConfig;

/** As llm-d's plugin has them. */
export const programAwareDefaults = {
  policy: "program-aware",
  weightService: 0.8,
  weightHeadWait: 0.2,
  halfLifeMs: 60 * secondMs,
} as const satisfies FairnessConfig;

export const bandDefaults: BandConfig = {
  maxRequests: 5_000,
  maxBytes: 1_000_000_000,
  share: 0,
  // llm-d has no tenants by default, so that one of them may fill the queue.
  fairness: vtcDefaults,
  ordering: "fcfs",
};

export const fusedDefaults = {
  detector: "fused",
  // Several seconds of work. On a trace of 12k-token prompts over busy engines a quarter of it cost a fifth of the cache
  // hits, as prefixes lay at full endpoints, and won nothing; with this, waits and hits are those without a limit.
  maxTokenConcurrency: 65_536,
} as const;

export const utilizationDefaults = {
  detector: "utilization",
  queueDepthThreshold: 5,
  kvCacheUtilThreshold: 0.8,
  stalenessMs: 200,
  stalenessPolicy: "saturated",
} as const;

export const concurrencyDefaults = {
  detector: "concurrency",
  mode: "requests",
  maxConcurrency: 100,
  maxTokenConcurrency: 1_000_000,
} as const;

/** Enough that a band that waited too long moves, too little to be felt by those above it. */
export const agingShareDefault = 0.1;

export const flowDefaults: FlowConfig = {
  enabled: true,
  limits: {},
  tenantLimits: {},
  tenants: {},
  ttlMs: 60 * secondMs,
  noEndpointTtlMs: 60 * secondMs,
  holdModels: [],
  bands: [],
  defaultBand: bandDefaults,
  defaultNegativeBand: bandDefaults,
  ceiling: { policy: "static", threshold: 1 },
  saturation: fusedDefaults,
  earlyRejection: "slo",
  // A 32k-token prompt takes about this long to compute anew on one GPU.
  prefixWaitMs: 2 * secondMs,
  eviction: false,
  fairnessHeaders: [],
};
