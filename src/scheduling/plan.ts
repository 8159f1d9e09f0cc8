import { latencyDefaults, type SloConfig } from "../config/mod.ts";
import { builtIn } from "./definition.ts";
import { type PluginEntry, PluginSet } from "./plugin_set.ts";
import type { SchedulingPlan } from "./types.ts";

/** Tries after the first: enough for one bad rack, few enough that a client is not kept waiting through a dead pool. */
export const fallbacksMaxDefault = 3;
/** Five samples at the pace an idle engine is scraped with: fewer missing ones are jitter or one failed scrape. */
export const staleAfterMsDefault = 10_000;

/** Plans that have a name. */
export const policies = ["random", "round-robin", "least-request", "llm-d", "default", "predicted"] as const;
export type Policy = (typeof policies)[number];

interface OneProfile {
  readonly admitters?: readonly PluginEntry[];
  readonly filters?: readonly PluginEntry[];
  readonly scorers?: readonly (PluginEntry & { readonly weight?: number })[];
  readonly picker: PluginEntry;
}

/** A plan with one profile named `default`, made of plugins as a configuration would list them. */
export function onePlan({ admitters = [], filters = [], scorers = [], picker }: OneProfile): SchedulingPlan {
  const set = new PluginSet(
    [...admitters, ...filters, ...scorers, picker].map(({ type, name, parameters }) => ({ type, name, parameters })),
    builtIn,
    ["plugins"],
  );
  const handler = set.ensure("single-profile-handler").name;
  return Object.freeze({
    plugins: set.all(),
    profiles: [{
      name: "default",
      filters: filters.map(({ name, type }) => name ?? type),
      scorers: scorers.map(({ name, type, weight = 1 }) => ({ plugin: name ?? type, weight })),
      picker: picker.name ?? picker.type,
    }],
    handler,
    fallbacksMax: fallbacksMaxDefault,
    staleAfterMs: staleAfterMsDefault,
  });
}

/** Warmpath's own plan: least work ahead and least work brought. */
export function defaultPlan(): SchedulingPlan {
  return onePlan({ scorers: [{ type: "token-work-scorer" }], picker: { type: "max-score-picker" } });
}

/** What llm-d does without a configuration: queue 2, KV usage 2, prefix 3. */
export function llmdDefaultPlan(): SchedulingPlan {
  return onePlan({
    scorers: [
      { type: "queue-scorer", weight: 2 },
      { type: "kv-cache-utilization-scorer", weight: 2 },
      { type: "prefix-cache-scorer", weight: 3 },
    ],
    picker: { type: "max-score-picker" },
  });
}

/** Least predicted latency and most targets met; requests that would miss theirs are refused. */
function predictedPlan({ admission, admitProbability }: SloConfig): SchedulingPlan {
  return onePlan({
    admitters: admission === "off"
      ? []
      : [{ type: "slo-probability-admitter", parameters: { mode: admission, admitProbability } }],
    scorers: [{ type: "least-latency-scorer", parameters: { meetsProbability: admitProbability } }],
    picker: { type: "max-score-picker" },
  });
}

/** The plan of a policy by name; `slo` is for the one that predicts. */
export function planFromPolicy(policy: Policy, slo: SloConfig = latencyDefaults.slo): SchedulingPlan {
  switch (policy) {
    case "random":
      return onePlan({ picker: { type: "random-picker" } });
    case "round-robin":
      return onePlan({ picker: { type: "round-robin-picker" } });
    case "least-request":
      return onePlan({ scorers: [{ type: "active-request-scorer" }], picker: { type: "max-score-picker" } });
    case "llm-d":
      return llmdDefaultPlan();
    case "default":
      return defaultPlan();
    case "predicted":
      return predictedPlan(slo);
  }
}
