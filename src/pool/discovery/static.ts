/** Endpoints written as URLs. */
import { ConfigError } from "../../core/mod.ts";
import { type DiscoveredEndpoint, type Discovery, endpointId, normalHost } from "./discovery.ts";

/**
 * Reads `http://host:port` (port 80 or 443 when left out).
 *
 * @throws {ConfigError} On anything else; a path is refused as requests keep their own.
 */
export function parseEndpointUrl(text: string, where: string, key: string): DiscoveredEndpoint {
  const fail = (expected: string): never => {
    throw new ConfigError(where, key, `${expected}: current value is "${text}"`);
  };
  const url = URL.parse(text.trim());
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:")) {
    return fail("must be a URL such as http://10.0.0.7:8000");
  }
  if (url.username || url.password) fail("must not hold a user or password");
  if (url.search || url.hash) fail("must not hold a query or fragment");
  if (url.pathname !== "/") fail("must not hold a path: an endpoint is scheme, host and port");
  const host = normalHost(url.hostname) ?? fail("must hold a host name or address");
  if (url.port === "0") fail("must hold a port from 1 to 65535");
  const scheme = url.protocol === "https:" ? "https" : "http";
  return { scheme, host, port: url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port), labels: {} };
}

/** A list of URLs, each once. @throws {ConfigError} */
export function parseEndpointUrls(urls: readonly string[], where: string, key: string): DiscoveredEndpoint[] {
  const seen = new Map<string, number>();
  return urls.map((text, i) => {
    const found = parseEndpointUrl(text, where, `${key}[${i}]`);
    const id = endpointId(found);
    const before = seen.get(id);
    if (before !== undefined) {
      throw new ConfigError(where, `${key}[${i}]`, `must be unique: ${id} stands already at ${key}[${before}]`);
    }
    seen.set(id, i);
    return found;
  });
}

/** A list that does not change. */
export class StaticDiscovery implements Discovery {
  readonly name = "static";
  readonly #endpoints: readonly DiscoveredEndpoint[];

  constructor(endpoints: readonly DiscoveredEndpoint[]) {
    this.#endpoints = endpoints;
  }

  start(onChange: (desired: readonly DiscoveredEndpoint[]) => void): Promise<void> {
    onChange(this.#endpoints);
    return Promise.resolve();
  }

  stop(): void {}
}
