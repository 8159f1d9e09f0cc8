/** The endpoint list of llm-d's file discovery, YAML or JSON, read with the position of every mistake. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from "yaml";
import { ConfigError } from "../../core/mod.ts";
import { type DiscoveredEndpoint, endpointId, type HealthCheck, isPort, normalHost } from "./discovery.ts";

export const endpointFileBytesMax = 1 << 20;
/** Models one entry may name: an alias repeated over entries must not multiply without bound. */
const modelsMax = 256;

/**
 * Reads a document of the form
 *
 * ```yaml
 * endpoints:
 *   - name: vllm-0            # required, unique in its namespace
 *     namespace: default
 *     address: 10.0.0.7       # required: IPv4, IPv6 or host name
 *     port: "8000"            # required: string or number
 *     labels: {role: decode}
 *     # beyond llm-d:
 *     scheme: http
 *     engine: vllm
 *     models: [Qwen/Qwen3-32B]
 *     health: {grpc: {port: 9000, service: ""}}   # or {path: /health}, or none
 * ```
 *
 * @throws {ConfigError} With `file:line`, the key and what was expected.
 */
export function loadEndpointFile(text: string, fileName: string): DiscoveredEndpoint[] {
  if (text.length > endpointFileBytesMax || new TextEncoder().encode(text).length > endpointFileBytesMax) {
    throw new ConfigError(fileName, "", `must be at most ${endpointFileBytesMax} bytes long`);
  }
  return new Reader(text, fileName).endpoints();
}

type Value = Node | null | undefined;

class Reader {
  readonly #lines = new LineCounter();
  readonly #fileName: string;
  readonly #document;

