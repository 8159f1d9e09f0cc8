import type { BandConfig, FlowConfig, FlowLimits } from "../config/mod.ts";
import { type Fairness, fairnessOf, Tenant } from "./fairness.ts";
import type { FlowAsk, Waiting } from "./types.ts";

/** Tenants remembered of one model and band that have nothing waiting. */
const idleTenantsMax = 4_096;
/** Bands beside the configured ones. */
const dynamicBandsMax = 64;
/** Most that a band that was passed over can have saved up, in dispatches. */
const creditMax = 2;

/** What waits, in the units of limits. */
export class Held {
  requests = 0;
  tokens = 0;
  bytes = 0;

  add(ask: FlowAsk, sign: 1 | -1): void {
    this.requests += sign;
    this.tokens += sign * (ask.promptTokens + ask.outputTokens);
    this.bytes += sign * ask.bodyBytes;
  }

  /** Which limit one more would pass; undefined for none. `stretch` widens them. */
  exceeds(limits: FlowLimits, ask: FlowAsk, stretch = 1): keyof FlowLimits | undefined {
    const over = (held: number, more: number, max: number | undefined) =>
      max !== undefined && held + more > max * stretch;
    if (over(this.requests, 1, limits.maxRequests)) return "maxRequests";
    if (over(this.tokens, ask.promptTokens + ask.outputTokens, limits.maxTokens)) return "maxTokens";
    return over(this.bytes, ask.bodyBytes, limits.maxBytes) ? "maxBytes" : undefined;
  }
}

/** The tenants of one model in one band: they share what its endpoints can do. */
export class Domain {
  readonly fairness: Fairness;
  readonly tenants = new Map<string, Tenant>();
  readonly #weightOf: (tenant: string) => number;

  constructor(fairness: Fairness, weightOf: (tenant: string) => number) {
    this.fairness = fairness;
    this.#weightOf = weightOf;
  }

  tenant(name: string): Tenant {
    let tenant = this.tenants.get(name);
    if (tenant) return tenant;
    this.tenants.set(name, tenant = new Tenant(name, this.#weightOf(name)));
    let looks = 8;
    for (const [other, { queues }] of this.tenants) {
      if (this.tenants.size <= idleTenantsMax || looks-- === 0) break;
      this.tenants.delete(other);
      // One that waits is put behind the others, so that the look goes on from there.
      if (queues.length > 0) this.tenants.set(other, queues[0].tenant);
    }
    return tenant;
  }
}

/** Requests of one priority, over all lanes. */
export class Band {
  readonly held = new Held();
  config: BandConfig;
  /** Dispatches it is owed for its share. */
  credit = 0;
  readonly #domains = new Map<string, Domain>();
  readonly #weightOf: (tenant: string) => number;
  /** In the order in which they came; those that ended are dropped when they come to the front, or outnumber the rest. */
  #arrivals: Waiting[] = [];
  #front = 0;

  constructor(readonly priority: number, config: BandConfig, weightOf: (tenant: string) => number) {
    this.config = config;
    this.#weightOf = weightOf;
  }

  domain(model: string): Domain {
    let domain = this.#domains.get(model);
    if (!domain) this.#domains.set(model, domain = new Domain(fairnessOf(this.config.fairness), this.#weightOf));
    return domain;
  }

  domains(): Iterable<[string, Domain]> {
    return this.#domains;
  }

  /** From now on this counts; a model whose requests wait keeps its fairness policy until none does. */
  use(config: BandConfig): void {
    this.config = config;
    for (const [model, { tenants }] of this.#domains) {
      if (![...tenants.values()].some(({ queues }) => queues.length > 0)) this.#domains.delete(model);
    }
  }

  arrived(item: Waiting): void {
    if (this.#arrivals.length > 2 * this.held.requests + 64) {
      this.#arrivals = this.#arrivals.filter(({ ended }) => !ended);
      this.#front = 0;
    }
    this.#arrivals.push(item);
  }

  /** The request that has waited longest; undefined when none waits. */
  get oldest(): Waiting | undefined {
    while (this.#front < this.#arrivals.length && this.#arrivals[this.#front].ended) this.#front++;
    return this.#arrivals[this.#front];
  }

  /** Somebody else was served while it waits. */
  passedOver(share: number): void {
    this.credit = Math.min(creditMax, this.credit + share);
  }
}

/** All bands, highest priority first; one is made when its priority is first asked for. */
export class Bands {
  readonly list: Band[] = [];
  #config: FlowConfig;

  constructor(config: FlowConfig) {
    this.#config = config;
    for (const { priority } of config.bands) this.of(priority);
    this.of(0);
  }

  of(priority: number): Band {
    const { list } = this;
    const at = list.findIndex((band) => band.priority <= priority);
    if (at >= 0 && list[at].priority === priority) return list[at];
    if (list.length >= this.#config.bands.length + dynamicBandsMax) return list[at < 0 ? list.length - 1 : at];
    const band = new Band(priority, bandConfig(this.#config, priority), (tenant) => this.#weightOf(tenant));
    list.splice(at < 0 ? list.length : at, 0, band);
    return band;
  }

  /** Requests that wait stay where they are. */
  use(config: FlowConfig): void {
    this.#config = config;
    for (const { priority } of config.bands) this.of(priority);
    for (const band of this.list) band.use(bandConfig(config, band.priority));
  }

  #weightOf(tenant: string): number {
    return this.#config.tenants[tenant]?.weight ?? 1;
  }
}

function bandConfig({ bands, defaultBand, defaultNegativeBand }: FlowConfig, priority: number): BandConfig {
  return bands.find((band) => band.priority === priority) ?? (priority < 0 ? defaultNegativeBand : defaultBand);
}
