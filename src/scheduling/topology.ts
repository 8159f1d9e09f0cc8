import type { EndpointMeta, EndpointTable } from "../core/mod.ts";
import { DerivedColumn } from "./derived.ts";

export const topologyLevels = ["host", "rack", "zone", "region"] as const;
export type TopologyLevel = (typeof topologyLevels)[number];

const topologyLabels = [
  "kubernetes.io/hostname",
  "topology.kubernetes.io/rack",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
] as const;

/** Where endpoints stand, from their labels. */
export class Topology {
  readonly #places: DerivedColumn<readonly (string | undefined)[]>;

  constructor(table: EndpointTable) {
    this.#places = new DerivedColumn(table, (meta: EndpointMeta) => topologyLabels.map((label) => meta.labels[label]));
  }

  /** Index into {@link topologyLevels} of the closest level two endpoints share; 4 when they share none. */
  distance(a: number, b: number): number {
    const here = this.#places.get(a), there = this.#places.get(b);
    for (let level = 0; level < topologyLevels.length; level++) {
      if (here[level] !== undefined && here[level] === there[level]) return level;
    }
    return topologyLevels.length;
  }
}
