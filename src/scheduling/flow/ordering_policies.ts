/**
 * Which request of a tenant is served next. Parameters: none.
 *   fcfs-ordering-policy          the first that came
 *   edf-ordering-policy           the one whose time to wait ends first
 *   slo-deadline-ordering-policy  the one whose TTFT target (`x-llm-d-slo-ttft-ms`) ends first; those without one last
 *   least-laxity-ordering-policy  the one whose target leaves the least time; not one of llm-d's
 */
import type { OrderingName } from "../../config/mod.ts";
import { definePlugin, noParams, type PluginType } from "../definition.ts";

function orderingPolicy(name: OrderingName, summary: string): PluginType {
  return definePlugin<Record<string, never>, OrderingName>({
    type: `${name}-ordering-policy`,
    kinds: ["ordering-policy"],
    summary,
    params: noParams,
    resolve: () => name,
  });
}

export const orderingPolicies: readonly PluginType[] = [
  orderingPolicy("fcfs", "the first request that came"),
  orderingPolicy("edf", "the request whose time to wait ends first"),
  orderingPolicy("slo-deadline", "the request whose TTFT target ends first"),
  orderingPolicy("least-laxity", "the request whose TTFT target leaves the least time"),
];
