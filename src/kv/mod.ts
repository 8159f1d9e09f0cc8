/** Which blocks each endpoint holds. */
export * from "./approximate_index.ts";
export * from "./feeds/agent.ts";
export * from "./feeds/agent_wire.ts";
export type * from "./feeds/types.ts";
export * from "./feed.ts";
export * from "./feed_types.ts";
export type { MirrorTree } from "./mirror.ts";
