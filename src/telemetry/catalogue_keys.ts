import type { MetricDefinition } from "./definition.ts";

const keyLabels = ["key", "tenant"] as const;

/** What API keys were refused and what they used. Keys by their id; beyond 200 ids and tenants `other`. */
export const keyCatalogue = {
  key_refusals_total: {
    type: "counter",
    unit: "requests",
    labels: [...keyLabels, "reason"],
    help: "Requests refused for their API key or its limits; without key and tenant where the key is not known.",
  },
  key_shadow_refusals_total: {
    type: "counter",
    unit: "requests",
    labels: [...keyLabels, "reason"],
    help: "Requests of keys in shadow that would have been refused and were not.",
  },
  key_tokens_total: {
    type: "counter",
    unit: "tokens",
    labels: [...keyLabels, "kind"],
    help: "Tokens charged to API keys at the end of requests: of the prompt and of the completion.",
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;
