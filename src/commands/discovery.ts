import { type Clock, Prng, randomSeed } from "../core/mod.ts";
import type { Config, EndpointConfig } from "../config/mod.ts";
import {
  type DiscoveredEndpoint,
  type Discovery,
  DnsDiscovery,
  FileDiscovery,
  type HealthCheck,
  StaticDiscovery,
} from "../pool/mod.ts";

/** Every source of endpoints the configuration names. */
export function discoveries(config: Config, clock: Clock): Discovery[] {
  const { endpoints, discovery } = config;
  const sources: Discovery[] = [];
  if (endpoints.length > 0) sources.push(new StaticDiscovery(endpoints.flatMap(discovered)));
  if (discovery.file !== undefined) sources.push(new FileDiscovery(discovery.file, clock));
  for (const dns of discovery.dns) sources.push(new DnsDiscovery(dns, { clock, prng: new Prng(randomSeed()) }));
  return sources;
}

/** One endpoint, or one a data-parallel rank behind the port. */
function discovered(endpoint: EndpointConfig): DiscoveredEndpoint[] {
  const { name, scheme, host, port, labels, engine, models, metrics, ranks } = endpoint;
  const whole: DiscoveredEndpoint = {
    name,
    scheme,
    host,
    port,
    labels,
    engine,
    models,
    health: healthCheck(endpoint.health),
    metrics: { path: metrics.path, ...(metrics.port === port ? {} : { port: metrics.port }) },
  };
  return ranks === 1
    ? [whole]
    : Array.from({ length: ranks }, (_, rank) => ({ ...whole, name: `${name}#${rank}`, rank }));
}

/** The check the configuration describes, in the pool's words. */
export function healthCheck({ kind, path, port }: { kind: "http" | "grpc"; path: string; port?: number }): HealthCheck {
  return kind === "grpc" && port !== undefined ? { kind, port, service: "" } : { kind: "http", path };
}
