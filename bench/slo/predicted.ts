/** The policy that predicts, with what it learns during the run. */
import { planFromPolicy } from "../../src/scheduling/mod.ts";
import { type BenchLatencyOptions, BenchLearning } from "../lib/latency.ts";
import type { FleetPolicy } from "./policy.ts";

export function predicted(name: string, options: BenchLatencyOptions): FleetPolicy {
  return {
    name,
    make({ clock }) {
      const learning = new BenchLearning(clock, options);
      return {
        plan: planFromPolicy("predicted", learning.slo),
        latency: (hotpath) => learning.over(hotpath),
        turn: () => learning.turn(),
      };
    },
  };
}
