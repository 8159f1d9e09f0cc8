/**
 * `topology-affinity-scorer`: closer to the endpoint that runs the other leg of the request scores higher.
 *
 * Formula: same host 1.0, rack 0.20, zone 0.05, region 0.02, nothing shared or no peer 0. Parameters: none.
 * Inputs: labels `kubernetes.io/hostname`, `topology.kubernetes.io/{rack,zone,region}`.
 */
import { definePlugin, noParams } from "../definition.ts";
import { Topology } from "../topology.ts";

/** By distance; the last is for endpoints that share no level. */
const scores = [1, 0.2, 0.05, 0.02, 0] as const;

export const topologyAffinityScorer = definePlugin({
  type: "topology-affinity-scorer",
  kinds: ["scorer"],
  summary: "close to the endpoint of the other leg",
  params: noParams,
  create(name, _, { table }) {
    const topology = new Topology(table);
    return {
      type: "topology-affinity-scorer",
      name,
      category: "affinity",
      score(ctx, slots, n, out) {
        for (let i = 0; i < n; i++) out[i] = ctx.peer < 0 ? 0 : scores[topology.distance(slots[i], ctx.peer)];
      },
    };
  },
});
