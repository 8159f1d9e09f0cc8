import { ConfigError } from "../core/mod.ts";
import {
  continuationDefault,
  dnsDefaults,
  endpointDefaults,
  feedDefaults,
  hedgeDefaults,
  memoryDefaults,
  observeDefaults,
  overloadDefaults,
  poolDefaults,
  poolEjectionDefaults,
  poolHealthDefaults,
  poolLoadDefaults,
  prefixDefaults,
  retryBudgetDefaults,
  serverDefaults,
  tokensDefaults,
  tracingDefaults,
  upstreamDefaults,
  workersDefault,
  workersMax,
} from "./defaults.ts";
import { defined } from "./defined.ts";
import { throwProblems } from "./errors.ts";
import { emptyRawConfig, type RawConfig } from "./load.ts";
import type { Overrides } from "./overrides.ts";
import { relationProblems, relationWarnings } from "./relations.ts";
import { resolveFlow } from "./resolve_flow.ts";
import { resolveAdmin, resolveKeys } from "./resolve_keys.ts";
import { resolveLatency } from "./resolve_latency.ts";
import { resolveScheduling } from "./resolve_scheduling.ts";
import type { RawValues } from "./schema.ts";
import type {
  Config,
  EndpointConfig,
  FeedConfig,
  HealthCheck,
  ModelsConfig,
  PoolConfig,
  SnapshotConfig,
  TokensConfig,
  UpstreamConfig,
} from "./types.ts";

/**
 * Fills every default, applies flags and environment, checks what keys must hold towards each other, and freezes.
 * Throws a ConfigError (a ConfigErrors for several mistakes).
 *
 * @example
 * ```ts
 * import { equal } from "node:assert/strict";
 * import { loadConfigText, resolveConfig } from "./mod.ts";
 *
 * const config = resolveConfig(loadConfigText("server: {drainTimeout: 5s}", "warmpath.yaml"), { port: 9000 });
 * equal(config.server.drainTimeoutMs, 5000);
 * equal(config.server.port, 9000);
 * equal(config.pool.capacity, 256);
 * ```
 */
export function resolveConfig(raw: RawConfig = emptyRawConfig, overrides: Overrides = {}): Config {
  const { values } = raw;
  const problems: ConfigError[] = [];
  const scheduling = resolveScheduling(raw, problems);
  const upstream = resolveUpstream(
    values.upstream,
    overrides.upstreamAuthorization ?? raw.secrets?.upstreamAuthorization,
  );
  const pool = resolvePool(values.pool, upstream);
  const feed = resolveFeed(values.feed);
  const config: Config = {
    server: {
      host: overrides.host ?? values.server?.host ?? serverDefaults.host,
      port: overrides.port ?? values.server?.port ?? serverDefaults.port,
      bodyBytesMax: values.server?.bodyBytesMax ?? serverDefaults.bodyBytesMax,
      bodyMemoryBytes: values.server?.bodyMemory ?? serverDefaults.bodyMemoryBytes,
      connectionsMax: values.server?.connectionsMax ?? serverDefaults.connectionsMax,
      drainTimeoutMs: values.server?.drainTimeout ?? serverDefaults.drainTimeoutMs,
      overload: {
        loopLagMs: values.server?.overload?.loopLag ?? overloadDefaults.loopLagMs,
        requestsMax: values.server?.overload?.requestsMax ?? overloadDefaults.requestsMax,
      },
      ...keyPair(values.server?.tls),
    },
    admin: { ...resolveAdmin(raw, overrides), ...keyPair(values.admin?.tls) },
    keys: resolveKeys(raw, overrides, problems),
    workers: countOf(overrides.workers ?? values.workers ?? workersDefault),
    endpoints: resolveEndpoints(
      overrides.endpoints?.map(({ feed, ...url }) => ({ url, feed })) ?? values.endpoints ?? [],
      pool,
      feed,
    ),
    discovery: resolveDiscovery(values.discovery),
    pool,
    upstream,
    scheduling,
    flow: resolveFlow(raw, problems),
    latency: resolveLatency(raw, overrides.trainerToken, problems),
    prefix: { ...prefixDefaults, ...defined(values.prefix) },
    feed: {
      ...feed,
      reorderWindowMs: values.feed?.reorderWindow ?? feedDefaults.reorderWindowMs,
      graceMs: values.feed?.grace ?? feedDefaults.graceMs,
    },
    tokens: resolveTokens(values.tokens),
    snapshot: resolveSnapshot(values.snapshot),
    memory: { prefixTreeBytes: values.memory?.prefixTree ?? memoryDefaults.prefixTreeBytes },
    models: resolveModels(values.models),
    objectives: (values.objectives ?? []).map(({ name, priority, ttftSlo: ttftMs, tpotSlo: tpotMs }) => ({
      name,
      priority,
      slo: defined({ ttftMs, tpotMs }),
    })),
    observe: { ...observeDefaults, ...defined(values.observe) },
    tracing: { ...tracingDefaults, ...defined(values.tracing) },
    files: raw.files ?? [],
    warnings: [],
  };
  problems.push(...relationProblems(config, raw));
  throwProblems(problems);
  return deepFreeze({ ...config, warnings: relationWarnings(config) });
}

