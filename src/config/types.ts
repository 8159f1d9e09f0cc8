import type { Slo } from "../core/mod.ts";
import type { FlowConfig } from "./flow_types.ts";
import type { LatencyConfig } from "./latency_types.ts";
import type { EndpointPickerSource } from "./load.ts";
import type { policyNames } from "./schema.ts";
import type { feedKinds, tokenSources } from "./schema_knowledge.ts";

/** Paths of PEM files. */
export interface KeyPairFiles {
  /** The certificate and those between it and the authority. */
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ServerConfig {
  readonly host: string;
  /** 0 takes a free port. */
  readonly port: number;
  readonly bodyBytesMax: number;
  /** Of all request bodies at once. */
  readonly bodyMemoryBytes: number;
  readonly connectionsMax: number;
  readonly drainTimeoutMs: number;
  /** Limits above which requests are refused. */
  readonly overload: { readonly loopLagMs: number; readonly requestsMax: number };
  /** Absent: in the clear. */
  readonly tls?: KeyPairFiles;
}

/** How one endpoint's health is asked; `path` is for `http` only. */
export interface HealthCheck {
  readonly kind: "http" | "grpc";
  readonly port: number;
  readonly path: string;
}

/** A statically configured endpoint, complete. */
export interface EndpointConfig {
  /** `scheme://host:port`. */
  readonly url: string;
  readonly scheme: "http" | "https";
  /** IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Empty: ask the server. */
  readonly models: readonly string[];
  readonly engine: string;
  readonly health: HealthCheck;
  readonly metrics: { readonly port: number; readonly path: string };
  readonly feed: FeedConfig;
  /** Data-parallel ranks behind the port. */
  readonly ranks: number;
}

export type FeedKind = (typeof feedKinds)[number];

/** Where one endpoint tells what it caches. */
export interface FeedConfig {
  readonly kind: FeedKind;
  /** Absent: the endpoint's own. */
  readonly host?: string;
  readonly port: number;
  readonly replayPort?: number;
  readonly topic: string;
  readonly tls: boolean;
}

export type TokenSourceName = (typeof tokenSources)[number];

export interface TokensConfig {
  readonly source: TokenSourceName;
  readonly models: readonly {
    readonly model: string;
    readonly source: TokenSourceName;
    readonly directory?: string;
    readonly url?: string;
  }[];
  readonly cacheBytes: number;
  readonly workers: number;
  /** 0: never. */
  readonly checkEvery: number;
  readonly timeoutMs: number;
}

export interface SnapshotConfig {
  readonly file?: string;
  readonly peers: readonly string[];
}

export interface DnsConfig {
  readonly name: string;
  readonly type: "A" | "SRV";
  /** For A records; SRV records carry their own. */
  readonly port: number;
  readonly intervalMs: number;
}

export interface PoolConfig {
  /** Slots of the endpoint table. */
  readonly capacity: number;
  readonly modelsIntervalMs: number;
  readonly health: {
    readonly kind: "http" | "grpc";
    readonly path: string;
    readonly intervalMs: number;
    readonly timeoutMs: number;
    /** In a row, to eject. */
    readonly failures: number;
    /** In a row, to admit. */
    readonly successes: number;
  };
  readonly load: {
    readonly path: string;
    readonly busyIntervalMs: number;
    readonly idleIntervalMs: number;
    readonly deadlineMs: number;
    readonly staleAfterMs: number;
  };
  readonly ejection: {
    readonly enabled: boolean;
    readonly failures: number;
    /** Shares, 0 to 1. */
    readonly errorRate: number;
    readonly successGap: number;
    readonly windowMs: number;
    readonly requestsMin: number;
    /** 0: never. */
    readonly slowFactor: number;
    readonly slowFloorMs: number;
    readonly timeMs: number;
    readonly timeMaxMs: number;
    readonly probes: number;
    readonly probeSuccesses: number;
    readonly probeTimeoutMs: number;
    /** Share of the pool, 0 to 1. */
    readonly shareMax: number;
  };
}

export interface UpstreamConfig {
  readonly connectTimeoutMs: number;
  readonly firstByteTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Per endpoint. */
  readonly idleConnectionsMax: number;
  readonly idleConnectionTimeoutMs: number;
  /** The first choice included. */
  readonly attemptsMax: number;
  /** Whether the client's credentials go on. */
  readonly forwardAuthorization: boolean;
  /** Sent to model servers as it is. */
  readonly authorization?: string;
  readonly firstTokenTimeoutMs: number;
  readonly retryBudget: { readonly ratio: number; readonly minPerSecond: number; readonly burst: number };
  readonly hedge: { readonly after?: number | "p95"; readonly promptTokensMax: number };
  readonly continuation: boolean;
  /** `certFile` and `keyFile` are both there or both absent. */
  readonly tls: { readonly caFile?: string; readonly certFile?: string; readonly keyFile?: string };
}

/** What a key or the keys of a tenant may use; absent means without limit. */
export interface KeyLimits {
  readonly requestsPerMinute?: number;
  readonly tokensPerMinute?: number;
  readonly maxConcurrent?: number;
}

/** An API key. */
export interface KeyConfig extends KeyLimits {
  readonly id: string;
  /** SHA-256 in hex. */
  readonly hash: string;
  readonly tenant: string;
  /** Names or globs; empty: any. */
  readonly models: readonly string[];
  readonly priorityMax?: number;
  readonly trustFairnessHeader: boolean;
  readonly shadow: boolean;
  readonly disabled: boolean;
  /** Wall-clock. */
  readonly expiresMs?: number;
}

export interface TenantConfig extends KeyLimits {
  readonly name: string;
}

export interface KeysConfig {
  /** A request needs a key: keys were spoken of, even if none is left. */
  readonly enforced: boolean;
  readonly list: readonly KeyConfig[];
  readonly tenants: readonly TenantConfig[];
}

export interface AdminConfig {
  readonly host: string;
  readonly port: number;
  /** Absent: in the clear. */
  readonly tls?: KeyPairFiles;
  /** SHA-256 of the token in hex. */
  readonly tokenHash?: string;
  /** The token itself where it is known: for the admin ports of peers. */
  readonly token?: string;
  readonly openMetrics: boolean;
  readonly allowOpen: boolean;
}

export type PolicyName = (typeof policyNames)[number];

/** Where the scheduling profiles come from. */
export type SchedulingConfig =
  & {
    /** Seed of random choices; drawn at start when absent. */
    readonly seed?: number;
  }
  & (
    | { readonly from: "policy"; readonly policy: PolicyName }
    | { readonly from: "endpoint-picker-config"; readonly source: EndpointPickerSource }
    | {
      readonly from: "plugins";
      readonly plugins: readonly unknown[];
      readonly schedulingProfiles: readonly unknown[];
      /** `file:line` of a path below `scheduling`, such as `["plugins", 0, "type"]`. Does not travel to other isolates. */
      readonly where?: (path: readonly PropertyKey[]) => string;
    }
  );

export interface PrefixConfig {
  readonly enabled: boolean;
  readonly blockTokens: number;
  readonly tokensMax: number;
  /** Blocks, for an endpoint that reports no cache size. */
  readonly lruCapacityPerServer: number;
  readonly hashSeed: string;
}

/** One rule of model rewriting: any of `match` (empty: every model) goes to one of `targets`. */
export interface RewriteRule {
  readonly name: string;
  readonly match: readonly string[];
  readonly targets: readonly { readonly model: string; readonly weight?: number }[];
  readonly sticky: "none" | "session";
}

export interface ModelsConfig {
  readonly aliases: Readonly<Record<string, string>>;
  /** The written rules in order, then one exact rule an alias. */
  readonly rules: readonly RewriteRule[];
}

/** What requests of one inference objective have in common. */
export interface ObjectiveConfig {
  readonly name: string;
  readonly priority: number;
  /** Latency targets of requests that name none themselves. */
  readonly slo: Slo;
}

/** Everything the router is told at start: complete, checked and frozen. */
export interface Config {
  readonly server: ServerConfig;
  readonly admin: AdminConfig;
  readonly keys: KeysConfig;
  /** Edge isolates. */
  readonly workers: number;
  readonly endpoints: readonly EndpointConfig[];
  readonly discovery: { readonly file?: string; readonly dns: readonly DnsConfig[] };
  readonly pool: PoolConfig;
  readonly upstream: UpstreamConfig;
  readonly scheduling: SchedulingConfig;
  readonly flow: FlowConfig;
  readonly latency: LatencyConfig;
  readonly prefix: PrefixConfig;
  /** For endpoints that name none of their own, discovered ones too. */
  readonly feed: FeedConfig & { readonly reorderWindowMs: number; readonly graceMs: number };
  readonly tokens: TokensConfig;
  readonly snapshot: SnapshotConfig;
  readonly memory: { readonly prefixTreeBytes: number };
  readonly models: ModelsConfig;
  readonly objectives: readonly ObjectiveConfig[];
  readonly observe: {
    /** `always`: ask the engine for usage and hide it from clients that did not ask. */
    readonly usage: "always" | "client";
    readonly accessLog: boolean;
    readonly logLevel: "debug" | "info" | "warn" | "error";
  };
  readonly tracing: { readonly enabled: boolean; readonly sampleRatio: number };
  /** Files beside the first one that a change of means a new configuration. */
  readonly files: readonly string[];
  /** What works but is likely not meant, for the log. */
  readonly warnings: readonly string[];
}
