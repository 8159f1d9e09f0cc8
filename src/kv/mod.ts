/** Which blocks each endpoint holds. */
export * from "./calibration.ts";
export * from "./feed.ts";
export * from "./feed_types.ts";
export * from "./feeds.ts";
export * from "./feeds/agent.ts";
export * from "./feeds/agent_wire.ts";
export * from "./feeds/errors.ts";
export type { GrpcOptions } from "./feeds/grpc_source.ts";
export { fetchTokenizer } from "./feeds/grpc_tokenizer.ts";
export {
  discoverSglangFeed,
  feedSource,
  type FeedSourceOptions,
  type SglangFeed,
  type ZmqFeedOptions,
} from "./feeds/sources.ts";
export * from "./feeds/turns.ts";
export { type ZmqOptions, ZmqSource } from "./feeds/zmq.ts";
export type * from "./feeds/types.ts";
export * from "./claims.ts";
export * from "./kv_index.ts";
export * from "./prefix_reader.ts";
export type { MirrorTree } from "./mirror.ts";
export * from "./caches.ts";
export * from "./snapshot.ts";
export * from "./snapshot_file.ts";
export * from "./snapshot_rpc.ts";