/** A half of a pair is complained of where relations are looked at. */
function keyPair(tls: { certFile?: string; keyFile?: string } | undefined) {
  const { certFile, keyFile } = tls ?? {};
  return certFile !== undefined && keyFile !== undefined ? { tls: { certFile, keyFile } } : {};
}

function resolvePool(raw: RawValues["pool"], upstream: UpstreamConfig): PoolConfig {
  const { interval, timeout, ...health } = defined(raw?.health);
  const { load, ejection } = raw ?? {};
  return {
    capacity: raw?.capacity ?? poolDefaults.capacity,
    modelsIntervalMs: raw?.modelsInterval ?? poolDefaults.modelsIntervalMs,
    health: {
      ...poolHealthDefaults,
      ...health,
      intervalMs: interval ?? poolHealthDefaults.intervalMs,
      timeoutMs: timeout ?? poolHealthDefaults.timeoutMs,
    },
    load: {
      path: load?.path ?? poolLoadDefaults.path,
      busyIntervalMs: load?.busyInterval ?? poolLoadDefaults.busyIntervalMs,
      idleIntervalMs: load?.idleInterval ?? poolLoadDefaults.idleIntervalMs,
      deadlineMs: load?.deadline ?? poolLoadDefaults.deadlineMs,
      staleAfterMs: load?.staleAfter ?? poolLoadDefaults.staleAfterMs,
    },
    ejection: resolveEjection(ejection, upstream),
  };
}

function resolveEjection(
  raw: NonNullable<RawValues["pool"]>["ejection"],
  { connectTimeoutMs, firstByteTimeoutMs }: UpstreamConfig,
): PoolConfig["ejection"] {
  const { window, slowFloor, time, timeMax, probeTimeout, ...same } = defined(raw);
  return {
    ...poolEjectionDefaults,
    ...same,
    windowMs: window ?? poolEjectionDefaults.windowMs,
    slowFloorMs: slowFloor ?? poolEjectionDefaults.slowFloorMs,
    timeMs: time ?? poolEjectionDefaults.timeMs,
    timeMaxMs: timeMax ?? poolEjectionDefaults.timeMaxMs,
    // The head of an answer and the first byte of its body may each take so long.
    probeTimeoutMs: probeTimeout ?? connectTimeoutMs + 2 * firstByteTimeoutMs,
  };
}

/** A kind of its own brings its own default port; else what is absent follows `base`. */
function resolveFeed(
  raw: Omit<NonNullable<RawValues["feed"]>, "reorderWindow" | "grace"> = {},
  base?: FeedConfig,
): FeedConfig {
  const kind = raw.kind ?? base?.kind ?? feedDefaults.kind;
  const same = base?.kind === kind ? base : undefined;
  return {
    kind,
    port: raw.port ?? same?.port ?? (kind === "none" ? 0 : feedDefaults.ports[kind]),
    replayPort: raw.replayPort ?? same?.replayPort,
    topic: raw.topic ?? same?.topic ?? feedDefaults.topic,
    tls: raw.tls ?? same?.tls ?? false,
  };
}

function resolveTokens(raw: RawValues["tokens"]): TokensConfig {
  const source = raw?.source ?? tokensDefaults.source;
  return {
    source,
    models: (raw?.models ?? []).map(({ model, source: own, directory, url }) => ({
      model,
      source: own ?? (directory === undefined ? source : "directory"),
      directory,
      url,
    })),
    cacheBytes: raw?.cache ?? tokensDefaults.cacheBytes,
    workers: raw?.workers ?? tokensDefaults.workers,
    checkEvery: raw?.checkEvery ?? tokensDefaults.checkEvery,
    timeoutMs: raw?.timeout ?? tokensDefaults.timeoutMs,
  };
}

