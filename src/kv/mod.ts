/** Which blocks each endpoint holds. */
export * from "./approximate_index.ts";
export * from "./feeds/agent.ts";
export * from "./feeds/agent_wire.ts";
export type * from "./feeds/types.ts";
