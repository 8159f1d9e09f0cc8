import type { FeedDeps } from "./turns.ts";
import { sglangGrpc } from "./grpc_sglang.ts";
import { type GrpcOptions, GrpcSource } from "./grpc_source.ts";
import { vllmGrpc } from "./grpc_vllm.ts";
import { AgentSource, type AgentSourceOptions } from "./agent.ts";
import type { FeedSource } from "./types.ts";
import { type ZmqOptions, ZmqSource } from "./zmq.ts";

export type ZmqFeedOptions = { readonly kind: "zmq" } & ZmqOptions;

/** A feed as configuration or discovery names it. */
export type FeedSourceOptions =
  | ZmqFeedOptions
  | { readonly kind: "vllm-grpc" } & GrpcOptions
  | { readonly kind: "sglang-grpc" } & GrpcOptions
  | { readonly kind: "agent" } & Omit<AgentSourceOptions, keyof FeedDeps>;

/** The source of a feed. Opens nothing before `run`. */
export function feedSource(options: FeedSourceOptions, deps: FeedDeps): FeedSource {
  switch (options.kind) {
    case "zmq":
      return new ZmqSource(options, deps);
    case "vllm-grpc":
      return new GrpcSource(vllmGrpc, options, deps);
    case "sglang-grpc":
      return new GrpcSource(sglangGrpc, options, deps);
    case "agent":
      return new AgentSource({ ...options, ...deps });
  }
}

/** What an SGLang server says of its own event publisher. */
export interface SglangFeed {
  /** Of the rank asked for. */
  readonly feed: ZmqFeedOptions;
  readonly ranks: number;
  /** Tokens of a page. */
  readonly blockTokens?: number;
}

/**
 * Reads the publisher out of the JSON of `GET /server_info`: `kv_events`, and the replay port from there or from the launch
 * argument `kv_events_config`. `host` is where the server was asked, for a publisher bound to every address; ports are those
 * of `rank`. Undefined when the server publishes nothing over ZMQ, or does not say where.
 */
export function discoverSglangFeed(serverInfo: unknown, host: string, rank = 0): SglangFeed | undefined {
  const { kv_events: described, kv_events_config: launched } = recordOf(serverInfo);
  const events = recordOf(described);
  const port = portOf(events.endpoint_port_base, rank);
  if (events.publisher !== "zmq" || port === undefined) return undefined;
  const replayPort = portOf(events.replay_endpoint_port_base ?? replayPortIn(launched), rank);
  return {
    feed: {
      kind: "zmq",
      host: hostOf(events.endpoint_host) ?? host,
      port,
      ...(replayPort !== undefined && { replayPort }),
      topic: typeof events.topic === "string" ? events.topic : "",
    },
    ranks: countOf(events.dp_size) ?? 1,
    ...(countOf(events.block_size) !== undefined && { blockTokens: countOf(events.block_size) }),
  };
}

/** A launch argument is JSON in a string. */
function replayPortIn(config: unknown): number | undefined {
  let parsed = config;
  try {
    if (typeof config === "string") parsed = JSON.parse(config);
  } catch {
    return undefined;
  }
  const endpoint = recordOf(parsed).replay_endpoint;
  const port = typeof endpoint === "string" ? endpoint.match(/^tcp:\/\/.*:(\d+)$/)?.[1] : undefined;
  return port === undefined ? undefined : Number(port);
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? value as Record<string, unknown> : {};
}

function countOf(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 1 ? value : undefined;
}

function portOf(base: unknown, rank: number): number | undefined {
  const port = countOf(base);
  return port !== undefined && port + rank <= 65_535 ? port + rank : undefined;
}

/** Undefined for a publisher that is bound to every address of its host. */
function hostOf(value: unknown): string | undefined {
  return typeof value === "string" && !["", "*", "0.0.0.0", "::", "[::]"].includes(value) ? value : undefined;
}
