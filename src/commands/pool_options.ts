/** From configuration to the pool's options. */
import type { KeyPair } from "../core/mod.ts";
import type { Config } from "../config/mod.ts";
import type { PoolOptions } from "../pool/mod.ts";
import { healthCheck } from "./discovery.ts";
import { breakerOptions } from "./options.ts";
import type { SchedulingSetup } from "./scheduling.ts";

export function poolOptions(
  config: Config,
  setup: SchedulingSetup,
  caCerts: string[] | undefined,
  authorization: () => string | undefined,
  identity: () => KeyPair | undefined,
): PoolOptions {
  const { health, load, modelsIntervalMs } = config.pool;
  return {
    engines: setup.pool.engines,
    scrape: {
      path: load.path,
      busyIntervalMs: load.busyIntervalMs,
      idleIntervalMs: load.idleIntervalMs,
      deadlineMs: load.deadlineMs,
      ...setup.pool.scrape,
    },
    health: {
      check: healthCheck({ ...health, kind: "http" }),
      intervalMs: health.intervalMs,
      timeoutMs: health.timeoutMs,
      upThreshold: health.successes,
      downThreshold: health.failures,
    },
    breaker: breakerOptions(config),
    models: { intervalMs: modelsIntervalMs },
    http: { caCerts, authorization, identity },
  };
}
