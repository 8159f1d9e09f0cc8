/** From configuration to what the router's parts are given. */
import { ConfigError } from "../core/mod.ts";
import type { Config } from "../config/mod.ts";
import type { BreakerOptions } from "../pool/mod.ts";
import type { FlowSetup } from "./flow_desk.ts";
import { flowOptions, type PipelineOptions } from "../pipeline/mod.ts";
import type { UpstreamOptions } from "../upstream/mod.ts";
import type { SchedulingSetup } from "./scheduling.ts";

/** Output tokens reserved where a request names no limit or a higher one: the mean of a long chat answer. */
const outputTokensAssumed = 512;

/** The certificates of `upstream.tls.caFile`. Throws ConfigError. */
export async function readCa(config: Config): Promise<string[] | undefined> {
  const { caFile } = config.upstream.tls;
  if (caFile === undefined) return undefined;
  try {
    return [await Deno.readTextFile(caFile)];
  } catch (error) {
    throw new ConfigError(caFile, "upstream.tls.caFile", `must be a readable file: ${(error as Error).message}`);
  }
}

/** What the queue is told of a configuration. */
export function flowSetup({ objectives }: Config, { flow }: Pick<SchedulingSetup, "flow">): FlowSetup {
  return { flow, priorities: objectives.map(({ priority }) => priority) };
}

export function upstreamOptions({ upstream }: Config): Partial<UpstreamOptions> {
  const { connectTimeoutMs, firstByteTimeoutMs, idleTimeoutMs, idleConnectionsMax, idleConnectionTimeoutMs } = upstream;
  return {
    connectTimeoutMs,
    firstByteTimeoutMs,
    idleTimeoutMs,
    idleConnectionsMax,
    keepAliveMs: idleConnectionTimeoutMs,
  };
}

export function breakerOptions({ pool: { ejection } }: Config): Partial<BreakerOptions> {
  const { timeMs, timeMaxMs, ...same } = ejection;
  return { ...same, baseMs: timeMs, maxMs: timeMaxMs };
}

export function pipelineOptions(config: Config, { prefix, flow, latency }: SchedulingSetup): PipelineOptions {
  const { priorities } = flowSetup(config, { flow });
  return {
    flow: flowOptions(flow, priorities),
    attemptsMax: config.upstream.attemptsMax,
    retryBudget: config.upstream.retryBudget,
    hedge: config.upstream.hedge,
    firstTokenTimeoutMs: config.upstream.firstTokenTimeoutMs,
    continuation: config.upstream.continuation,
    usage: config.observe.usage,
    blockTokens: prefix.blockTokens,
    prefixEnabled: prefix.enabled,
    predictions: latency,
    objectives: new Map(config.objectives.map((objective) => [objective.name, objective])),
    outputTokensAssumed,
    forwardAuthorization: config.upstream.forwardAuthorization,
    authorization: config.upstream.authorization,
  };
}
