/** Defaults of latency prediction, each with the fact behind it. */
import type { LatencyConfig } from "./latency_types.ts";
import { secondMs } from "./units.ts";

export const latencyDefaults: LatencyConfig = {
  // Under any policy it says in metrics and answers what to expect.
  enabled: true,
  // llm-d's: nine requests in ten are answered as soon as predicted.
  quantile: 0.9,
  training: {
    enabled: true,
    // As llm-d's chart has it: what changes at an endpoint is learned within half a minute.
    intervalMs: 10 * secondMs,
    // Fewer tell nothing beyond the prior: of 600, trees halve no error, they take a twentieth off.
    minSamples: 500,
    // The last quarter of an hour at twenty requests a second: load and prompts change over the day.
    maxSamples: 20_000,
    // Half of llm-d's trees: the prior has told most of it already, and each costs time at every decision.
    trees: 100,
    // llm-d's: enough for load, prompt and prefix to act together.
    depth: 6,
    // llm-d's.
    learningRate: 0.05,
  },
  slo: {
    // What has negative priority was given up by its sender.
    admission: "sheddable",
    // At 1.5 times the capacity 0.956 of those taken then meet their targets; at less goodput is lost, as who misses takes
    // others along.
    admitProbability: 0.9,
    // llm-d's: targets are meant as they are written.
    tpotBufferFactor: 1,
  },
  seedModel: {},
  snapshot: {
    // What a crash may cost: as much is learned anew in as long.
    intervalMs: 60 * secondMs,
  },
  // Who does not ask need not see it, and no header is added to the answers of all others.
  echo: "asked",
};
