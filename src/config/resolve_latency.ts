import { ConfigError } from "../core/mod.ts";
import { defined } from "./defined.ts";
import { latencyDefaults } from "./latency_defaults.ts";
import type { LatencyConfig } from "./latency_types.ts";
import type { RawConfig } from "./load.ts";

/**
 * Of one packed forest: 2,600 trees of depth 6 for each of two quantiles. Four are laid out in memory; what they do not use costs
 * nothing.
 */
export const forestBytesMax = 4 << 20;
/** Before its trees; more than any set of columns takes. */
const forestHeadBytes = 8192;

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
  const { trees, depth } = resolved.training;
  const bytes = 2 * trees * (8 + 12 * 2 ** depth) + forestHeadBytes;
  if (bytes > forestBytesMax) {
    const path = ["latency", "training", "trees"];
    const most = Math.floor((forestBytesMax - forestHeadBytes) / (2 * (8 + 12 * 2 ** depth)));
    const expected = `must be at most ${most} at latency.training.depth ${depth}: current value is ${trees}`;
    problems.push(new ConfigError(raw.where(path), path.join("."), expected));
  }
  return resolved;
}
