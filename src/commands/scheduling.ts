/** From configuration to a scheduling plan, whichever way it was written. */
import { ConfigError } from "../core/mod.ts";
import { isDeepStrictEqual } from "node:util";
import { type Config, type FlowConfig, flowDefaults, type LatencyConfig, type PrefixConfig } from "../config/mod.ts";
import { importedKnowledge, type KnowledgeConfig } from "./knowledge.ts";
import type { Discovery, PoolOptions } from "../pool/mod.ts";
import { FileDiscovery } from "../pool/mod.ts";
import { systemClock } from "../core/mod.ts";
import {
  type ImportedConfig,
  importEndpointPickerConfig,
  importScheduling,
  planFromPolicy,
  type SchedulingPlan,
} from "../scheduling/mod.ts";

/** How latencies are predicted, with what an EndpointPickerConfig says of it. */
export interface LatencySetup extends LatencyConfig {
  /** False: it is learned and nothing is predicted. */
  readonly predicts: boolean;
  /** Endpoint label that holds the role, where one is named. */
  readonly roleLabel?: string;
}

/** What the scheduling section decides, for the rooms that need it. */
export interface SchedulingSetup {
  readonly plan: SchedulingPlan;
  readonly prefix: PrefixConfig;
  readonly flow: FlowConfig;
  readonly latency: LatencySetup;
  /** Feeds and token ids. */
  readonly knowledge: KnowledgeConfig;
  /** Engines and metric sources an EndpointPickerConfig describes. */
  readonly pool: Pick<PoolOptions, "engines" | "scrape">;
  readonly discovery: readonly Discovery[];
  readonly warnings: readonly string[];
}

/** Reads the plan. Throws ConfigError for what an EndpointPickerConfig or plugin list asks that cannot be done. */
export function schedulingSetup(config: Config): SchedulingSetup {
  const { scheduling, prefix, flow, latency, pool } = config;
  if (scheduling.from === "policy") {
    const plan = { ...planFromPolicy(scheduling.policy, latency.slo), staleAfterMs: pool.load.staleAfterMs };
    return {
      plan,
      prefix,
      flow,
      latency: importedLatency({}, latency),
      knowledge: importedKnowledge(config),
      pool: {},
      discovery: [],
      warnings: [],
    };
  }
  const imported = importedConfig(scheduling);
  return {
    plan: { ...imported.plan, staleAfterMs: pool.load.staleAfterMs },
    prefix: importedPrefix(imported, prefix),
    flow: importedFlow(imported, flow),
    latency: importedLatency(imported, latency),
    knowledge: importedKnowledge(config, imported.feeds, imported.render),
    pool: importedPool(imported),
    discovery: imported.discovery
      ? [new FileDiscovery(imported.discovery.path, systemClock, { watch: imported.discovery.watchFile })]
      : [],
    warnings: imported.flow && !isDeepStrictEqual(flow, flowDefaults)
      ? [...imported.warnings, "flow: has no effect, as the EndpointPickerConfig has feature gate flowControl on"]
      : imported.warnings,
  };
}

function importedConfig(scheduling: Exclude<Config["scheduling"], { from: "policy" }>): ImportedConfig {
  if (scheduling.from === "endpoint-picker-config") {
    return importEndpointPickerConfig(scheduling.source.text, scheduling.source.fileName);
  }
  const { plugins, schedulingProfiles, where = (path) => path.join(".") } = scheduling;
  return importScheduling({ plugins, schedulingProfiles }, where);
}

function importedPrefix({ prefix, feeds }: ImportedConfig, own: PrefixConfig): PrefixConfig {
  const tokensMax = prefix.blocksMax === undefined ? own.tokensMax : prefix.blocksMax * prefix.blockTokens;
  return {
    enabled: own.enabled && tokensMax > 0,
    blockTokens: prefix.blockTokens,
    tokensMax,
    lruCapacityPerServer: prefix.capacityBlocks,
    hashSeed: feeds?.hashSeed || own.hashSeed,
  };
}

/** The router's own but for what is named, unless the import says all of it. */
function importedFlow({ flow, saturation, fairnessHeaders }: ImportedConfig, own: FlowConfig): FlowConfig {
  if (flow) return flow;
  return {
    ...own,
    saturation: saturation ?? own.saturation,
    fairnessHeaders: [...new Set([...own.fairnessHeaders, ...fairnessHeaders])],
  };
}

/** The router's own but for what the producer of predictions says. */
function importedLatency({ latency }: Pick<ImportedConfig, "latency">, own: LatencyConfig): LatencySetup {
  if (!latency) return { ...own, predicts: true };
  const { tpotBufferFactor = own.slo.tpotBufferFactor, predicts, roleLabel } = latency;
  return { ...own, slo: { ...own.slo, tpotBufferFactor }, predicts, roleLabel };
}

function importedPool({ metrics }: ImportedConfig): Pick<PoolOptions, "engines" | "scrape"> {
  if (!metrics) return {};
  const { source, extractor } = metrics;
  for (const key of ["caCertPath", "clientCertPath", "clientKeyPath"] as const) {
    if (source[key] !== undefined) {
      throw new ConfigError(
        "metrics-data-source",
        key,
        "must be absent: certificates of metric sources are not supported yet",
      );
    }
  }
  return {
    engines: extractor,
    scrape: {
      path: source.path,
      port: source.port,
      ...(source.intervalMs === undefined ? {} : { busyIntervalMs: Math.max(50, source.intervalMs) }),
    },
  };
}