  constructor(text: string, fileName: string) {
    this.#fileName = fileName;
    this.#document = parseDocument(text, { lineCounter: this.#lines, stringKeys: true, prettyErrors: false });
    const error = this.#document.errors[0];
    if (error) throw new ConfigError(this.#whereAt(error.pos[0]), "", `must be YAML or JSON: ${error.message}`);
  }

  endpoints(): DiscoveredEndpoint[] {
    const root = this.#fields(this.#document.contents, "", ["endpoints"]);
    const list = root.get("endpoints");
    if (list === undefined) {
      throw this.#error(this.#document.contents, "endpoints", "must be a list of endpoints: it is missing");
    }
    const names = new Map<string, string>(), ids = new Map<string, string>();
    return this.#items(list, "endpoints").map((item, i) => {
      const key = `endpoints[${i}]`;
      const found = this.#endpoint(item, key);
      const fields = this.#fields(item, key);
      this.#once(names, `${found.namespace}/${found.name}`, `${key}.name`, fields.get("name"));
      this.#once(ids, endpointId(found), `${key}.address`, fields.get("address"));
      return found;
    });
  }

  #endpoint(item: Value, key: string): DiscoveredEndpoint {
    const known = ["name", "namespace", "address", "port", "labels", "scheme", "engine", "models", "health"];
    const fields = this.#fields(item, key, known);
    const required = (field: string): Value => {
      const value = fields.get(field);
      if (value === undefined) throw this.#error(item, `${key}.${field}`, "is required");
      return value;
    };
    const optional = <T>(field: string, read: (value: Value, key: string) => T): T | undefined => {
      const value = fields.get(field);
      return value === undefined ? undefined : read(value, `${key}.${field}`);
    };
    return {
      name: this.#text(required("name"), `${key}.name`),
      namespace: optional("namespace", (v, k) => this.#text(v, k)) ?? "default",
      host: this.#host(required("address"), `${key}.address`),
      port: this.#port(required("port"), `${key}.port`),
      labels: optional("labels", (v, k) => this.#labels(v, k)) ?? {},
      scheme: optional("scheme", (v, k) => this.#scheme(v, k)) ?? "http",
      engine: optional("engine", (v, k) => this.#text(v, k)),
      models: optional("models", (v, k) => this.#models(v, k)),
      health: optional("health", (v, k) => this.#health(v, k)),
    };
  }

  #models(value: Value, key: string): string[] {
    const items = this.#items(value, key);
    if (items.length > modelsMax) this.#fail(value, key, `must hold at most ${modelsMax} models`);
    return items.map((id, i) => this.#text(id, `${key}[${i}]`));
  }

  #host(value: Value, key: string): string {
    const text = this.#text(value, key);
    return normalHost(text) ?? this.#fail(value, key, "must be an IPv4 or IPv6 address or a host name");
  }

  #port(value: Value, key: string): number {
    const raw = this.#scalar(value, key);
    const port = typeof raw === "string" && /^\d{1,5}$/.test(raw) ? Number(raw) : raw;
    if (typeof port !== "number" || !isPort(port)) this.#fail(value, key, "must be a port from 1 to 65535");
    return port as number;
  }

  #scheme(value: Value, key: string): "http" | "https" {
    const text = this.#text(value, key);
    return text === "http" || text === "https" ? text : this.#fail(value, key, "must be http or https");
  }

  #labels(value: Value, key: string): Record<string, string> {
    const labels: Record<string, string> = {};
    for (const [name, label] of this.#fields(value, key)) {
      const text = this.#scalar(label, `${key}.${name}`);
      if (typeof text !== "string") this.#fail(label, `${key}.${name}`, "must be a string (quote it)");
      labels[name] = text as string;
    }
    return labels;
  }

  #health(value: Value, key: string): HealthCheck {
    const node = this.#resolved(value);
    if (isScalar(node) && node.value === "none") return { kind: "none" };
    const fields = this.#fields(value, key, ["path", "grpc"]);
    const path = fields.get("path"), grpc = fields.get("grpc");
    if ((path === undefined) === (grpc === undefined)) {
      return this.#fail(value, key, "must be none, {path: /health} or {grpc: {port: 9000}}");
    }
    if (path !== undefined) {
      const text = this.#text(path, `${key}.path`);
      if (!text.startsWith("/")) this.#fail(path, `${key}.path`, "must begin with /");
      return { kind: "http", path: text };
    }
    const parts = this.#fields(grpc, `${key}.grpc`, ["port", "service"]);
    const port = parts.get("port"), service = parts.get("service");
    if (port === undefined) throw this.#error(grpc, `${key}.grpc.port`, "is required");
    return {
      kind: "grpc",
      port: this.#port(port, `${key}.grpc.port`),
      service: service === undefined ? "" : String(this.#scalar(service, `${key}.grpc.service`)),
    };
  }

  #text(value: Value, key: string): string {
    const text = this.#scalar(value, key);
    if (typeof text !== "string" || text === "") this.#fail(value, key, "must be a string that is not empty");
    return text as string;
  }

  #scalar(value: Value, key: string): unknown {
    const node = this.#resolved(value);
    return isScalar(node) ? node.value : this.#fail(value, key, "must be a single value");
  }

  #items(value: Value, key: string): Value[] {
    const node = this.#resolved(value);
    return isSeq(node) ? node.items as Value[] : this.#fail(value, key, "must be a list");
  }

  /** The entries of a mapping; with `known`, any other key is refused. */
  #fields(value: Value, key: string, known?: readonly string[]): Map<string, Value> {
    const node = this.#resolved(value);
    if (!isMap(node)) {
      return this.#fail(value, key, known ? `must be a mapping with ${known.join(", ")}` : "must be a mapping");
    }
    const fields = new Map<string, Value>();
    for (const pair of node.items) {
      const name = String((pair.key as { value?: unknown }).value);
      if (known && !known.includes(name)) {
        const path = key === "" ? name : `${key}.${name}`;
        throw this.#error(pair.key as Value, path, `is not a known key: expected one of ${known.join(", ")}`);
      }
      fields.set(name, pair.value as Value);
    }
    return fields;
  }

  #once(seen: Map<string, string>, value: string, key: string, at: Value): void {
    const before = seen.get(value);
    if (before !== undefined) throw this.#error(at, key, `must be unique: ${value} stands already at ${before}`);
    seen.set(value, key);
  }

  #resolved(value: Value): Value {
    return isAlias(value) ? value.resolve(this.#document) : value;
  }

  #fail(value: Value, key: string, expected: string): never {
    const node = this.#resolved(value);
    const current = isScalar(node) ? `: current value is ${JSON.stringify(node.value) ?? "nothing"}` : "";
    throw this.#error(value, key, expected + current);
  }

  #error(value: Value, key: string, expected: string): ConfigError {
    return new ConfigError(this.#whereAt(value?.range?.[0] ?? 0), key, expected);
  }

  #whereAt(offset: number): string {
    return `${this.#fileName}:${Math.max(1, this.#lines.linePos(offset).line)}`;
  }
}
