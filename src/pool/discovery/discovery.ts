/** The words every discovery source speaks. */
import { type EndpointMeta, endpointMeta } from "../../core/mod.ts";

/** How an endpoint's health is asked for. */
export type HealthCheck =
  | { readonly kind: "http"; readonly path: string }
  /** `grpc.health.v1.Health/Check` over cleartext HTTP/2; an empty service asks about the whole server. */
  | { readonly kind: "grpc"; readonly port: number; readonly service: string }
  /** Taken as healthy until requests fail. */
  | { readonly kind: "none" };

/** One model server as a source describes it. */
export interface DiscoveredEndpoint {
  /** Unique in its namespace; `host:port` when left out. */
  readonly name?: string;
  /** @default {"default"} */
  readonly namespace?: string;
  readonly scheme: "http" | "https";
  /** Name or address; IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  /** Data-parallel rank, where several share the port. */
  readonly rank?: number;
  readonly labels: EndpointMeta["labels"];
  /** Engine kind, when the source was told one. */
  readonly engine?: string;
  /** Models the operator says it serves, beside those it reports itself. */
  readonly models?: readonly string[];
  /** Overrides the pool's health check. */
  readonly health?: HealthCheck;
  /** Overrides where the pool reads load. */
  readonly metrics?: { readonly port?: number; readonly path?: string };
}

/** Where endpoints come from. A source delivers whole lists: what is missing from a list is gone. */
export interface Discovery {
  /** Short, for messages: `static`, `file FILE`, `dns NAME`. */
  readonly name: string;
  /**
   * Resolves once the first list was given to `onChange`, or once a source that may come up later has tried. Rejects with
   * `ConfigError` when what the operator wrote is wrong. After that, errors go to `onError` and the last good list stands.
   */
  start(onChange: (desired: readonly DiscoveredEndpoint[]) => void, onError: (error: Error) => void): Promise<void>;
  stop(): void;
}

/** The table's id of a discovered endpoint. */
export function endpointId({ host, port, rank }: Pick<DiscoveredEndpoint, "host" | "port" | "rank">): string {
  return endpointMeta({ host, port, rank }).id;
}

/** A new row for the table; `engine` is the dialect chosen for it. */
export function toMeta(found: DiscoveredEndpoint, engine: string): EndpointMeta {
  const { name, namespace, scheme, host, port, rank, labels } = found;
  return endpointMeta({
    name,
    namespace,
    scheme,
    host,
    port,
    rank,
    labels,
    engine,
    models: (found.models ?? []).map((id) => ({ id })),
  });
}

const hostLabel = /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/;

/** A host in the form the table keeps (names lower-case, IPv6 in brackets and shortened); undefined when it is none. */
export function normalHost(text: string): string | undefined {
  const bare = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1) : text;
  if (bare.includes(":")) {
    const url = URL.parse(`http://[${bare}]/`);
    return url?.hostname;
  }
  const name = bare.endsWith(".") ? bare.slice(0, -1) : bare;
  const labels = name.split(".");
  if (name.length > 253 || !labels.every((label) => hostLabel.test(label))) return undefined;
  // Names that end in a number are addresses to a URL parser: only the usual four parts are taken.
  if (/^\d+$/.test(labels.at(-1)!)) {
    const parts = labels.length === 4 && labels.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
    return parts ? name : undefined;
  }
  return name.toLowerCase();
}

export function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65535;
}