function resolveSnapshot(raw: RawValues["snapshot"]): SnapshotConfig {
  return { file: raw?.file, peers: raw?.peers ?? [] };
}

function resolveEndpoints(
  raw: NonNullable<RawValues["endpoints"]>,
  pool: PoolConfig,
  feed: FeedConfig,
): EndpointConfig[] {
  return raw.map((endpoint) => {
    const { scheme, host, port } = endpoint.url;
    const health: HealthCheck = {
      kind: endpoint.health?.kind ?? pool.health.kind,
      port: endpoint.health?.port ?? port,
      path: endpoint.health?.path ?? pool.health.path,
    };
    return {
      url: `${scheme}://${host}:${port}`,
      scheme,
      host,
      port,
      name: endpoint.name ?? `${host}:${port}`,
      labels: endpoint.labels ?? {},
      models: endpoint.models ?? [],
      engine: endpoint.engine ?? endpointDefaults.engine,
      health,
      metrics: { port: endpoint.metrics?.port ?? port, path: endpoint.metrics?.path ?? pool.load.path },
      feed: { ...resolveFeed(endpoint.feed, feed), host: endpoint.feed?.host },
      ranks: endpoint.ranks ?? 1,
    };
  });
}

function resolveDiscovery(raw: RawValues["discovery"]): Config["discovery"] {
  return {
    file: raw?.file,
    dns: (raw?.dns ?? []).map(({ name, type, port, interval }) => ({
      name,
      type: type ?? dnsDefaults.type,
      port: port ?? dnsDefaults.port,
      intervalMs: interval ?? dnsDefaults.intervalMs,
    })),
  };
}

function resolveUpstream(raw: RawValues["upstream"], authorization: string | undefined): UpstreamConfig {
  return {
    connectTimeoutMs: raw?.connectTimeout ?? upstreamDefaults.connectTimeoutMs,
    firstByteTimeoutMs: raw?.firstByteTimeout ?? upstreamDefaults.firstByteTimeoutMs,
    idleTimeoutMs: raw?.idleTimeout ?? upstreamDefaults.idleTimeoutMs,
    idleConnectionsMax: raw?.idleConnectionsMax ?? upstreamDefaults.idleConnectionsMax,
    idleConnectionTimeoutMs: raw?.idleConnectionTimeout ?? upstreamDefaults.idleConnectionTimeoutMs,
    attemptsMax: raw?.attemptsMax ?? upstreamDefaults.attemptsMax,
    forwardAuthorization: raw?.forwardAuthorization ?? upstreamDefaults.forwardAuthorization,
    authorization: authorization ?? raw?.authorization,
    // A silence that is borne before the first byte is borne before the first token.
    firstTokenTimeoutMs: raw?.firstTokenTimeout ?? raw?.firstByteTimeout ?? upstreamDefaults.firstByteTimeoutMs,
    retryBudget: { ...retryBudgetDefaults, ...defined(raw?.retryBudget) },
    hedge: { ...hedgeDefaults, ...defined(raw?.hedge) },
    continuation: raw?.continuation ?? continuationDefault,
    tls: { ...raw?.tls },
  };
}

/** Aliases become exact rules after the written ones. */
function resolveModels(raw: RawValues["models"]): ModelsConfig {
  const aliases = Object.entries(raw?.aliases ?? {});
  const rewrites = (raw?.rewrites ?? []).map((rule) => ({
    name: rule.name,
    match: rule.match ?? [],
    targets: rule.targets,
    sticky: rule.sticky ?? "none",
  }));
  return {
    aliases: Object.fromEntries(aliases),
    rules: [
      ...rewrites,
      ...aliases.map(([name, target]) => ({
        name: aliasRuleName,
        match: [name],
        targets: [{ model: target }],
        sticky: "none" as const,
      })),
    ],
  };
}

/** The rule name that aliases carry in metrics. */
export const aliasRuleName = "alias";

function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    Object.values(value).forEach(deepFreeze);
  }
  return value;
}

/** Edges: one core is left to the control isolate and the system. */
function countOf(workers: number | "auto"): number {
  return workers === "auto" ? Math.min(workersMax, Math.max(1, navigator.hardwareConcurrency - 1)) : workers;
}
