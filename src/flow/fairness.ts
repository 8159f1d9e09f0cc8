/** Whose turn it is among the tenants of one model and band. */
import type { FairnessConfig } from "../config/mod.ts";
import type { FlowAsk } from "./types.ts";
import { comesFirst } from "./ordering.ts";
import type { TenantQueue } from "./lane.ts";

/** What one tenant was given, as its band's policy counts. */
export class Tenant {
  /** Tokens by weight (`vtc`, `program-aware`), or the number of its last turn (`round-robin`). */
  service = 0;
  /** When `service` was last brought up to date, where it decays. */
  serviceAtMs = 0;
  /** Its queues with requests in them, one a lane. */
  readonly queues: TenantQueue[] = [];
  /** Requests in them. */
  size = 0;

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
  settled(tenant: Tenant, inputTokens: number, outputTokens: number, nowMs: number): void;
  pick?(queues: readonly TenantQueue[], nowMs: number): TenantQueue;
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
    return one === other ? comesFirst(a.head, b.head) : one < other;
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

/**
 * llm-d's `program-aware-fairness`: `score = wS (1 − service) + wW wait`, both scaled to 0..1 over the tenants that wait
 * (0.5 where all are equal), the highest first. Service is prompt tokens + 2 × output tokens and halves every half-life. It
 * is charged when a request is dispatched and corrected at its end, so that a newcomer cannot flood before its first charge.
 */
class LeastAttainedService implements Fairness {
  readonly #config: ProgramAware;

  constructor(config: ProgramAware) {
    this.#config = config;
  }

  before(a: TenantQueue, b: TenantQueue): boolean {
    return comesFirst(a.head, b.head);
  }

  began(): void {}

  granted(tenant: Tenant, { promptTokens, outputTokens }: FlowAsk, nowMs: number): void {
    this.settled(tenant, promptTokens, outputTokens, nowMs);
  }

  settled(tenant: Tenant, input: number, output: number, nowMs: number): void {
    tenant.service = Math.max(0, this.#decayed(tenant, nowMs) + (input + 2 * output) / tenant.weight);
    tenant.serviceAtMs = nowMs;
  }

  pick(queues: readonly TenantQueue[], nowMs: number): TenantQueue {
    let leastService = Infinity, mostService = -Infinity, first = Infinity, last = -Infinity;
    for (const { tenant, head } of queues) {
      tenant.service = this.#decayed(tenant, nowMs);
      tenant.serviceAtMs = nowMs;
      leastService = Math.min(leastService, tenant.service);
      mostService = Math.max(mostService, tenant.service);
      first = Math.min(first, head.enqueuedAtMs);
      last = Math.max(last, head.enqueuedAtMs);
    }
    const { weightService, weightHeadWait } = this.#config;
    const scaled = (value: number, from: number, to: number) => to > from ? (value - from) / (to - from) : 0.5;
    let best = queues[0], bestScore = -Infinity;
    for (const queue of queues) {
      const score = weightService * (1 - scaled(queue.tenant.service, leastService, mostService)) +
        weightHeadWait * scaled(-queue.head.enqueuedAtMs, -last, -first);
      if (score < bestScore || (score === bestScore && !comesFirst(queue.head, best.head))) continue;
      [best, bestScore] = [queue, score];
    }
    return best;
  }

  #decayed({ service, serviceAtMs }: Tenant, nowMs: number): number {
    const { halfLifeMs } = this.#config;
    return halfLifeMs > 0 ? service * 2 ** (-(nowMs - serviceAtMs) / halfLifeMs) : service;
  }
}
