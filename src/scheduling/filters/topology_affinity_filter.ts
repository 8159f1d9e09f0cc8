/**
 * `topology-affinity-filter`: keeps endpoints close to the one that runs the other leg of the request.
 *
 * Keep rule: shares the peer's host, rack, zone or region, at least as close as `minAffinity`; no peer, or nobody
 * that close → all. Parameters: `minAffinity` host|rack|zone|region (host).
 * Inputs: labels `kubernetes.io/hostname`, `topology.kubernetes.io/{rack,zone,region}`.
 */
import { z } from "zod";
import { definePlugin } from "../definition.ts";
import { Topology, topologyLevels } from "../topology.ts";

export const topologyAffinityFilter = definePlugin({
  type: "topology-affinity-filter",
  kinds: ["filter"],
  summary: "close to the endpoint of the other leg",
  params: z.strictObject({
    minAffinity: z.enum(topologyLevels, `must be one of ${topologyLevels.join(", ")}`).default("host"),
  }),
  create(name, { minAffinity }, { table }) {
    const topology = new Topology(table);
    const farthest = topologyLevels.indexOf(minAffinity);
    const kept = new Uint16Array(table.capacity);
    return {
      type: "topology-affinity-filter",
      name,
      keep(ctx, slots, n) {
        if (ctx.peer < 0) return n;
        let count = 0;
        for (let i = 0; i < n; i++) if (topology.distance(slots[i], ctx.peer) <= farthest) kept[count++] = slots[i];
        if (count === 0) return n;
        for (let i = 0; i < count; i++) slots[i] = kept[i];
        return count;
      },
    };
  },
});
