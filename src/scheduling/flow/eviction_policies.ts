/**
 * What `flowControl.enableEviction` uses, accepted by name: naming one changes nothing. Parameters: none.
 *   sheddable-eviction-filter                 requests of negative priority may be evicted
 *   priority-then-time-eviction-order-policy  lowest priority first, of those the youngest
 */
import { definePlugin, noParams, type PluginType } from "../definition.ts";

function evictionPolicy(type: string, summary: string): PluginType {
  return definePlugin({ type, kinds: ["eviction-policy"], summary, params: noParams });
}

export const evictionPolicies: readonly PluginType[] = [
  evictionPolicy("sheddable-eviction-filter", "requests of negative priority may be evicted"),
  evictionPolicy("priority-then-time-eviction-order-policy", "the lowest priority is evicted first, then the youngest"),
];
