import type { Config } from "../config/mod.ts";

/** The feeds of endpoints that stay, by address: one that is new is read as the new configuration says. */
function feedsOf(config: Config, others: Config): unknown {
  const stays = ({ url }: { readonly url: string }) => others.endpoints.some((other) => other.url === url);
  return config.endpoints.filter(stays).map(({ url, feed }) => [url, JSON.stringify(feed)]).sort();
}

/** Settings that sockets, memory and timers were made from: a running router keeps the old values. */
const fixed: readonly { readonly key: string; readonly of: (config: Config) => unknown }[] = [
  { key: "server.host", of: (config) => config.server.host },
  { key: "server.port", of: (config) => config.server.port },
  { key: "server.connectionsMax", of: (config) => config.server.connectionsMax },
  { key: "server.tls", of: (config) => config.server.tls },
  { key: "admin.host", of: (config) => config.admin.host },
  { key: "admin.port", of: (config) => config.admin.port },
  { key: "admin.tls", of: (config) => config.admin.tls },
  { key: "workers", of: (config) => config.workers },
  { key: "memory", of: (config) => config.memory },
  { key: "pool.capacity", of: (config) => config.pool.capacity },
  { key: "pool.health", of: (config) => config.pool.health },
  { key: "pool.load", of: (config) => config.pool.load },
  { key: "pool.ejection", of: (config) => config.pool.ejection },
  { key: "pool.modelsInterval", of: (config) => config.pool.modelsIntervalMs },
  { key: "prefix.blockTokens", of: (config) => config.prefix.blockTokens },
  { key: "prefix.tokensMax", of: (config) => config.prefix.tokensMax },
  { key: "prefix.lruCapacityPerServer", of: (config) => config.prefix.lruCapacityPerServer },
  { key: "prefix.hashSeed", of: (config) => config.prefix.hashSeed },
  { key: "feed", of: (config) => config.feed },
  { key: "tokens", of: (config) => config.tokens },
  { key: "snapshot", of: (config) => config.snapshot },
  { key: "latency.enabled", of: (config) => config.latency.enabled },
  { key: "latency.quantile", of: (config) => config.latency.quantile },
  { key: "latency.training", of: (config) => config.latency.training },
  { key: "latency.seedModel", of: (config) => config.latency.seedModel },
  { key: "latency.snapshot", of: (config) => config.latency.snapshot },
  { key: "upstream.tls", of: (config) => config.upstream.tls },
  { key: "scheduling.seed", of: (config) => config.scheduling.seed },
];

/** The keys that differ and need a restart to take effect. A larger body limit does too: memory was laid out for the old. */
export function restartKeys(before: Config, after: Config): string[] {
  const keys = fixed.filter(({ of }) => JSON.stringify(of(before)) !== JSON.stringify(of(after))).map(({ key }) => key);
  // Where the section for all differs, theirs do too.
  if (!keys.includes("feed") && JSON.stringify(feedsOf(before, after)) !== JSON.stringify(feedsOf(after, before))) {
    keys.push("endpoints[].feed");
  }
  if (after.server.bodyBytesMax > before.server.bodyBytesMax) keys.push("server.bodyBytesMax");
  return keys;
}
