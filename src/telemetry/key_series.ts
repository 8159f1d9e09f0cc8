import { BoundedLabels } from "../core/mod.ts";
import type { MetricStore } from "./store.ts";

/** Why a request was refused for its key: a limit of that name, or the key itself. */
export type KeyRefusal =
  | "missing"
  | "unknown"
  | "expired"
  | "disabled"
  | "model"
  | "requests"
  | "tokens"
  | "concurrency"
  | "changed";

export interface KeyName {
  readonly key: string;
  readonly tenant: string;
}

// 200 keys of one tenant each with every reason are 1,800 series.
const namesMax = 200;

/** The series of API keys, the first names told apart. */
export class KeySeries {
  readonly #store: MetricStore;
  readonly #keys = new BoundedLabels(namesMax, [""]);
  readonly #tenants = new BoundedLabels(namesMax, [""]);

  constructor(store: MetricStore) {
    this.#store = store;
  }

  refused({ key, tenant, reason, shadow }: KeyName & { readonly reason: KeyRefusal; readonly shadow: boolean }): void {
    const name = shadow ? "key_shadow_refusals_total" : "key_refusals_total";
    this.#store.series(name, this.#keys.label(key), this.#tenants.label(tenant), reason).add(1);
  }

  charged(
    { key, tenant, prompt, completion }: KeyName & { readonly prompt: number; readonly completion: number },
  ): void {
    const labels = [this.#keys.label(key), this.#tenants.label(tenant)] as const;
    this.#store.series("key_tokens_total", ...labels, "prompt").add(prompt);
    this.#store.series("key_tokens_total", ...labels, "completion").add(completion);
  }
}
