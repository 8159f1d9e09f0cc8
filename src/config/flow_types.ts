/** What flow control is told: complete, checked and frozen. The names are llm-d's where llm-d has the thing. */

/** Which tenant of a band is served next. */
export type FairnessConfig =
  /** No tenants: the best request of all by the band's order. */
  | { readonly policy: "global-strict" }
  /** Tenants in turn, one request each. */
  | { readonly policy: "round-robin" }
  /** The tenant that was given the fewest tokens, by its weight (virtual token counter). */
  | { readonly policy: "vtc"; readonly inputWeight: number; readonly outputWeight: number }
  /** Least attained service, weighed with how long a tenant's first request waits (llm-d's `program-aware-fairness`). */
  | {
    readonly policy: "program-aware";
    readonly weightService: number;
    readonly weightHeadWait: number;
    /** 0: service is never forgotten. */
    readonly halfLifeMs: number;
  };

/** Which request of a tenant is served next. */
export const orderings = ["fcfs", "edf", "slo-deadline", "least-laxity"] as const;
export type OrderingName = (typeof orderings)[number];

/** What may wait; absent means without limit. */
export interface FlowLimits {
  readonly maxRequests?: number;
  /** Prompt and expected output tokens. */
  readonly maxTokens?: number;
  /** Of request bodies. */
  readonly maxBytes?: number;
}

/** How requests of one priority wait. A band always has a limit of requests and of bytes. */
export interface BandConfig extends FlowLimits {
  readonly maxRequests: number;
  readonly maxBytes: number;
  /** How long a request may wait while its model has endpoints; 0: for ever. Absent: `FlowConfig.ttlMs`. */
  readonly ttlMs?: number;
  /** Share of dispatches it gets while higher bands wait too, 0 to 1. */
  readonly share: number;
  readonly fairness: FairnessConfig;
  readonly ordering: OrderingName;
}

/** How full an endpoint may be for a priority: a share of its capacity. */
export type CeilingConfig =
  | { readonly policy: "static"; readonly threshold: number }
  | {
    readonly policy: "priority-holdback";
    readonly minCeiling: number;
    readonly maxCeiling: number;
    readonly domain: "rank" | "value";
  }
  | { readonly policy: "soft-reflective" };

/** What an old load sample counts as: full, not there, or as it was until it is twice too old and then not there. */
export const stalenessPolicies = ["saturated", "ignore", "hold"] as const;
export type StalenessPolicy = (typeof stalenessPolicies)[number];

/** How it is told that an endpoint has room. */
export type SaturationConfig =
  | {
    /** What the engine reported, and what was sent since; capacity as configured, else as observed from its queue. */
    readonly detector: "fused";
    /** Requests an endpoint may have; absent: learned from the engine's own queue. */
    readonly maxConcurrency?: number;
    /** Prompt tokens, cached ones left out, that an endpoint may have to compute before it is full; one request always may. */
    readonly maxTokenConcurrency: number;
  }
  | {
    readonly detector: "utilization";
    readonly queueDepthThreshold: number;
    readonly kvCacheUtilThreshold: number;
    readonly stalenessMs: number;
    readonly stalenessPolicy: StalenessPolicy;
  }
  | {
    readonly detector: "concurrency";
    readonly mode: "requests" | "tokens" | "hybrid";
    readonly maxConcurrency: number;
    readonly maxTokenConcurrency: number;
  };

export const earlyRejections = ["off", "ttl", "slo"] as const;

export interface FlowConfig {
  /** False: requests never wait; an endpoint has no limit. */
  readonly enabled: boolean;
  /** Over all bands. */
  readonly limits: FlowLimits;
  /** For each tenant of its own, over all bands; those of `tenants` where it names the tenant. */
  readonly tenantLimits: FlowLimits;
  /** Complete: a limit that a tenant was not given is that of `tenantLimits`. */
  readonly tenants: Readonly<Record<string, FlowLimits & { readonly weight: number }>>;
  /** How long a request may wait while its model has endpoints; 0: for ever. */
  readonly ttlMs: number;
  /** The same while it has none; counted from when that began. */
  readonly noEndpointTtlMs: number;
  /** Models whose requests wait for an endpoint although none was ever seen (scale from zero). */
  readonly holdModels: readonly string[];
  /** By priority. */
  readonly bands: readonly (BandConfig & { readonly priority: number })[];
  /** For priorities that `bands` does not name; the second for those below 0. */
  readonly defaultBand: BandConfig;
  readonly defaultNegativeBand: BandConfig;
  readonly ceiling: CeilingConfig;
  readonly saturation: SaturationConfig;
  /** A band whose first request has waited for `afterMs` gets at least `share` of the dispatches. Absent: no aging. */
  readonly aging?: { readonly afterMs: number; readonly share: number };
  /** Whether a request is refused on arrival when it would wait longer than its TTL, or than its TTFT target too. */
  readonly earlyRejection: (typeof earlyRejections)[number];
  /** Longest wait for the endpoint that holds a request's prefix while others have room; 0: none. */
  readonly prefixWaitMs: number;
  /** Running requests of negative priority make room for higher ones that wait, before their first byte. */
  readonly eviction: boolean;
  /** Headers the first of which that is not empty names the tenant where nothing else does; in lower case. */
  readonly fairnessHeaders: readonly string[];
}
