/** Beside a model server: mirrors its cache, watches its load, and tells both to routers. */
export * from "./agent.ts";
export * from "./publisher.ts";
export * from "./server.ts";
export * from "./tree.ts";
