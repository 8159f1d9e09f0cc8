import type { BandConfig, FlowConfig, FlowLimits } from "../config/mod.ts";
import { Accounts } from "./accounts.ts";
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

  /** What were left without `others`. */
  without(...others: readonly Held[]): Held {
    const left = new Held();
    Object.assign(left, this);
    for (const { requests, tokens, bytes } of others) {
      left.requests -= requests;
      left.tokens -= tokens;
      left.bytes -= bytes;
    }
    return left;
  }

  /** Whether one more would pass a limit. `stretch` widens them. */
  exceeds({ maxRequests, maxTokens, maxBytes }: FlowLimits, ask: FlowAsk, stretch = 1): boolean {
    return (maxRequests !== undefined && this.requests + 1 > maxRequests * stretch) ||
      (maxTokens !== undefined && this.tokens + ask.promptTokens + ask.outputTokens > maxTokens * stretch) ||
      (maxBytes !== undefined && this.bytes + ask.bodyBytes > maxBytes * stretch);
  }
}

/** The tenants of one model in one band: they share what its endpoints can do. */
export class Domain {
  readonly fairness: Fairness;
  readonly tenants = new Map<string, Tenant>();
  /** Requests that wait. */
  size = 0;
  /** Dispatches it is owed for its band's share, of those at endpoints that it waits for. */
  credit = 0;
  /** The dispatch that it was last owed for. */
  creditedBy = 0;
  /** Its band has another policy by now: it is replaced when nothing waits in it. */
  outdated = false;
  readonly #weightOf: (tenant: string) => number;

  readonly #accounts: Accounts;

  constructor(fairness: Fairness, weightOf: (tenant: string) => number, accounts: Accounts) {
    this.fairness = fairness;
    this.#weightOf = weightOf;
    this.#accounts = accounts;
  }

  /** What it is owed, when that is a whole dispatch; else 0. */
  get owed(): number {
    return this.credit >= 1 ? this.credit : 0;
  }

  /** Its share of a dispatch, once for each. */
  owe(share: number, dispatch: number): void {
    if (this.creditedBy === dispatch) return;
    this.creditedBy = dispatch;
    this.credit = Math.min(creditMax, this.credit + share);
  }

  /** Weights that changed count from now on. */
  reweigh(): void {
    for (const tenant of this.tenants.values()) tenant.weight = this.#weightOf(tenant.name);
  }

  tenant(name: string): Tenant {
    let tenant = this.tenants.get(name);
    if (tenant) return tenant;
    this.tenants.set(name, tenant = new Tenant(name, this.#weightOf(name)));
    this.#accounts.open(this, tenant);
    let looks = 8;
    for (const [name, other] of this.tenants) {
      if (this.tenants.size <= idleTenantsMax || looks-- === 0) break;
      this.tenants.delete(name);
      // One that waits is put behind the others, so that the look goes on from there.
      if (other.queues.length > 0) this.tenants.set(name, other);
      else this.#accounts.close(other);
    }
    return tenant;
  }

  /** Nothing waits in it, and nothing will. */
  close(): void {
    for (const tenant of this.tenants.values()) this.#accounts.close(tenant);
  }
}

/** Requests of one priority, over all lanes. */
export class Band {
  readonly held = new Held();
  config: BandConfig;
  readonly #domains = new Map<string, Domain>();
  readonly #weightOf: (tenant: string) => number;
  /** In the order in which they came; those that ended are dropped when they come to the front, or outnumber the rest. */
  #arrivals: Waiting[] = [];
  #front = 0;

  readonly #accounts: Accounts;

  constructor(
    readonly priority: number,
    config: BandConfig,
    weightOf: (tenant: string) => number,
    accounts: Accounts,
  ) {
    this.config = config;
    this.#weightOf = weightOf;
    this.#accounts = accounts;
  }

  domain(model: string): Domain {
    let domain = this.#domains.get(model);
    if (!domain || (domain.outdated && domain.size === 0)) {
      domain?.close();
      domain = new Domain(fairnessOf(this.config.fairness), this.#weightOf, this.#accounts);
      this.#domains.set(model, domain);
    }
    return domain;
  }

  domains(): Iterable<Domain> {
    return this.#domains.values();
  }

  /** From now on this counts; a model whose requests wait keeps its fairness policy until none does. */
  use(config: BandConfig): void {
    const other = JSON.stringify(config.fairness) !== JSON.stringify(this.config.fairness);
    this.config = config;
    for (const domain of this.#domains.values()) {
      domain.reweigh();
      if (other) domain.outdated = true;
    }
  }

  /** With aging, each that comes to wait. */
  arrived(item: Waiting): void {
    if (this.#arrivals.length > 2 * this.held.requests + 64) {
      this.#arrivals = this.#arrivals.filter(({ ended }) => !ended);
      this.#front = 0;
    }
    this.#arrivals.push(item);
  }

  /** With aging, the request that has waited longest; undefined when none waits. */
  get oldest(): Waiting | undefined {
    while (this.#front < this.#arrivals.length && this.#arrivals[this.#front].ended) this.#front++;
    return this.#arrivals[this.#front];
  }
}

/** All bands, highest priority first; one is made when its priority is first asked for. */
export class Bands {
  readonly list: Band[] = [];
  readonly accounts = new Accounts();
  #config: FlowConfig;

  constructor(config: FlowConfig) {
    this.#config = config;
    for (const { priority } of config.bands) this.of(priority);
    this.of(0);
  }

  of(priority: number): Band {
    const { list } = this;
    let at = 0;
    while (at < list.length && list[at].priority > priority) at++;
    if (at < list.length && list[at].priority === priority) return list[at];
    if (list.length >= this.#config.bands.length + dynamicBandsMax) return list[Math.min(at, list.length - 1)];
    const weightOf = (tenant: string) => this.#weightOf(tenant);
    const band = new Band(priority, bandConfig(this.#config, priority), weightOf, this.accounts);
    list.splice(at, 0, band);
    return band;
  }

  /** Requests that wait stay where they are. */
  use(config: FlowConfig): void {
    this.#config = config;
    for (const { priority } of config.bands) this.of(priority);
    for (const band of this.list) band.use(bandConfig(config, band.priority));
  }

  #weightOf(tenant: string): number {
    return tenantOf(this.#config, tenant)?.weight ?? 1;
  }
}

/** What is configured for a tenant by name. Clients choose names: those of an object's own methods are none. */
export function tenantOf({ tenants }: FlowConfig, name: string): FlowConfig["tenants"][string] | undefined {
  return Object.hasOwn(tenants, name) ? tenants[name] : undefined;
}

function bandConfig({ bands, defaultBand, defaultNegativeBand }: FlowConfig, priority: number): BandConfig {
  return bands.find((band) => band.priority === priority) ?? (priority < 0 ? defaultNegativeBand : defaultBand);
}
