/** Which blocks each endpoint holds. */
export { ApproximateIndex, type ApproximateIndexOptions, type ApproximateIndexStats } from "./approximate_index.ts";
export * from "./calibration.ts";
export * from "./feed.ts";
export * from "./feed_types.ts";
export * from "./feeds.ts";
export * from "./feeds/agent.ts";
export * from "./feeds/agent_wire.ts";
export type * from "./feeds/types.ts";
export * from "./kv_index.ts";
export type { MirrorTree } from "./mirror.ts";
