/** Endpoints behind a DNS name: every address of it, or every target of its service record. */
import { type Clock, ConfigError, type Prng, reasonOf, type Timer } from "../../core/mod.ts";
import { type DiscoveredEndpoint, type Discovery, endpointId, isPort, normalHost } from "./discovery.ts";

/** A service record's part that matters here. */
export interface ServiceTarget {
  readonly target: string;
  readonly port: number;
}

/** The lookups needed. A name without such records rejects with `Deno.errors.NotFound` or resolves to an empty list. */
export interface DnsResolver {
  addresses(name: string, family: "A" | "AAAA", signal: AbortSignal): Promise<readonly string[]>;
  services(name: string, signal: AbortSignal): Promise<readonly ServiceTarget[]>;
}

/** Asks the system's name servers. */
export const systemResolver: DnsResolver = {
  addresses: (name, family, signal) => Deno.resolveDns(name, family, { signal }),
  services: (name, signal) => Deno.resolveDns(name, "SRV", { signal }),
};

export interface DnsOptions {
  /** For `SRV`, `name` stands for `_http._tcp.name` unless it begins with an underscore itself. */
  readonly name: string;
  /** `A` asks for IPv4 and IPv6 addresses. */
  readonly type: "A" | "SRV";
  /** Needed for `A`; a service record has its own. */
  readonly port?: number;
  /** @default {"http"} */
  readonly scheme?: "http" | "https";
  readonly labels?: DiscoveredEndpoint["labels"];
  readonly engine?: string;
  /** @default {10000} */
  readonly intervalMs?: number;
  /** @default {5000} */
  readonly deadlineMs?: number;
}

/** Answers beyond this many are left out: a table of endpoints is no larger. */
const answersMax = 4096;

/**
 * Looks the name up at an interval. A failed or empty lookup keeps the old list, since name servers fail more often than
 * whole fleets vanish; health checks find the servers that did.
 */
export class DnsDiscovery implements Discovery {
  readonly name: string;
  readonly #options: DnsOptions;
  readonly #intervalMs: number;
  readonly #resolver: DnsResolver;
  readonly #clock: Clock;
  readonly #prng: Prng;
  #onChange: (desired: readonly DiscoveredEndpoint[]) => void = () => {};
  #onError: (error: Error) => void = () => {};
  #timer?: Timer;
  #running?: AbortController;
  #stopped = false;
  /** Address families that had records. */
  readonly #families = new Set<"A" | "AAAA">();
  #last = "";
  #lastError = "";

  /** @throws {ConfigError} When the name or port is none. */
  constructor(options: DnsOptions, parts: { clock: Clock; prng: Prng; resolver?: DnsResolver; where?: string }) {
    const where = parts.where ?? "dns discovery";
    const name = normalHost(options.name);
    if (!name) throw new ConfigError(where, "name", `must be a DNS name: current value is "${options.name}"`);
    if (options.type === "A" && !(options.port !== undefined && isPort(options.port))) {
      throw new ConfigError(where, "port", `must be a port from 1 to 65535: current value is ${options.port}`);
    }
    this.name = `dns ${name}`;
    this.#options = { ...options, name };
    this.#intervalMs = options.intervalMs ?? 10_000;
    this.#resolver = parts.resolver ?? systemResolver;
    this.#clock = parts.clock;
    this.#prng = parts.prng;
  }

  async start(
    onChange: (desired: readonly DiscoveredEndpoint[]) => void,
    onError: (error: Error) => void,
  ): Promise<void> {
    this.#onChange = onChange;
    this.#onError = onError;
    await this.#look();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#running?.abort(new Error("DNS discovery stopped"));
  }

  async #look(): Promise<void> {
    const running = this.#running = new AbortController();
    const deadlineMs = this.#options.deadlineMs ?? 5000;
    const deadline = this.#clock.after(
      deadlineMs,
      () => running.abort(new Error(`no answer within ${deadlineMs} ms`)),
      { background: true },
    );
    try {
      const found = await this.#resolve(running.signal);
      if (!this.#stopped) this.#deliver(found);
    } catch (error) {
      if (!this.#stopped) this.#report(error);
    } finally {
      deadline.cancel();
      this.#running = undefined;
    }
    if (this.#stopped) return;
    const waitMs = this.#intervalMs * (0.9 + 0.2 * this.#prng.float());
    this.#timer = this.#clock.after(waitMs, () => void this.#look(), { background: true });
  }

  async #resolve(signal: AbortSignal): Promise<DiscoveredEndpoint[]> {
    const { name, type, port, scheme = "http", labels = {}, engine } = this.#options;
    const targets = type === "SRV"
      ? await this.#resolver.services(name.startsWith("_") ? name : `_http._tcp.${name}`, signal)
      : (await this.#addresses(name, signal)).map((target) => ({ target, port: port! }));
    const byId = new Map<string, DiscoveredEndpoint>();
    for (const target of targets.slice(0, answersMax)) {
      const host = normalHost(target.target);
      if (!host || !isPort(target.port)) throw new Error(`answer ${target.target}:${target.port} is no endpoint`);
      const found: DiscoveredEndpoint = { scheme, host, port: target.port, labels, engine };
      byId.set(endpointId(found), found);
    }
    if (byId.size === 0) throw new Error("the answer is empty");
    return [...byId].sort(([a], [b]) => a < b ? -1 : 1).map(([, found]) => found);
  }

  /**
   * Both families; one may have no records. Deno reports a server failure as `NotFound` like an empty answer, so a family
   * that had records and lost them all makes the whole answer unsure.
   */
  async #addresses(name: string, signal: AbortSignal): Promise<string[]> {
    const family = async (kind: "A" | "AAAA") => {
      const found = await this.#resolver.addresses(name, kind, signal).catch((error) => {
        if (error instanceof Deno.errors.NotFound) return [];
        throw error;
      });
      if (found.length > 0) this.#families.add(kind);
      else if (this.#families.has(kind)) throw new Error(`no ${kind} records where there were some`);
      return found;
    };
    return (await Promise.all([family("A"), family("AAAA")])).flat();
  }

  #deliver(found: readonly DiscoveredEndpoint[]): void {
    this.#lastError = "";
    const ids = found.map(endpointId).join(" ");
    if (ids === this.#last) return;
    this.#last = ids;
    this.#onChange(found);
  }

  #report(error: unknown): void {
    const message = reasonOf(error);
    if (message === this.#lastError) return;
    this.#lastError = message;
    this.#onError(new Error(`Cannot look up ${this.name}, keeping the old list: ${message}`, { cause: error }));
  }
}
