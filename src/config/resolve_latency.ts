import { ConfigError } from "../core/mod.ts";
import { defined } from "./defined.ts";
import { latencyDefaults } from "./latency_defaults.ts";
import type { LatencyConfig } from "./latency_types.ts";
import type { RawConfig } from "./load.ts";

/** The `latency` section with every default; what does not fit together goes to `problems`. */
export function resolveLatency(
  raw: RawConfig,
  serviceToken: string | undefined,
  problems: ConfigError[],
): LatencyConfig {
  const { training, slo, seedModel, snapshot, ...same } = raw.values.latency ?? {};
  const { interval, ...learning } = training ?? {};
  const resolved: LatencyConfig = {
    ...latencyDefaults,
    ...defined(same),
    training: {
      ...latencyDefaults.training,
      ...defined({ ...learning, serviceToken }),
      intervalMs: interval ?? latencyDefaults.training.intervalMs,
    },
    slo: { ...latencyDefaults.slo, ...defined(slo) },
    seedModel: defined(seedModel),
    snapshot: {
      ...defined({ file: snapshot?.file }),
      intervalMs: snapshot?.interval ?? latencyDefaults.snapshot.intervalMs,
    },
  };
  const { minSamples, maxSamples } = resolved.training;
  if (minSamples > maxSamples) {
    const path = ["latency", "training", "maxSamples"];
    const expected = `must be at least latency.training.minSamples (${minSamples}): current value is ${maxSamples}`;
    problems.push(new ConfigError(raw.where(path), path.join("."), expected));
  }
  return resolved;
}
