/** From configuration to the memory that all isolates share. */
import { ConfigError } from "../core/mod.ts";
import { type Config, forestBytesMax } from "../config/mod.ts";
import { Hotpath, type MemorySizes } from "../hotpath/mod.ts";
import { hashSeedOf } from "../kv/mod.ts";
import type { SchedulingSetup } from "./scheduling.ts";

/** Throws ConfigError for more than the memory's 4 GiB. */
export async function layOut(sizes: MemorySizes, { prefix }: SchedulingSetup): Promise<Hotpath> {
  try {
    return await Hotpath.load(sizes, hashSeedOf(prefix.hashSeed));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const keys = "memory.prefixTree, server.bodyBytesMax, workers";
    throw new ConfigError("configuration", keys, `must fit together: ${error.message}`);
  }
}

export function memorySizes(config: Config, { prefix }: SchedulingSetup): MemorySizes {
  return {
    endpoints: config.pool.capacity,
    blockTreeBytes: config.memory.prefixTreeBytes,
    bodyBytesMax: config.server.bodyBytesMax,
    prefixTokensMax: prefix.tokensMax,
    forestBytes: config.latency.enabled ? forestBytesMax : 0,
    // Workers stand beside the control isolate.
    isolates: config.workers === 1 ? 1 : config.workers + 1,
  };
}
