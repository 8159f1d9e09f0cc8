import type { Domain } from "./band.ts";
import type { Tenant } from "./fairness.ts";

/** Tenants by a number that crosses isolates: what requests used is told long after their turn. */
export class Accounts {
  readonly #open = new Map<number, { readonly domain: Domain; readonly tenant: Tenant }>();
  #last = 0;

  open(domain: Domain, tenant: Tenant): void {
    tenant.account = ++this.#last;
    this.#open.set(tenant.account, { domain, tenant });
  }

  close({ account }: Tenant): void {
    this.#open.delete(account);
  }

  /** A request of the account used so many tokens more (or less) than was assumed. */
  settle(account: number, inputTokens: number, outputTokens: number, now: () => number): void {
    const open = this.#open.get(account);
    if (!open) return;
    const { domain: { fairness }, tenant } = open;
    fairness.settled(tenant, inputTokens, outputTokens, now);
    for (const queue of tenant.queues) queue.band.queues.moved(queue);
  }
}
