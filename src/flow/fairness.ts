/** Whose turn it is among the tenants of one model and band. */
import type { FairnessConfig } from "../config/mod.ts";
import type { FlowAsk } from "./types.ts";
import { comesFirst } from "./ordering.ts";
import type { TenantQueue } from "./lane.ts";

/** What one tenant was given, as its band's policy counts. */
export class Tenant {
  /** Tokens by weight (`vtc`, `program-aware`), or the number of its last turn (`round-robin`). */
  service = 0;
  /** Where it decays: the moment whose tokens `service` is counted in. */
  serviceOfMs = 0;
  /** Its queues with requests in them, one a lane. */
  readonly queues: TenantQueue[] = [];
  /** Requests in them. */
  size = 0;

  /** See `Accounts`. */
  account = 0;

  constructor(readonly name: string, public weight: number) {}
}

/**
 * A policy over the tenants of one domain. `before` orders queues that are not empty; it may change for a queue when
 * `began`, `granted` or `settled` is called for its tenant, and with the queue's first request, never else. A policy with
 * `pick` has no such order and looks at all of them each time.
 */
export interface Fairness {
  before(a: TenantQueue, b: TenantQueue): boolean;
  /** The tenant waits now and did not before. */
  began(tenant: Tenant): void;
  /** A request of it was dispatched. */
  granted(tenant: Tenant, ask: FlowAsk, nowMs: number): void;
  /** It used so many tokens more (or less) than was assumed. */
  settled(tenant: Tenant, inputTokens: number, outputTokens: number, now: () => number): void;
  pick?(queues: readonly TenantQueue[]): TenantQueue;
}

export function fairnessOf(config: FairnessConfig): Fairness {
  switch (config.policy) {
    case "global-strict":
      return new GlobalStrict();
    case "round-robin":
      return new RoundRobin();
    case "vtc":
      return new TokenCounter(config.inputWeight, config.outputWeight);
    case "program-aware":
      return new LeastAttainedService(config);
  }
}

class GlobalStrict implements Fairness {
  before(a: TenantQueue, b: TenantQueue): boolean {
    return comesFirst(a.head, b.head);
  }
  began(): void {}
  granted(): void {}
  settled(): void {}
}

class RoundRobin implements Fairness {
  #turn = 0;

  before(a: TenantQueue, b: TenantQueue): boolean {
    const one = a.tenant.service, other = b.tenant.service;
    // Equal in the queues of one tenant in several lanes.
    return one === other ? comesFirst(a.head, b.head) : one < other;
  }

  /** At the end of the round: one that comes with ever new names gains nothing. */
  began(tenant: Tenant): void {
    tenant.service = ++this.#turn;
  }

  granted(tenant: Tenant): void {
    tenant.service = ++this.#turn;
  }

  settled(): void {}
}

/**
 * Virtual token counter (arXiv 2401.00588): serves the tenant whose weighted tokens, over its weight, are least. The
 * expected tokens are charged when a request is dispatched, the difference when it has ended. A tenant that begins to wait
 * is lifted to where the one served last stood: what it did not use meanwhile is nobody's debt. Of two tenants that wait
 * throughout, neither gets more than two of the dearest requests ahead of the other.
 */
class TokenCounter implements Fairness {
  #last = 0;

  constructor(readonly inputWeight: number, readonly outputWeight: number) {}

  before(a: TenantQueue, b: TenantQueue): boolean {
    const one = a.tenant.service, other = b.tenant.service;
    return one === other ? a.headNumber < b.headNumber : one < other;
  }

  began(tenant: Tenant): void {
    if (tenant.service < this.#last) tenant.service = this.#last;
  }

  granted(tenant: Tenant, ask: FlowAsk): void {
    this.#last = Math.max(this.#last, tenant.service);
    this.#charge(tenant, ask.promptTokens, ask.outputTokens);
  }

  settled(tenant: Tenant, inputTokens: number, outputTokens: number): void {
    this.#charge(tenant, inputTokens, outputTokens);
  }

  #charge(tenant: Tenant, input: number, output: number): void {
    tenant.service += (this.inputWeight * input + this.outputWeight * output) / tenant.weight;
  }
}

type ProgramAware = Extract<FairnessConfig, { policy: "program-aware" }>;

/** Half-lives after which service is counted in tokens of another moment: numbers hold a thousand. */
const halfLivesMax = 500;

/**
 * llm-d's `program-aware-fairness`: `score = wS (1 − service) + wW wait`, both scaled to 0..1 over the tenants that wait
 * (0.5 where all are equal), the highest first. Service is prompt tokens + 2 × output tokens and halves every half-life. It
 * is charged when a request is dispatched and corrected at its end, so that a newcomer cannot flood before its first charge.
 * As all decays alike and only relations count, no service is ever lowered: later tokens count for more.
 */
class LeastAttainedService implements Fairness {
  readonly #config: ProgramAware;
  #ofMs = 0;

  constructor(config: ProgramAware) {
    this.#config = config;
  }

  before(a: TenantQueue, b: TenantQueue): boolean {
    return comesFirst(a.head, b.head);
  }

  began(): void {}

  granted(tenant: Tenant, { promptTokens, outputTokens }: FlowAsk, nowMs: number): void {
    this.settled(tenant, promptTokens, outputTokens, () => nowMs);
  }

  settled(tenant: Tenant, input: number, output: number, now: () => number): void {
    const { halfLifeMs } = this.#config, nowMs = now();
    if (halfLifeMs > 0 && nowMs - this.#ofMs > halfLivesMax * halfLifeMs) this.#ofMs = nowMs;
    const tokens = (input + 2 * output) / tenant.weight;
    tenant.service = Math.max(0, this.#service(tenant) + tokens / this.#decay(this.#ofMs, nowMs));
  }

  pick(queues: readonly TenantQueue[]): TenantQueue {
    let least = Infinity, most = -Infinity, first = Infinity, last = -Infinity;
    for (let i = 0; i < queues.length; i++) {
      const { tenant, headAtMs } = queues[i];
      const service = this.#service(tenant);
      if (service < least) least = service;
      if (service > most) most = service;
      if (headAtMs < first) first = headAtMs;
      if (headAtMs > last) last = headAtMs;
    }
    const { weightService, weightHeadWait } = this.#config;
    // Where all are equal the score of that part is the same for all.
    const ofService = most > least ? weightService / (most - least) : 0;
    const ofWait = last > first ? weightHeadWait / (last - first) : 0;
    let best = queues[0], bestScore = -Infinity;
    for (let i = 0; i < queues.length; i++) {
      const queue = queues[i];
      const score = ofService * (most - queue.tenant.service) + ofWait * (last - queue.headAtMs);
      if (score < bestScore || (score === bestScore && !comesFirst(queue.head, best.head))) continue;
      best = queue;
      bestScore = score;
    }
    return best;
  }

  /** A tenant's service in tokens of `#ofMs`. */
  #service(tenant: Tenant): number {
    if (tenant.serviceOfMs !== this.#ofMs) {
      tenant.service *= this.#decay(tenant.serviceOfMs, this.#ofMs);
      tenant.serviceOfMs = this.#ofMs;
    }
    return tenant.service;
  }

  #decay(fromMs: number, toMs: number): number {
    const { halfLifeMs } = this.#config;
    return halfLifeMs > 0 ? 2 ** ((fromMs - toMs) / halfLifeMs) : 1;
  }
}
